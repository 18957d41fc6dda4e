/**
 * Layer control-plane. The node stream of a control plane, put together: store to nodes, nodes' reports to the registry,
 * what nodes refuse to Events.
 */
import type { ControllerLog } from "../controllers/controller.ts";
import type { EventInput } from "../controllers/events/recorder.ts";
import type { ObjectClient } from "../registry/client.ts";
import type { Store } from "../store/store.ts";
import { NodeStreamServer } from "./node-stream-server.ts";
import { refusedEvent, unusableEvent, withUid } from "./object-events.ts";
import { RegistryReportSink } from "./registry-report-sink.ts";
import type { ServerKeys } from "./renewable-credentials.ts";
import { StoreSource } from "./store-source.ts";
import { StreamHub } from "./stream-hub.ts";

export interface NodeStreamOptions {
  readonly store: Store;
  readonly client: ObjectClient;
  readonly keys: ServerKeys;
  /** `host:port`, `[address]:port`. */
  readonly address: string;
  readonly log: ControllerLog;
  /** Writes an Event: `EventRecorder.record`. */
  readonly recordEvent: (event: EventInput) => void;
  /** An operator said that the store holds, even where it removes most of what nodes have. */
  readonly isAuthoritative?: boolean;
}

export interface NodeStream {
  readonly hub: StreamHub;
  readonly port: number;
  /** New connections get these from now on. */
  renew(keys: ServerKeys): void;
  close(): Promise<void>;
}

/** @throws {NodeplaneError} CONFIG_INVALID when the address cannot be bound, STORE_FAILED */
export async function openNodeStream(options: NodeStreamOptions): Promise<NodeStream> {
  const { store, client, log } = options;
  const recordEvent = (event: EventInput): void => {
    withUid(event, client).then(options.recordEvent, () => options.recordEvent(event));
  };
  const onProblems = (_key: unknown, problems: readonly Parameters<typeof unusableEvent>[0][]): void => {
    for (const problem of problems) recordEvent(unusableEvent(problem));
  };
  const source = new StoreSource({ store, isAuthoritative: options.isAuthoritative ?? false, onProblems });
  const hub = new StreamHub({
    source,
    events: {
      problems: onProblems,
      refused: (node, role, problems) => {
        for (const problem of problems) {
          log.warn({ node, role, ...problem }, "a node refused an object");
          recordEvent(refusedEvent(node, role, problem));
        }
      },
      failed: (error) => log.error({ error: String(error) }, "node stream: the store could not be read"),
    },
  });
  await hub.start();
  const server = new NodeStreamServer({
    hub,
    address: options.address,
    keys: options.keys,
    sink: new RegistryReportSink({
      client,
      onRefused: (node, object, error) =>
        log.warn({ node, object, error: String(error) }, "a node's report was refused in part"),
    }),
    onError: (node, error) => log.warn({ node, error: String(error) }, "node stream"),
  });
  const port = await server.listen();
  return { hub, port, renew: (keys) => server.renew(keys), close: async () => await server.close() };
}
