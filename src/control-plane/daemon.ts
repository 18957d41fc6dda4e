/**
 * Layer control-plane. The control plane as one process: store, objects, HTTPS API, node stream, controllers. Opens
 * them in the order in which they need each other and closes them in reverse.
 */
import { randomInt, randomUUID } from "node:crypto";
import { type AddressInfo, createServer } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { NodeplaneError } from "../model/errors.ts";
import { parseIp } from "../model/ip.ts";
import { ApiMetrics } from "./api/metrics.ts";
import { OpenApi } from "./api/openapi.ts";
import { ApiServer } from "./api/server.ts";
import type { ControlPlaneConfig } from "./config.ts";
import { createSystemNamespaces } from "./controllers/bootstrap/namespaces.ts";
import type { Controller, ControllerDeps, ControllerLog } from "./controllers/controller.ts";
import { EventRecorder } from "./controllers/events/recorder.ts";
import { runControllers } from "./controllers/run.ts";
import { registerNodeStreamMetrics } from "./node-stream/node-stream-metrics.ts";
import { type NodeStream, openNodeStream } from "./node-stream/open-node-stream.ts";
import type { ServerKeys } from "./node-stream/renewable-credentials.ts";
import { Pki, serverNames } from "./pki/pki.ts";
import type { ClusterSettings, Kind } from "./registry/kind.ts";
import { LeasePool } from "./registry/lease-pool.ts";
import { LocalClient } from "./registry/local-client.ts";
import type { Machinery } from "./registry/machinery.ts";
import { Registry } from "./registry/registry.ts";
import { SqliteStore } from "./store/sqlite-store.ts";
import type { Store } from "./store/store.ts";

const NAME_CHARACTERS = "bcdfghjklmnpqrstvwxz2456789";
const DAY_MS = 86_400_000;

export interface DaemonOptions {
  readonly config: ControlPlaneConfig;
  readonly kinds: readonly Kind[];
  readonly controllers: readonly Controller[];
  readonly log: ControllerLog;
  /** Called once, when everything answers. */
  readonly onReady: (ready: Ready) => void;
  /** Called when it begins to stop. */
  readonly onStopping?: () => void;
}

export interface Ready {
  readonly securePort: number;
  readonly streamPort: number;
  readonly kubeconfigPath: string;
}

/** Runs until `signal` aborts. @throws {NodeplaneError} when it cannot start, or the store fails */
export async function runControlPlane(options: DaemonOptions, signal: AbortSignal): Promise<void> {
  const { kinds, log } = options;
  const config = await withPorts(options.config);
  const failure = new AbortController();
  const stopped = AbortSignal.any([signal, failure.signal]);
  // Closed in reverse, also when a later part cannot start.
  await using parts = new AsyncDisposableStack();
  const store = await SqliteStore.open(join(config.dataDir, "state.db"), {
    ephemeralPrefixes: Registry.ephemeralPrefixes(kinds),
  });
  parts.defer(async () => await store.close());
  store.onFailure((error) => failure.abort(error));
  const machinery = makeMachinery(store, kinds, settingsOf(config));
  const client = new LocalClient(machinery);
  await createSystemNamespaces(client);
  const opened: Opened = { config, store, machinery, client, log, metrics: new ApiMetrics(store) };
  const pki = await openPki(config);
  const server = await openServer(opened, pki, failure.signal);
  parts.defer(async () => await server.close());
  const nodeStream = await openStream(opened, pki, parts);
  const renewal = setInterval(() => void renew(pki, server, nodeStream, log), DAY_MS);
  parts.defer(() => clearInterval(renewal));
  const controllers = runControllers(depsOf(opened, kinds), stopped, options.controllers);
  parts.defer(async () => await controllers);
  const { securePort, streamPort } = config;
  options.onReady({ securePort, streamPort, kubeconfigPath: pki.kubeconfigPath });
  await aborted(stopped);
  log.info({}, "stopping");
  options.onStopping?.();
  if (failure.signal.aborted) throw failure.signal.reason;
}

/** What the parts of the daemon share. */
interface Opened {
  readonly config: ControlPlaneConfig;
  readonly store: Store;
  readonly machinery: Machinery;
  readonly client: LocalClient;
  readonly log: ControllerLog;
  readonly metrics: ApiMetrics;
}

async function openServer(
  { config, machinery, metrics, log }: Opened,
  pki: Pki,
  storeFailed: AbortSignal,
): Promise<ApiServer> {
  const server = new ApiServer({
    machinery,
    openApi: new OpenApi(machinery.registry),
    metrics,
    checks: { store: () => (storeFailed.aborted ? "the store has failed" : undefined) },
    onError: (error, path) => log.error({ error: describe(error), path }, "request failed inside the server"),
    tls: tlsOf(pki),
  });
  await server.listen(config.securePort, config.bindAddress);
  return server;
}

async function openStream(
  { config, store, client, metrics, log }: Opened,
  pki: Pki,
  parts: AsyncDisposableStack,
): Promise<NodeStream> {
  const events = new EventRecorder({ client, clock: systemClock, log });
  const nodeStream = await openNodeStream({
    store,
    client,
    keys: keysOf(pki),
    address: `${inUrl(config.bindAddress)}:${config.streamPort}`,
    log,
    recordEvent: (event) => events.record(event),
    isAuthoritative: config.authoritativeSnapshots,
  });
  registerNodeStreamMetrics(nodeStream.hub, metrics.registry);
  parts.defer(async () => await events.settled());
  parts.defer(async () => await nodeStream.close());
  return nodeStream;
}

function depsOf({ config, store, client, machinery, log }: Opened, kinds: readonly Kind[]): ControllerDeps {
  return {
    client,
    store,
    kinds,
    settings: machinery.settings,
    clock: systemClock,
    log,
    // Whoever holds the store's file holds this identity, so a restart need not wait for its own old lease.
    identity: `${hostname()}_${store.epoch}`,
    nodeGracePeriodSeconds: config.nodeGracePeriodSeconds,
  };
}

/** Port 0 stands for a free one; certificates and objects name it, so it is chosen before anything is opened. */
async function withPorts(config: ControlPlaneConfig): Promise<ControlPlaneConfig> {
  const choose = async (port: number): Promise<number> =>
    port === 0 ? await freePort(config.bindAddress) : port;
  return {
    ...config,
    securePort: await choose(config.securePort),
    streamPort: await choose(config.streamPort),
  };
}

async function freePort(host: string): Promise<number> {
  const probe = createServer();
  return await new Promise((resolve, reject) => {
    probe.once("error", (error) => {
      const detail = `cannot listen on ${host}: ${error.message}`;
      reject(new NodeplaneError("CONFIG_INVALID", { detail }, error));
    });
    probe.listen(0, host, () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** What the operations work with. */
export function makeMachinery(store: Store, kinds: readonly Kind[], settings: ClusterSettings): Machinery {
  return {
    store,
    registry: new Registry(kinds),
    settings,
    leases: new LeasePool(store, Date.now),
    nowMs: Date.now,
    newUid: randomUUID,
    newSuffix: () =>
      Array.from({ length: 5 }, () => NAME_CHARACTERS[randomInt(NAME_CHARACTERS.length)]).join(""),
  };
}

function settingsOf(config: ControlPlaneConfig): ClusterSettings {
  const { clusterDomain, serviceCidrs, podCidrs, nodePortRange, advertiseAddress, securePort } = config;
  const apiAddresses = [advertiseAddress];
  return { clusterDomain, serviceCidrs, podCidrs, nodePortRange, apiAddresses, apiPort: securePort };
}

async function openPki(config: ControlPlaneConfig): Promise<Pki> {
  const { tlsSans, advertiseAddress, bindAddress, clusterDomain, securePort } = config;
  const addresses = [
    "127.0.0.1",
    "::1",
    advertiseAddress,
    ...tlsSans.filter((name) => parseIp(name) !== undefined),
  ];
  const anywhere = bindAddress === "0.0.0.0" || bindAddress === "::";
  const host = anywhere ? "127.0.0.1" : advertiseAddress;
  return await Pki.open({
    dataDir: config.dataDir,
    dnsNames: [...serverNames(clusterDomain), ...tlsSans.filter((name) => parseIp(name) === undefined)],
    ipAddresses: [...new Set(anywhere ? addresses : [...addresses, bindAddress])],
    serverUrl: `https://${inUrl(host)}:${securePort}`,
  });
}

/** An address as URLs have it. */
function inUrl(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

function tlsOf(pki: Pki): { cert: string; key: string; ca: string } {
  return { cert: pki.server.certificatePem, key: pki.server.keyPem, ca: pki.authorityPem };
}

function keysOf(pki: Pki): ServerKeys {
  return { authorityPem: pki.authorityPem, ...pki.server };
}

async function renew(pki: Pki, server: ApiServer, nodeStream: NodeStream, log: ControllerLog): Promise<void> {
  try {
    if (!(await pki.renew())) return;
    server.setTls(tlsOf(pki));
    nodeStream.renew(keysOf(pki));
  } catch (error) {
    log.error({ error: String(error) }, "certificates could not be renewed");
  }
}

const systemClock = {
  nowMs: Date.now,
  monotonicMs: () => performance.now(),
  sleep: async (ms: number, signal: AbortSignal): Promise<void> => {
    await delay(ms, undefined, { signal }).catch(() => undefined);
  },
};

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
