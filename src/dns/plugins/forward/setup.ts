/** Layer dns. Corefile lines of the `forward` plugin (CoreDNS 1.14). */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { parseRcode } from "../../../codec/dns/constants.ts";
import { parseName } from "../../../codec/dns/name.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import {
  durationArg,
  expectArgs,
  integerArg,
  readOptions,
  refuseOption,
  wordArg,
  zoneArgs,
} from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import { expandZone } from "../../corefile/zones.ts";
import type { Plugin, PluginDefinition, SetupContext } from "../../plugin.ts";
import { type ForwardOptions, ForwardPlugin } from "./forward.ts";
import { ForwardMetrics } from "./forward-metrics.ts";
import { Upstream, type UpstreamOptions } from "./upstream.ts";
import { parseUpstreams, type UpstreamAddress } from "./upstream-address.ts";

const MAX_UPSTREAMS = 15;
const FORM = "forward FROM TO… (an address, [dns|tls]://ADDRESS, or a file like /etc/resolv.conf)";

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
  const addresses = targets.flatMap((text) => upstreamArg(directive, text, context.folder));
  if (addresses.length > MAX_UPSTREAMS) {
    throw corefileError(directive, "forward", `${addresses.length} upstreams, allowed are ${MAX_UPSTREAMS}`);
  }
  const { random } = context.runtime;
  const options = defaults(zones, addresses.length, hasNextForward);
  const upstreamOptions = upstreamDefaults(random);
  readOptions(directive, {
    ...forwardReaders(options),
    ...upstreamReaders(upstreamOptions, context.folder),
  });
  const upstreams = addresses.map((address) => new Upstream(address, upstreamOptions, metrics));
  context.onStart((signal) => {
    signal.addEventListener("abort", () => closeLater(upstreams), { once: true });
  });
  return new ForwardPlugin(options, upstreams, { metrics, random });
}

/** Queries of a replaced configuration may still be under way. */
function closeLater(upstreams: readonly Upstream[]): void {
  setTimeout(() => {
    for (const upstream of upstreams) upstream.close();
  }, 6_000).unref();
}

function upstreamArg(directive: Directive, text: string, folder: string): readonly UpstreamAddress[] {
  const parsed = parseUpstreams(text, folder);
  if (parsed.kind === "bad") throw corefileError(directive, "forward", parsed.reason);
  return parsed.upstreams;
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

function upstreamDefaults(random: () => number): Draft<UpstreamOptions> {
  return {
    expireMs: 10_000,
    maxFails: 2,
    probeIntervalMs: 500,
    probeName: ".",
    probeRecursion: true,
    tls: { minVersion: "TLSv1.2" },
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
    },
    next: (option) => {
      draft.next = rcodeArgs(option);
    },
    next_on_nodata: () => {
      draft.nextOnNodata = true;
    },
  };
}

function upstreamReaders(draft: Draft<UpstreamOptions>, folder: string): Readers {
  return {
    expire: (option) => {
      draft.expireMs = durationArg(option, 0, 1);
    },
    max_age: (option) => {
      // Sockets are replaced after `expire` in any case.
      durationArg(option, 0);
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
    doh_method: refuseOption("https:// upstreams are not supported"),
    source_address: refuseOption("is not supported"),
    resolver: refuseOption("is not supported: name upstreams by address"),
  };
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
