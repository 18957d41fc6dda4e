/** Layer cli. `nodeplane dns`: flags, log and signals of the resolver. */
import { existsSync } from "node:fs";
import pino from "pino";
import type { CorefileOrigin } from "../dns/corefile/load.ts";
import { type DaemonOptions, DnsDaemon } from "../dns/daemon.ts";
import { DEFAULT_COREFILE } from "../dns/default-corefile.ts";
import { PLUGIN_ORDER } from "../dns/plugin-order.ts";
import type { DnsLog } from "../dns/runtime.ts";
import { SystemdNotify } from "../drivers/notify/index.ts";
import type { Feed } from "../feed/feed.ts";
import { FilesFeed } from "../feed/files/files-feed.ts";
import { formatFileProblem } from "../feed/files/object-folder.ts";
import { checkKeys } from "../feed/stream/connection.ts";
import { StreamFeed } from "../feed/stream/stream-feed.ts";
import { NodeplaneError } from "../model/errors.ts";
import type { ObjectKind } from "../model/objects.ts";
import { VERSION } from "../model/version.ts";
import type { CommandIo } from "./command.ts";
import { type ResolverSettings, resolverSettings } from "./dns-config.ts";
import { type DnsFlags, parseDnsFlags } from "./dns-flags.ts";

const HELP = `Usage: nodeplane dns [-conf FILE] [--objects PATH | --control-plane HOST:PORT] [options]

  -conf FILE              Corefile (default: ${"/etc/nodeplane/Corefile"} if it exists, else kubeadm's defaults)
  -dns.port N, -p N       port of server blocks that name none (default 53)
  --objects PATH          Services, EndpointSlices … from a file or folder, followed
  --control-plane H:P     … from the node stream of a control plane, with
    --ca-file, --certificate-file, --key-file FILE   (default /etc/nodeplane/pki/{ca.crt,node.crt,node.key})
    --state-dir DIR       where the last known objects are kept (default /var/lib/nodeplane/dns)
    --node-name NAME      (default: the name in the certificate)
  --config FILE           the same as YAML (kind ResolverConfiguration, see docs/dns.md)
  --local-address IP      address to answer NS questions with, instead of the machine's own; repeatable
  --engine on|off         answer names of the cluster and repeated questions over UDP in the native engine (default on)
  --check                 read the configuration, say what is wrong, exit
  -plugins, -version, -quiet, --help
`;
const DEFAULT_PATH = "/etc/nodeplane/Corefile";

export async function dnsCommand(args: readonly string[], io: CommandIo): Promise<number> {
  const flags = parseDnsFlags(args);
  if (flags.help) {
    io.out(HELP);
    return 0;
  }
  if (flags.version) {
    io.out(`nodeplane dns ${VERSION}\n`);
    return 0;
  }
  if (flags.plugins) {
    io.out(`${PLUGIN_ORDER.map((plugin) => `dns.${plugin.name}`).join("\n")}\n`);
    return 0;
  }
  const log = createLog(flags.quiet, io);
  const settings = resolverSettings(flags);
  const notify = new SystemdNotify(io.env, process.pid);
  const options: DaemonOptions = {
    corefile: corefileOrigin(settings),
    defaultPort: settings.port,
    env: io.env,
    log,
    holdUnsynced: flags.holdUnsynced,
    engine: flags.engine && !flags.check,
    openFeed: (kinds) => openFeed(flags, settings, { log, kinds }),
    onReady: (addresses) => void notify.notify("READY=1", `STATUS=Answering on ${addresses.join(" ")}`),
    ...(flags.localAddresses.length === 0 ? {} : { localAddresses: flags.localAddresses }),
  };
  if (flags.objects !== undefined && !existsSync(flags.objects)) {
    throw new NodeplaneError("FILE_UNREADABLE", {
      path: flags.objects,
      detail: "there is no such file or folder",
    });
  }
  const daemon = new DnsDaemon(options);
  if (flags.check) {
    daemon.check();
    io.out(`${options.corefile.kind === "file" ? options.corefile.path : options.corefile.name}: ok\n`);
    return 0;
  }
  // Before a socket is open: the feed would say so when clients already ask.
  if (settings.stream !== undefined) await checkKeys(settings.stream);
  const reload = (): void => void daemon.reload();
  process.on("SIGHUP", reload);
  process.on("SIGUSR1", reload);
  io.signal.addEventListener("abort", () => void notify.notify("STOPPING=1"), { once: true });
  try {
    await daemon.run(io.signal);
  } finally {
    process.off("SIGHUP", reload);
    process.off("SIGUSR1", reload);
  }
  return 0;
}

function corefileOrigin(settings: ResolverSettings): CorefileOrigin {
  if (settings.corefile !== undefined) return { kind: "file", path: settings.corefile };
  if (existsSync(DEFAULT_PATH)) return { kind: "file", path: DEFAULT_PATH };
  return { kind: "text", text: DEFAULT_COREFILE, name: "built-in Corefile" };
}

const STREAM_KINDS: readonly ObjectKind[] = ["Service", "EndpointSlice", "Namespace"];

/** `undefined` without any source: names of a cluster are unknown then. */
function openFeed(
  flags: DnsFlags,
  settings: ResolverSettings,
  how: { readonly log: DnsLog; readonly kinds: readonly ObjectKind[] },
): Feed | undefined {
  const { log } = how;
  if (flags.objects !== undefined) {
    return new FilesFeed({
      path: flags.objects,
      onProblems: (problems) => {
        for (const problem of problems) log.warn(`objects: ${formatFileProblem(problem)}`);
      },
    });
  }
  if (settings.stream === undefined) return undefined;
  return new StreamFeed({
    ...settings.stream,
    role: "dns",
    sets: [...STREAM_KINDS, ...how.kinds],
    onProblem: (message) => log.warn(`feed: ${message}`),
  });
}

/** JSON lines on standard error; the query log goes to standard output, as CoreDNS writes it. */
function createLog(isQuiet: boolean, io: CommandIo): DnsLog {
  const logger = pino(
    { level: isQuiet ? "warn" : "info", base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: true }),
  );
  return {
    info: (message, fields) => logger.info(fields ?? {}, message),
    warn: (message) => logger.warn(message),
    error: (message) => logger.error(message),
    debug: (message) => logger.debug(message),
    line: (text) => io.out(`${text}\n`),
  };
}
