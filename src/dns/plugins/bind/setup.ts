/** Layer dns. The `bind` plugin: listen on some addresses or interfaces instead of all. Interfaces are looked up when the configuration is read. */
import { networkInterfaces } from "node:os";
import { parseIp } from "../../../model/ip.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { expectArgs, readOptions } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import type { PluginDefinition } from "../../plugin.ts";

export const bind: PluginDefinition = {
  name: "bind",
  setup: (directives, context) => {
    for (const directive of directives) {
      expectArgs(directive, 1, 1000, "bind ADDRESS|INTERFACE…");
      const except = new Set<string>();
      readOptions(directive, {
        except: (option) => {
          expectArgs(option, 1, 1000, "except ADDRESS|INTERFACE…");
          for (const text of option.args) for (const host of hostsOf(option, text)) except.add(host);
        },
      });
      const hosts = directive.args.flatMap((text) => hostsOf(directive, text));
      const kept = [...new Set(hosts)].filter((host) => !except.has(host));
      if (kept.length === 0) throw corefileError(directive, "bind", "no address is left to listen on");
      context.bind(kept);
    }
    return [];
  },
};

/** An address as it is, or the addresses of an interface (link-local ones with their zone). */
function hostsOf(directive: Directive, text: string): readonly string[] {
  const address = parseIp(text.split("%")[0] ?? "");
  if (address !== undefined) return [text.includes("%") ? text : address];
  const found = networkInterfaces()[text];
  if (found === undefined) {
    throw corefileError(
      directive,
      "bind",
      `"${text}" is neither an address nor an interface of this machine`,
    );
  }
  return found.map((entry) =>
    entry.address.startsWith("fe80:") ? `${entry.address}%${text}` : entry.address,
  );
}
