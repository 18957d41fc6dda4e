/** Layer dns. Corefile lines of the `forward` plugin (CoreDNS 1.14). */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { parseRcode, RCODE } from "../../../codec/dns/constants.ts";
import { parseName } from "../../../codec/dns/name.ts";
import { parseIp } from "../../../model/ip.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import {
  durationArg,
  expectArgs,
  integerArg,
  readOptions,
  wordArg,
  zoneArgs,
} from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import { expandZone } from "../../corefile/zones.ts";
import type { Plugin, PluginDefinition, SetupContext } from "../../plugin.ts";
import { type ForwardOptions, ForwardPlugin } from "./forward.ts";
import { ForwardMetrics } from "./forward-metrics.ts";
import { Upstream, type UpstreamOptions } from "./upstream.ts";
import { type ParsedUpstreams, parseUpstreams, type UpstreamAddress } from "./upstream-address.ts";
import { UpstreamList } from "./upstream-list.ts";

const MAX_UPSTREAMS = 15;
/** Longer than any query waits. */
const CLOSE_MS = 6_000;
const FORM =
  "forward FROM TO… (an address or a host, [dns|tls|https]://ADDRESS, or a file like /etc/resolv.conf)";

type Draft<T> = { -readonly [K in keyof T]: T[K] };

export const forward: PluginDefinition = {
  name: "forward",
  setup: (directives, context) => {
    context.setRecursive();
    const metrics = new ForwardMetrics(context.runtime.metrics);
    return directives.map((directive, i) =>
      setupOne(directive, i < directives.length - 1, { context, metrics }),
    );
  },
};

function setupOne(
  directive: Directive,
  hasNextForward: boolean,
  shared: { readonly context: SetupContext; readonly metrics: ForwardMetrics },
): Plugin {
  const { context, metrics } = shared;
  const [from = "", ...targets] = directive.args;
  if (targets.length === 0)
    throw corefileError(directive, "forward", `needs a zone and an upstream: ${FORM}`);
  const zones = expandZone(from);
  if (zones === undefined) throw corefileError(directive, "forward", `"${from}" is not a zone: ${FORM}`);
  const parsed = targets.map((text) => upstreamArg(directive, text, context.folder));
  const addresses = parsed.flatMap((target) => target.addresses);
  const hosts = parsed.flatMap((target) => target.hosts);
  const count = addresses.length + hosts.length;
  if (count > MAX_UPSTREAMS) {
    throw corefileError(directive, "forward", `${count} upstreams, allowed are ${MAX_UPSTREAMS}`);
  }
  const { random, log } = context.runtime;
  const options = defaults(zones, count, hasNextForward);
  const upstreamOptions = upstreamDefaults(random);
  readOptions(directive, { ...forwardReaders(options), ...upstreamReaders(upstreamOptions, context.folder) });
  upstreamOptions.forcesTcp = options.transport === "tcp";
  if (upstreamOptions.maxAgeMs > 0 && upstreamOptions.maxAgeMs < upstreamOptions.expireMs) {
    throw corefileError(directive, "max_age", '"max_age" must not be shorter than "expire"');
  }
  const make = (address: UpstreamAddress): Upstream => new Upstream(address, upstreamOptions, metrics);
  const upstreams = new UpstreamList({ addresses, hosts }, make, log);
  context.onStart((signal) => {
    upstreams.start(upstreamOptions.resolvers, signal);
    // Queries of a replaced configuration may still be under way.
    signal.addEventListener("abort", () => void setTimeout(() => upstreams.close(), CLOSE_MS).unref(), {
      once: true,
    });
  });
  return new ForwardPlugin(options, upstreams, { metrics, random });
}

function upstreamArg(
  directive: Directive,
  text: string,
  folder: string,
): Extract<ParsedUpstreams, { readonly kind: "upstreams" }> {
  const parsed = parseUpstreams(text, folder);
  if (parsed.kind === "bad") throw corefileError(directive, "forward", parsed.reason);
  return parsed;
}

interface UpstreamDraft extends Draft<UpstreamOptions> {
  maxAgeMs: number;
  /** Servers that resolve host names of upstreams; empty: those of the machine. */
  resolvers: readonly string[];
}

function defaults(
  from: readonly string[],
  upstreams: number,
  hasNextForward: boolean,
): Draft<ForwardOptions> {
  return {
    from,
    except: [],
    policy: "random",
    transport: "client",
    readTimeoutMs: 2_000,
    maxAttempts: 2 * upstreams,
    maxConcurrent: 0,
    failFast: false,
    failover: new Set(),
    next: new Set(),
    nextOnNodata: false,
    hasNextForward,
  };
}

function upstreamDefaults(random: () => number): UpstreamDraft {
  return {
    expireMs: 10_000,
    maxFails: 2,
    probeIntervalMs: 500,
    probeName: ".",
    probeRecursion: true,
    tls: { minVersion: "TLSv1.2" },
    forcesTcp: false,
    httpsMethod: "POST",
    maxAgeMs: 0,
    resolvers: [],
    random,
  };
}

type Readers = Readonly<Record<string, (option: Directive) => void>>;

function forwardReaders(draft: Draft<ForwardOptions>): Readers {
  return {
    except: (option) => {
      expectArgs(option, 1, 1000, "except NAME…");
      draft.except = [...draft.except, ...zoneArgs(option, 0, [])];
    },
    force_tcp: (option) => {
      expectArgs(option, 0, 0, "force_tcp");
      draft.transport = "tcp";
    },
    prefer_udp: (option) => {
      expectArgs(option, 0, 0, "prefer_udp");
      if (draft.transport !== "tcp") draft.transport = "prefer_udp";
    },
    read_timeout: (option) => {
      draft.readTimeoutMs = durationArg(option, 0, 1, 60_000);
    },
    policy: (option) => {
      expectArgs(option, 1, 1, "policy random|round_robin|sequential");
      draft.policy = wordArg(option, 0, ["random", "round_robin", "sequential"]);
    },
    max_connect_attempts: (option) => {
      draft.maxAttempts = integerArg(option, 0, 0, 1_000);
    },
    max_concurrent: (option) => {
      draft.maxConcurrent = integerArg(option, 0, 0, 1_000_000);
    },
    failfast_all_unhealthy_upstreams: () => {
      draft.failFast = true;
    },
    failover: (option) => {
      draft.failover = rcodeArgs(option);
      if (draft.failover.has(RCODE.NOERROR))
        throw corefileError(option, "failover", "NOERROR is no failure; name other response codes");
    },
    next: (option) => {
      draft.next = rcodeArgs(option);
    },
    next_on_nodata: () => {
      draft.nextOnNodata = true;
    },
  };
}

function upstreamReaders(draft: UpstreamDraft, folder: string): Readers {
  return {
    expire: (option) => {
      draft.expireMs = durationArg(option, 0, 1);
    },
    max_age: (option) => {
      // Checked and no more: sockets are replaced after `expire` in any case.
      draft.maxAgeMs = durationArg(option, 0);
    },
    max_idle_conns: (option) => {
      // Connections are shared by many queries: a few are enough, so there is nothing to limit.
      integerArg(option, 0, 0, 1_000_000);
    },
    max_fails: (option) => {
      draft.maxFails = integerArg(option, 0, 0, 1_000_000);
    },
    health_check: (option) => readHealthCheck(option, draft),
    tls: (option) => {
      draft.tls = { ...draft.tls, ...tlsFiles(option, folder) };
    },
    tls_servername: (option) => {
      expectArgs(option, 1, 1, "tls_servername NAME");
      draft.tls = { ...draft.tls, servername: option.args[0] ?? "" };
    },
    doh_method: (option) => {
      expectArgs(option, 1, 1, "doh_method POST|GET");
      draft.httpsMethod = wordArg(option, 0, ["POST", "GET"]);
    },
    source_address: (option) => {
      const [text = ""] = expectArgs(option, 1, 1, "source_address IP");
      const address = parseIp(text);
      if (address === undefined) throw corefileError(option, "source_address", `"${text}" is no address`);
      draft.source = address;
    },
    resolver: (option) => {
      expectArgs(option, 1, MAX_UPSTREAMS, "resolver IP[:PORT]…");
      const bad = option.args.find((text) => !isServer(text));
      if (bad !== undefined) throw corefileError(option, "resolver", `"${bad}" is no IP[:PORT]`);
      draft.resolvers = option.args;
    },
  };
}

/** What Node's resolver takes as a server: `IP`, `IPV4:PORT`, `[IPV6]:PORT`. */
function isServer(text: string): boolean {
  const host = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(text)?.[1] ?? /^([\d.]+):\d{1,5}$/.exec(text)?.[1] ?? text;
  return parseIp(host) !== undefined;
}

function readHealthCheck(option: Directive, draft: Draft<UpstreamOptions>): void {
  draft.probeIntervalMs = durationArg(option, 0, 1);
  for (let i = 1; i < option.args.length; i++) {
    if (option.args[i] === "no_rec") draft.probeRecursion = false;
    else if (option.args[i] === "domain") {
      const name = parseName(option.args[++i] ?? "");
      if (name === undefined) throw corefileError(option, "health_check", '"domain" needs a name');
      draft.probeName = name;
    } else {
      throw corefileError(
        option,
        "health_check",
        `unknown word "${option.args[i]}"; allowed: no_rec, domain NAME`,
      );
    }
  }
}

function rcodeArgs(option: Directive): ReadonlySet<number> {
  expectArgs(option, 1, 32, `${option.name} RCODE…`);
  return new Set(
    option.args.map((text) => {
      const rcode = parseRcode(text);
      if (rcode === undefined) throw corefileError(option, option.name, `"${text}" is no response code`);
      return rcode;
    }),
  );
}

/** `tls [CERT KEY] [CA]`. */
function tlsFiles(option: Directive, folder: string): ConnectionOptions {
  expectArgs(option, 0, 3, "tls [CERT KEY] [CA]");
  const files = option.args.map((path) => {
    try {
      return readFileSync(resolve(folder, path));
    } catch (error) {
      throw corefileError(option, "tls", error instanceof Error ? error.message : `cannot read ${path}`);
    }
  });
  if (files.length === 1) return files[0] === undefined ? {} : { ca: files[0] };
  const [cert, key, ca] = files;
  return {
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(ca === undefined ? {} : { ca }),
  };
}
