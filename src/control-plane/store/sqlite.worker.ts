/**
 * Layer control-plane. The thread that owns the SQLite file. Everything that is waiting is taken together, run in one
 * SQLite transaction and answered after its one commit. The only file here with an effect when it is imported: it is
 * the entry of a worker.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { SqliteEngine } from "./sqlite-engine.ts";
import type { Answers, Reply, Report, Request, WorkerSettings } from "./sqlite-protocol.ts";
import { CompactedError, type WatchGroup } from "./store.ts";

const MAX_TOGETHER = 256;
const HISTORY_CHUNK = 500;

function serve(port: MessagePort, { path, options }: WorkerSettings): void {
  const engine = new SqliteEngine(path, options);
  let timer: NodeJS.Timeout | undefined;

  const run = ({ what }: Request, groups: WatchGroup[]): Answers[keyof Answers] => {
    const keep = (group: WatchGroup | undefined): undefined => {
      if (group !== undefined) groups.push(group);
    };
    switch (what.call) {
      case "get":
        return engine.get(what.key);
      case "list":
        return engine.list(what.request);
      case "history":
        return engine.history(what.prefix, what.from, HISTORY_CHUNK);
      case "transact": {
        const { result, group } = engine.transact(what.transaction);
        keep(group);
        return result;
      }
      case "grantLease":
        return engine.grantLease(what.ttlSeconds, Date.now());
      case "keepAlive":
        return engine.keepAlive(what.lease, Date.now());
      case "revokeLease":
        return keep(engine.endLeases(what.lease, Date.now()));
      case "compact":
        engine.compact(what.revision);
        return undefined;
      case "close":
        return undefined;
    }
  };

  const answer = (request: Request, groups: WatchGroup[]): Reply => {
    try {
      return { id: request.id, ok: true, value: run(request, groups) };
    } catch (error) {
      if (error instanceof CompactedError) {
        const compacted: [number, number] = [error.requested, error.compactRevision];
        return { id: request.id, ok: false, compacted, message: error.message };
      }
      // A failed write may be half done: the group commit must not keep it.
      engine.rollback();
      throw error;
    }
  };

  const together = (requests: readonly Request[]): Report => {
    const groups: WatchGroup[] = [];
    try {
      const replies = requests.map((request) => answer(request, groups));
      engine.commit();
      return { groups, replies, compactRevision: engine.compactRevision() };
    } catch (error) {
      engine.rollback();
      const message = error instanceof Error ? error.message : String(error);
      const replies = requests.map(({ id }) => ({ id, ok: false as const, compacted: undefined, message }));
      return { groups: [], replies, compactRevision: engine.compactRevision() };
    }
  };

  const arm = (): void => {
    clearTimeout(timer);
    const next = engine.nextExpiryMs();
    if (next === undefined) return;
    timer = setTimeout(endLeases, Math.min(Math.max(0, next - Date.now()), 2 ** 31 - 1));
    timer.unref();
  };
  const endLeases = (): void => {
    try {
      const group = engine.endLeases(undefined, Date.now());
      engine.commit();
      if (group !== undefined)
        post({ groups: [group], replies: [], compactRevision: engine.compactRevision() });
      arm();
    } catch {
      // The disk fails: writers are told so. Try again later.
      engine.rollback();
      timer = setTimeout(endLeases, 5_000);
      timer.unref();
    }
  };
  const post = (report: Report): void => port.postMessage(report);

  port.on("message", (first: Request) => {
    const requests = [first];
    while (requests.length < MAX_TOGETHER) {
      const next = receiveMessageOnPort(port) as { message: Request } | undefined;
      if (next === undefined) break;
      requests.push(next.message);
    }
    post(together(requests));
    if (requests.some(({ what }) => what.call === "grantLease")) arm();
    if (requests.some(({ what }) => what.call === "close")) {
      clearTimeout(timer);
      engine.close();
      port.close();
    }
  });
  post({
    started: { epoch: engine.epoch, revision: engine.revision() },
    groups: [],
    replies: [],
    compactRevision: engine.compactRevision(),
  });
  arm();
}

if (parentPort !== null) {
  try {
    serve(parentPort, workerData as WorkerSettings);
  } catch (error) {
    const failed = error instanceof Error ? error.message : String(error);
    parentPort.postMessage({ failed, groups: [], replies: [], compactRevision: 0 } satisfies Report);
    parentPort.close();
  }
}
