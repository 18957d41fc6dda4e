/** Layer dns. The `file` plugin: zones of RFC 1035 files, read again when they change. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { CLASS, RCODE, TYPE } from "../../../codec/dns/constants.ts";
import type { ResourceRecord } from "../../../codec/dns/message.ts";
import { isWithin, longestZone } from "../../../codec/dns/name.ts";
import { parseZoneFile } from "../../../codec/dns/zone-file.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { durationArg, expectArgs, readOptions, zoneArgs } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import {
  NEXT,
  type Outcome,
  type Plugin,
  type PluginDefinition,
  type SetupContext,
  whenDone,
} from "../../plugin.ts";
import { type DnsQuery, replyTo } from "../../query.ts";
import { Zone } from "./zone.ts";

const DEFAULT_RELOAD_MS = 60_000;
const MAX_FILE_BYTES = 64 * 1024 * 1024;

export const file: PluginDefinition = {
  name: "file",
  setup: (directives, context) => directives.map((directive) => setupOne(directive, context)),
};

function setupOne(directive: Directive, context: SetupContext): Plugin {
  expectArgs(directive, 1, 1000, "file DBFILE [ZONE…]");
  const path = resolve(context.folder, directive.args[0] ?? "");
  const zones = zoneArgs(directive, 1, context.zones);
  let reloadMs = DEFAULT_RELOAD_MS;
  let fallthrough: readonly string[] | undefined;
  readOptions(directive, {
    reload: (option) => {
      reloadMs = durationArg(option, 0);
    },
    reload_by_mtime: (option) => void expectArgs(option, 0, 0, "reload_by_mtime"),
    // Of old Corefiles; aliases are always followed.
    upstream: () => undefined,
    fallthrough: (option) => {
      fallthrough = zoneArgs(option, 0, ["."]);
    },
  });
  const plugin = new FilePlugin({ path, zones, fallthrough });
  const problem = plugin.read();
  if (problem !== undefined) {
    // As in CoreDNS a file may come later; one that is wrong is refused.
    if (reloadMs === 0 || existsSync(path)) throw corefileError(directive, "file", problem);
    context.runtime.log.warn(
      `plugin/file: ${problem}; looking again every ${reloadMs} ms, SERVFAIL until then`,
    );
  }
  context.onStart((signal) => {
    if (reloadMs === 0) return;
    const timer = setInterval(() => {
      const complaint = plugin.read();
      if (complaint !== undefined)
        context.runtime.log.error(`plugin/file: ${complaint}; the old zone goes on`);
    }, reloadMs);
    timer.unref();
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  });
  return plugin;
}

class FilePlugin implements Plugin {
  readonly name = "file";
  readonly #path: string;
  readonly #origins: readonly string[];
  readonly #fallthrough: readonly string[] | undefined;
  #zones: readonly Zone[] = [];
  #stamp = "";

  constructor(options: {
    readonly path: string;
    readonly zones: readonly string[];
    readonly fallthrough: readonly string[] | undefined;
  }) {
    this.#path = options.path;
    this.#origins = options.zones;
    this.#fallthrough = options.fallthrough;
  }

  /** Reads the file if it changed. @returns what is wrong with it; then nothing was replaced */
  read(): string | undefined {
    try {
      const { mtimeMs, size } = statSync(this.#path);
      if (`${mtimeMs} ${size}` === this.#stamp) return undefined;
      if (size > MAX_FILE_BYTES) return `${this.#path} is larger than ${MAX_FILE_BYTES} bytes`;
      const text = readFileSync(this.#path, "utf8");
      const zones: Zone[] = [];
      for (const origin of this.#origins) {
        const parsed = parseZoneFile(text, origin);
        if (parsed.kind === "bad") return `${this.#path}:${parsed.line}: ${parsed.reason}`;
        const records = parsed.records.filter((record) => isWithin(record.name.toLowerCase(), origin));
        const soa = records.find(
          (record) => record.type === TYPE.SOA && record.name.toLowerCase() === origin,
        );
        if (soa === undefined) return `${this.#path} has no SOA for ${origin}`;
        zones.push(new Zone(origin, soa, records));
      }
      this.#zones = zones;
      this.#stamp = `${mtimeMs} ${size}`;
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : this.#path;
    }
  }

  transfer(origin: string): readonly ResourceRecord[] | undefined {
    const zone = this.#zones.find((candidate) => candidate.origin === origin);
    if (zone === undefined) return undefined;
    return [zone.soa, ...zone.records.filter((record) => record !== zone.soa), zone.soa];
  }

  handle(query: DnsQuery): Outcome | Promise<Outcome> {
    const origin = query.class === CLASS.IN ? longestZone(query.lowerName, this.#origins) : undefined;
    const zone = this.#zones.find((candidate) => candidate.origin === origin);
    if (zone === undefined) {
      if (origin === undefined) return NEXT;
      return { kind: "failed", by: this.name, cause: new Error(`${this.#path} was not read yet`) };
    }
    if (query.type === TYPE.AXFR || query.type === TYPE.IXFR) {
      return { kind: "answer", by: this.name, message: replyTo(query, { rcode: RCODE.REFUSED }) };
    }
    const found = zone.find(query.lowerName, query.type, query.name);
    if (found.rcode === RCODE.NXDOMAIN && found.answers.length === 0) {
      if (this.#fallthrough?.some((name) => isWithin(query.lowerName, name)) === true) return NEXT;
    }
    const answer: Outcome = { kind: "answer", by: this.name, message: replyTo(query, found) };
    if (found.leadsTo === undefined) return answer;
    return whenDone<Outcome>(query.resolve(query, found.leadsTo, query.type), (outcome) => {
      if (outcome.kind !== "answer" || outcome.message.rcode === RCODE.REFUSED) return answer;
      const { rcode, answers, authorities, truncated } = outcome.message;
      const parts = {
        rcode,
        authorities,
        truncated,
        authoritative: true,
        answers: [...found.answers, ...answers],
      };
      return { kind: "answer", by: this.name, message: replyTo(query, parts) };
    });
  }
}
