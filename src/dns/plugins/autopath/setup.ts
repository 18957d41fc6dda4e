/**
 * Layer dns. The `autopath` plugin: walks a client's search list here. A question below the first search domain is asked for
 * every domain of the list, and the first name that exists answers at once, as an alias.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { RCODE, TYPE } from "../../../codec/dns/constants.ts";
import { longestZone, parseName } from "../../../codec/dns/name.ts";
import { parseIp } from "../../../model/ip.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { readOptions, zoneArgs } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import type { Outcome, Plugin, PluginDefinition, Rest, SetupContext } from "../../plugin.ts";
import { type DnsQuery, record } from "../../query.ts";
import { KubernetesPlugin } from "../kubernetes/kubernetes.ts";

const MAX_DOMAINS = 16;

/** Search domains of a client, absolute, the empty one (".") last; `undefined` for a client that is not known. */
type SearchList = (query: DnsQuery) => readonly string[] | undefined;

export const autopath: PluginDefinition = {
  name: "autopath",
  setup: ([directive, second], context) => {
    if (directive === undefined) return [];
    if (second !== undefined) throw corefileError(second, "autopath", "allowed once in a server block");
    readOptions(directive, {});
    const source = directive.args.at(-1);
    if (source === undefined)
      throw corefileError(directive, "autopath", "the form is: autopath [ZONE…] RESOLV-CONF|@kubernetes");
    const zones = zoneArgs({ ...directive, args: directive.args.slice(0, -1) }, 0, context.zones);
    const search = source === "@kubernetes" ? ofPods(directive, context) : ofFile(directive, source, context);
    return [new AutopathPlugin(zones, search, context)];
  },
};

function ofFile(directive: Directive, path: string, context: SetupContext): SearchList {
  const domains = searchOf(resolve(context.folder, path));
  if (domains === undefined) throw corefileError(directive, "autopath", `cannot read ${path}`);
  const list = [...domains, "."];
  return () => list;
}

function searchOf(path: string): readonly string[] | undefined {
  try {
    const line = /^\s*search\s+(.*)$/m.exec(readFileSync(path, "utf8"))?.[1] ?? "";
    return line
      .split(/\s+/)
      .flatMap((text) => parseName(text)?.toLowerCase() ?? [])
      .slice(0, MAX_DOMAINS);
  } catch {
    return undefined;
  }
}

/** As kubelet writes it for a pod: by the namespace of the pod that has the client's address. */
function ofPods(directive: Directive, context: SetupContext): SearchList {
  context.instance.wantsPods = true;
  const hostDomains = searchOf("/etc/resolv.conf") ?? [];
  if (!context.block.directives.some(({ name }) => name === "kubernetes")) {
    throw corefileError(
      directive,
      "autopath",
      "@kubernetes needs a kubernetes plugin in the same server block",
    );
  }
  return (query) => {
    const plugin = context.plugins().find((other) => other instanceof KubernetesPlugin);
    const address = parseIp(query.client.address.split("%")[0] ?? "");
    if (plugin === undefined || address === undefined) return undefined;
    const [pod] = context.runtime.cluster.podsByAddress.get(address) ?? [];
    if (pod === undefined) return undefined;
    const zone = plugin.options.primaryZone;
    return [`${pod.namespace}.svc.${zone}`, `svc.${zone}`, zone, ...hostDomains, "."];
  };
}

class AutopathPlugin implements Plugin {
  readonly name = "autopath";
  readonly #zones: readonly string[];
  readonly #search: SearchList;
  readonly #context: SetupContext;

  constructor(zones: readonly string[], search: SearchList, context: SetupContext) {
    this.#zones = zones;
    this.#search = search;
    this.#context = context;
  }

  handle(query: DnsQuery, rest: Rest): Outcome | Promise<Outcome> {
    if (query.type === TYPE.AXFR || query.type === TYPE.IXFR) return rest(query);
    if (longestZone(query.lowerName, this.#zones) === undefined) return rest(query);
    const domains = this.#search(query);
    const first = domains?.[0];
    if (domains === undefined || first === undefined || !query.lowerName.endsWith(`.${first}`))
      return rest(query);
    const base = query.name.slice(0, query.name.length - first.length);
    return this.#walk(query, rest, { base, domains });
  }

  async #walk(
    query: DnsQuery,
    rest: Rest,
    list: { readonly base: string; readonly domains: readonly string[] },
  ): Promise<Outcome> {
    let firstReply: Outcome | undefined;
    for (const domain of list.domains) {
      const name = domain === "." ? list.base : `${list.base}${domain}`;
      const question = { name, type: query.type, class: query.class };
      const isFirst = firstReply === undefined;
      const outcome = await rest(isFirst ? query : query.with({ question }));
      firstReply ??= outcome;
      if (outcome.kind !== "answer" || outcome.message.rcode === RCODE.NXDOMAIN) continue;
      // A name that exists without an address of this type ends the search too: the list would go wrong otherwise.
      if (isFirst) return outcome;
      this.#context.runtime.metrics
        .counter("coredns_autopath_success_total", "Searches ended here.", ["server"])
        .child(query.labels.server)
        .add();
      const ttl = Math.min(...outcome.message.answers.map((entry) => entry.ttl), 3600);
      const alias = record(query.name, TYPE.CNAME, ttl, { kind: "name", name });
      return {
        ...outcome,
        by: this.name,
        message: { ...outcome.message, answers: [alias, ...outcome.message.answers] },
      };
    }
    return firstReply ?? rest(query);
  }
}
