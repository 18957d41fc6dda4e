/** Layer control-plane. Messages between SqliteStore and its worker thread. */
import type { History } from "./engine.ts";
import type {
  Entry,
  ListRequest,
  ListResult,
  StoreOptions,
  Transaction,
  TransactionResult,
  WatchGroup,
} from "./store.ts";

/** What the worker is started with. */
export interface WorkerSettings {
  readonly path: string;
  readonly options: StoreOptions;
}

export type Call =
  | { readonly call: "get"; readonly key: string }
  | { readonly call: "list"; readonly request: ListRequest }
  | { readonly call: "transact"; readonly transaction: Transaction }
  | { readonly call: "history"; readonly prefix: string; readonly from: number }
  | { readonly call: "grantLease"; readonly ttlSeconds: number }
  | { readonly call: "keepAlive"; readonly lease: number }
  | { readonly call: "revokeLease"; readonly lease: number }
  | { readonly call: "compact"; readonly revision: number }
  | { readonly call: "close" };

export interface Request {
  readonly id: number;
  readonly what: Call;
}

export interface Answers {
  get: Entry | undefined;
  list: ListResult;
  transact: TransactionResult;
  history: History | undefined;
  grantLease: number;
  keepAlive: boolean;
  revokeLease: undefined;
  compact: undefined;
  close: undefined;
}

export type Reply =
  | { readonly id: number; readonly ok: true; readonly value: Answers[keyof Answers] }
  | {
      readonly id: number;
      readonly ok: false;
      readonly compacted: [number, number] | undefined;
      readonly message: string;
    };

/** From the worker: one after each commit, or at the start. */
export interface Report {
  readonly started?: { readonly epoch: string; readonly revision: number };
  /** The worker cannot go on (the file cannot be opened). */
  readonly failed?: string;
  readonly groups: readonly WatchGroup[];
  readonly replies: readonly Reply[];
  readonly compactRevision: number;
}
