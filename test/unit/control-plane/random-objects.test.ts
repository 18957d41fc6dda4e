/** Whatever a client sends that has the right shape is taken or refused with an API error: no hook of a kind breaks. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { suite, test } from "node:test";
import fc from "fast-check";
import { makeTable } from "../../../src/control-plane/api/table.ts";
import { KINDS } from "../../../src/control-plane/kinds/index.ts";
import { ApiError } from "../../../src/control-plane/registry/api-error.ts";
import { createObject } from "../../../src/control-plane/registry/create-object.ts";
import { deleteObject } from "../../../src/control-plane/registry/delete-object.ts";
import {
  type ApiObject,
  isJsonObject,
  type Json,
  type JsonObject,
} from "../../../src/control-plane/registry/json.ts";
import { apiVersionOf, type Kind } from "../../../src/control-plane/registry/kind.ts";
import { LeasePool } from "../../../src/control-plane/registry/lease-pool.ts";
import type { Machinery } from "../../../src/control-plane/registry/machinery.ts";
import { mergePatch, PatchError } from "../../../src/control-plane/registry/patches.ts";
import { Registry } from "../../../src/control-plane/registry/registry.ts";
import { readShape, ShapeError } from "../../../src/control-plane/registry/shape.ts";
import { strategicMerge } from "../../../src/control-plane/registry/strategic-merge.ts";
import { updateObject } from "../../../src/control-plane/registry/update-object.ts";
import { MemoryStore } from "../../../src/control-plane/store/memory-store.ts";
import { messageOf } from "./schema-values.ts";

const NOW_MS = 1_800_000_000_000;

function machineryOf(store: MemoryStore): Machinery {
  const nowMs = (): number => NOW_MS;
  return {
    store,
    registry: new Registry(KINDS),
    settings: {
      clusterDomain: "cluster.local",
      serviceCidrs: ["10.96.0.0/24", "fd00:10:96::/112"],
      podCidrs: ["10.244.0.0/16"],
      nodePortRange: { from: 30_000, to: 30_100 },
      apiAddresses: ["192.0.2.1"],
      apiPort: 6443,
    },
    leases: new LeasePool(store, nowMs),
    nowMs,
    newUid: randomUUID,
    newSuffix: () => "abcde",
  };
}

/** Every other time with metadata that is good, so that the rest of the object is looked at. */
function objectOf(kind: Kind, value: JsonObject, isNamed: boolean): ApiObject {
  const named = { name: "a", ...(kind.namespaced ? { namespace: "default" } : {}) };
  const metadata = isNamed ? named : { ...(value["metadata"] as JsonObject | undefined) };
  delete (metadata as JsonObject)["resourceVersion"];
  return { ...value, apiVersion: apiVersionOf(kind), kind: kind.kind, metadata };
}

async function tolerate<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ApiError && error.code < 500) return undefined;
    throw error;
  }
}

/** Creates, shows, changes and deletes. */
async function live(kind: Kind, first: ApiObject, second: ApiObject): Promise<void> {
  const store = new MemoryStore({ ephemeralPrefixes: Registry.ephemeralPrefixes(KINDS) });
  const machinery = machineryOf(store);
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: "default" } };
  const namespaces = machinery.registry.require("namespaces");
  await createObject(machinery, namespace, { kind: namespaces, namespace: "", dryRun: false });
  const place = kind.namespaced ? "default" : "";
  const written = await tolerate(createObject(machinery, first, { kind, namespace: place, dryRun: false }));
  if (written !== undefined) {
    const { object } = written;
    const options = {
      metaVersion: "meta.k8s.io/v1",
      includeObject: "Object",
      nowMs: NOW_MS,
      columns: true,
    } as const;
    const table = JSON.stringify(makeTable(kind, [object], {}, options));
    assert.doesNotMatch(table, /undefined|\[object Object\]|NaN/);
    for (const read of Object.values(kind.fieldSelectors ?? {})) assert.equal(typeof read(object), "string");
    const target = { kind, namespace: place, name: object.metadata.name ?? "" };
    const change = (): ApiObject => ({
      ...structuredClone(second),
      metadata: { ...target, kind: undefined },
    });
    await tolerate(updateObject(machinery, change, { target, dryRun: false, isPatch: false }));
    await tolerate(deleteObject(machinery, target, { dryRun: false }));
  }
  await store.close();
}

/** JSON that is near a Service: its own field names with any values, directives among them. */
const word = fc.constantFrom(
  "metadata",
  "name",
  "labels",
  "finalizers",
  "ownerReferences",
  "spec",
  "ports",
  "port",
  "type",
  "selector",
  "status",
  "loadBalancer",
  "ingress",
  "conditions",
  "$patch",
  "$retainKeys",
  "$setElementOrder/ports",
  "$deleteFromPrimitiveList/finalizers",
  "constructor",
);
const { tree } = fc.letrec<{ tree: Json; leaf: Json; object: JsonObject; array: Json[] }>((tie) => ({
  tree: fc.oneof({ depthSize: "small" }, tie("leaf"), tie("object"), tie("array")),
  leaf: fc.constantFrom<Json>(null, true, 0, 80, -1.5, "", "x", "delete", "replace", "merge"),
  array: fc.array(tie("tree"), { maxLength: 3 }),
  object: fc.dictionary(word, tie("tree"), { maxKeys: 4, noNullPrototype: true }),
}));

test("any JSON as a body or a patch is taken or refused", () => {
  const { schema } = machineryOf(new MemoryStore()).registry.require("services");
  const isRefusal = (error: unknown): boolean => error instanceof ShapeError || error instanceof PatchError;
  const attempt = <T>(work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      if (isRefusal(error)) return undefined;
      throw error;
    }
  };
  fc.assert(
    fc.property(tree, tree, (one, two) => {
      if (!isJsonObject(one) || !isJsonObject(two)) return;
      attempt(() => readShape(schema, one));
      attempt(() => mergePatch(one, two));
      const merged = attempt(() => strategicMerge(one, two, schema));
      if (merged !== undefined) attempt(() => readShape(schema, merged));
    }),
    { numRuns: 2_000 },
  );
});

suite("random objects", () => {
  for (const kind of KINDS) {
    test(`${kind.kind}`, async () => {
      const value = messageOf(kind.schema, 3);
      await fc.assert(
        fc.asyncProperty(value, value, fc.boolean(), async (one, two, isNamed) => {
          await live(kind, objectOf(kind, one, isNamed), objectOf(kind, two, true));
        }),
        { numRuns: 60 },
      );
    });
  }
});
