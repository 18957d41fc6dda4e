/** Layer dns. The `hosts` plugin: names of a hosts file and of lines in the Corefile. */
import { readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { parseReverseName } from "../../../codec/dns/address.ts";
import { CLASS, TYPE } from "../../../codec/dns/constants.ts";
import type { ResourceRecord } from "../../../codec/dns/message.ts";
import { isWithin, longestZone } from "../../../codec/dns/name.ts";
import { parseIp } from "../../../model/ip.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { durationArg, integerArg, zoneArgs } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import { NEXT, type Outcome, type Plugin, type PluginDefinition, type SetupContext } from "../../plugin.ts";
import { type DnsQuery, record, replyTo } from "../../query.ts";
import { HostsTable } from "./hosts-table.ts";

const MAX_FILE_BYTES = 64 * 1024 * 1024;

interface HostsOptions {
  path: string;
  zones: readonly string[];
  ttlSeconds: number;
  hasReverse: boolean;
  reloadMs: number;
  fallthrough: readonly string[] | undefined;
  /** Types other than addresses and PTR of known names go on too. */
  passesOtherTypes: boolean;
  inline: string;
}

export const hosts: PluginDefinition = {
  name: "hosts",
  setup: ([directive, second], context) => {
    if (directive === undefined) return [];
    if (second !== undefined) throw corefileError(second, "hosts", "allowed once in a server block");
    const plugin = new HostsPlugin(parseHosts(directive, context), context);
    context.onStart((signal) => plugin.start(signal));
    return [plugin];
  },
};

function parseHosts(directive: Directive, context: SetupContext): HostsOptions {
  const options: HostsOptions = {
    path: resolve(context.folder, directive.args[0] ?? "/etc/hosts"),
    zones: zoneArgs(directive, 1, context.zones),
    ttlSeconds: 3600,
    hasReverse: true,
    reloadMs: 5_000,
    fallthrough: undefined,
    passesOtherTypes: false,
    inline: "",
  };
  for (const option of directive.options ?? []) {
    switch (option.name) {
      case "ttl":
        options.ttlSeconds = integerArg(option, 0, 1, 65_535);
        break;
      case "no_reverse":
        options.hasReverse = false;
        break;
      case "reload":
        options.reloadMs = durationArg(option, 0);
        break;
      case "fallthrough":
        options.fallthrough = zoneArgs(option, 0, ["."]);
        break;
      case "fallthrough_unsupported":
        options.passesOtherTypes = true;
        break;
      default:
        if (parseIp(option.name) === undefined || option.args.length === 0) {
          const allowed =
            "ttl, no_reverse, reload, fallthrough, fallthrough_unsupported, or a line ADDRESS NAME…";
          throw corefileError(option, "hosts", `unknown option "${option.name}"; allowed: ${allowed}`);
        }
        options.inline += `${option.name} ${option.args.join(" ")}\n`;
    }
  }
  if (options.passesOtherTypes && options.fallthrough === undefined)
    throw corefileError(directive, "hosts", '"fallthrough_unsupported" needs "fallthrough"');
  return options;
}

class HostsPlugin implements Plugin {
  readonly name = "hosts";
  readonly #options: HostsOptions;
  readonly #context: SetupContext;
  #table: HostsTable;
  #stamp = "";

  constructor(options: HostsOptions, context: SetupContext) {
    this.#options = options;
    this.#context = context;
    this.#table = new HostsTable(options.inline, options.hasReverse);
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#read();
    if (this.#options.reloadMs === 0) return;
    const timer = setInterval(() => void this.#read(), this.#options.reloadMs);
    timer.unref();
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }

  handle(query: DnsQuery): Outcome {
    const { zones, passesOtherTypes } = this.#options;
    if (query.class !== CLASS.IN) return NEXT;
    if (query.type === TYPE.PTR) return this.#reverse(query);
    if (longestZone(query.lowerName, zones) === undefined) return NEXT;
    const answers = this.#find(query);
    if (answers !== undefined) {
      const isOther = query.type !== TYPE.A && query.type !== TYPE.AAAA && query.type !== TYPE.PTR;
      if (isOther && passesOtherTypes && this.#fallsThrough(query)) return NEXT;
      return { kind: "answer", by: this.name, message: replyTo(query, { authoritative: true, answers }) };
    }
    if (this.#fallsThrough(query)) return NEXT;
    // Without an SOA a "no such name" could not be kept: SERVFAIL, as in CoreDNS.
    return { kind: "failed", by: this.name, cause: new Error("no such name, and no fallthrough") };
  }

  #fallsThrough(query: DnsQuery): boolean {
    return this.#options.fallthrough?.some((zone) => isWithin(query.lowerName, zone)) === true;
  }

  /**
   * Zones of the reverse tree need not be among those of the line: names of the zones have their PTR. An address that is not
   * here goes on, with `fallthrough` or without: nobody lists all addresses of the world.
   */
  #reverse(query: DnsQuery): Outcome {
    const { zones, ttlSeconds } = this.#options;
    const names = this.#namesOf(query.lowerName);
    const isOurs = longestZone(query.lowerName, zones) !== undefined;
    const shown = isOurs ? names : names.filter((name) => longestZone(name, zones) !== undefined);
    if (shown.length > 0) {
      const answers = shown.map((name) => record(query.name, TYPE.PTR, ttlSeconds, { kind: "name", name }));
      return { kind: "answer", by: this.name, message: replyTo(query, { authoritative: true, answers }) };
    }
    // PTR of a name that has addresses: there is none.
    if (!isOurs || this.#table.addresses(query.lowerName) === undefined) return NEXT;
    return { kind: "answer", by: this.name, message: replyTo(query, { authoritative: true }) };
  }

  #namesOf(lowerName: string): readonly string[] {
    const reverse = parseReverseName(lowerName);
    return reverse?.kind === "address" ? this.#table.names(reverse.address) : [];
  }

  /** `undefined` when the name is not here. */
  #find(query: DnsQuery): readonly ResourceRecord[] | undefined {
    const ttl = this.#options.ttlSeconds;
    if (this.#namesOf(query.lowerName).length > 0) return [];
    const addresses = this.#table.addresses(query.lowerName);
    if (addresses === undefined) return undefined;
    if (query.type !== TYPE.A && query.type !== TYPE.AAAA) return [];
    return addresses
      .filter((address) => address.includes(":") === (query.type === TYPE.AAAA))
      .map((address) => record(query.name, query.type, ttl, { kind: "address", address }));
  }

  /** Reads the file when it changed; a missing file is an empty one. */
  async #read(): Promise<void> {
    const { path, inline, hasReverse } = this.#options;
    const { metrics, log, now } = this.#context.runtime;
    try {
      const { mtimeMs, size } = await stat(path);
      const stamp = `${mtimeMs} ${size}`;
      if (stamp === this.#stamp) return;
      if (size > MAX_FILE_BYTES) throw new Error(`larger than ${MAX_FILE_BYTES} bytes`);
      this.#table = new HostsTable(`${inline}${await readFile(path, "utf8")}`, hasReverse);
      this.#stamp = stamp;
    } catch (error) {
      if (this.#stamp === "") log.warn(`plugin/hosts: ${error instanceof Error ? error.message : path}`);
      this.#stamp = "missing";
      return;
    }
    metrics.gauge("coredns_hosts_entries", "Names in the hosts file.", ["hostsfile"]).child(path).value =
      this.#table.size;
    metrics.gauge("coredns_hosts_reload_timestamp_seconds", "When it was read.").child().value = now() / 1000;
  }
}
