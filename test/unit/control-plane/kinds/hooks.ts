/** For tests of kinds: runs an object through a kind's hooks as the machinery does, over an allocation table in memory. */
import { formatFieldError } from "../../../../src/control-plane/registry/field-error.ts";
import type { ApiObject } from "../../../../src/control-plane/registry/json.ts";
import type { ClusterSettings, Kind, WriteContext } from "../../../../src/control-plane/registry/kind.ts";
import { SETTINGS } from "../controllers/harness.ts";

/** Allocations in memory; `commit` keeps what the last write did. */
export class Table {
  readonly keys = new Map<string, string>();
  reads = 0;
  listings = 0;

  context(settings: Partial<ClusterSettings> = {}): WriteContext & { commit(): void } {
    const pending = new Map<string, string | undefined>();
    return {
      settings: { ...SETTINGS, ...settings },
      nowMs: 0,
      dryRun: false,
      read: async (key) => {
        this.reads++;
        return await Promise.resolve(pending.has(key) ? pending.get(key) : this.keys.get(key));
      },
      keys: async (prefix) => {
        this.listings++;
        return await Promise.resolve(
          [...this.keys.keys()].filter((key) => key.startsWith(prefix)).toSorted(),
        );
      },
      put: (key, value) => void pending.set(key, value),
      remove: (key) => void pending.set(key, undefined),
      commit: () => {
        for (const [key, value] of pending) {
          if (value === undefined) this.keys.delete(key);
          else this.keys.set(key, value);
        }
      },
    };
  }
}

export interface Outcome {
  readonly object: ApiObject;
  /** Errors as kubectl shows them; empty when the write goes through. */
  readonly errors: readonly string[];
}

export interface WriteOptions {
  readonly old?: ApiObject;
  readonly table?: Table;
  readonly settings?: Partial<ClusterSettings>;
}

/** Create, or update of `old`. Status is taken from `old` as the machinery does. */
export async function write(kind: Kind, input: ApiObject, options: WriteOptions = {}): Promise<Outcome> {
  const { old, table = new Table(), settings } = options;
  const context = table.context(settings);
  const object = structuredClone(input);
  kind.setDefaults?.(object, context, old);
  if (old === undefined) kind.prepareForCreate?.(object, context);
  else {
    if (old["status"] !== undefined) object["status"] = structuredClone(old["status"]);
    kind.prepareForUpdate?.(object, old, context);
  }
  const found = [
    ...(kind.validate?.(object, context) ?? []),
    ...(old === undefined ? [] : (kind.validateUpdate?.(object, old, context) ?? [])),
  ];
  const errors = found.length > 0 ? found : ((await kind.allocate?.(object, old, context)) ?? []);
  if (errors.length === 0) context.commit();
  return { object, errors: errors.map(formatFieldError) };
}
