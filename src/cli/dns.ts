/** Layer cli. `nodeplane dns`: flags, log and signals of the resolver. */
import { existsSync } from "node:fs";
import pino from "pino";
import type { CorefileOrigin } from "../dns/corefile/load.ts";
import { type DaemonOptions, DnsDaemon } from "../dns/daemon.ts";
import { DEFAULT_COREFILE } from "../dns/default-corefile.ts";
import { PLUGIN_ORDER } from "../dns/plugin-order.ts";
import type { DnsLog } from "../dns/runtime.ts";
import type { Feed } from "../feed/feed.ts";
import { FilesFeed } from "../feed/files/files-feed.ts";
import { formatFileProblem } from "../feed/files/object-folder.ts";
import { NodeplaneError } from "../model/errors.ts";
import { VERSION } from "../model/version.ts";
import type { CommandIo } from "./command.ts";
import { type DnsFlags, parseDnsFlags } from "./dns-flags.ts";

const HELP = `Usage: nodeplane dns [-conf FILE] [--objects PATH | --config FILE] [options]

  -conf FILE              Corefile (default: ${"/etc/nodeplane/Corefile"} if it exists, else kubeadm's defaults)
  -dns.port N, -p N       port of server blocks that name none (default 53)
  --objects PATH          Services, EndpointSlices … from a file or folder, followed
  --config FILE           where the control plane is (YAML; see docs/dns.md)
  --local-address IP      address to answer NS questions with, instead of the machine's own; repeatable
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
  const feed = createFeed(flags, log);
  const options: DaemonOptions = {
    corefile: corefileOrigin(flags),
    defaultPort: flags.port,
    env: io.env,
    log,
    holdUnsynced: flags.holdUnsynced,
    ...(feed === undefined ? {} : { feed }),
    ...(flags.localAddresses.length === 0 ? {} : { localAddresses: flags.localAddresses }),
  };
  const daemon = new DnsDaemon(options);
  if (flags.check) {
    daemon.check();
    io.out(`${options.corefile.kind === "file" ? options.corefile.path : options.corefile.name}: ok\n`);
    return 0;
  }
  const reload = (): void => void daemon.reload();
  process.on("SIGHUP", reload);
  process.on("SIGUSR1", reload);
  try {
    await daemon.run(io.signal);
  } finally {
    process.off("SIGHUP", reload);
    process.off("SIGUSR1", reload);
  }
  return 0;
}

function corefileOrigin(flags: DnsFlags): CorefileOrigin {
  if (flags.conf !== undefined) return { kind: "file", path: flags.conf };
  if (existsSync(DEFAULT_PATH)) return { kind: "file", path: DEFAULT_PATH };
  return { kind: "text", text: DEFAULT_COREFILE, name: "built-in Corefile" };
}

function createFeed(flags: DnsFlags, log: DnsLog): Feed | undefined {
  if (flags.objects !== undefined) {
    return new FilesFeed({
      path: flags.objects,
      onProblems: (problems) => {
        for (const problem of problems) log.warn(`objects: ${formatFileProblem(problem)}`);
      },
    });
  }
  if (flags.config !== undefined) {
    throw new NodeplaneError("CONFIG_INVALID", {
      object: "--config",
      detail: "the node stream is not wired yet",
    });
  }
  return undefined;
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
