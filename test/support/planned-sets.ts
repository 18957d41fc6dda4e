/** Test code. Object sets whose plans are kept as golden files, and played on kernels. */
import type { FeedObject } from "../../src/model/objects.ts";
import type { NodeConfig } from "../../src/plan/node-config.ts";
import { type CaseFile, fixtureObjects } from "./packet-cases.ts";

export interface PlannedSet {
  readonly name: string;
  readonly objects: readonly FeedObject[];
  readonly node: NodeConfig;
}

function withWeights(objects: readonly FeedObject[]): FeedObject[] {
  return objects.map((object) =>
    object.kind === "EndpointSlice"
      ? { ...object, endpoints: object.endpoints.map((endpoint, i) => ({ ...endpoint, weight: i * 3 + 1 })) }
      : object,
  );
}

/** Every fixture of `file` on `node`, on nodes that are configured otherwise, and with weights. */
export function plannedSets(file: CaseFile, node: NodeConfig): readonly PlannedSet[] {
  return [
    ...Object.keys(file.fixtures).map((name) => ({ name, objects: fixtureObjects(file, name), node })),
    {
      name: "node-masquerade-all",
      objects: fixtureObjects(file, "np"),
      node: { ...node, masqueradeAll: true },
    },
    { name: "node-mark-bit-5", objects: fixtureObjects(file, "np"), node: { ...node, masqueradeBit: 5 } },
    {
      name: "node-localhost-node-ports",
      objects: fixtureObjects(file, "np"),
      node: { ...node, localhostNodePorts: true },
    },
    {
      name: "node-bridge",
      objects: fixtureObjects(file, "etp_local"),
      node: { ...node, localTraffic: { kind: "interface", name: "cbr0", prefix: false } },
    },
    {
      name: "node-interface-prefix",
      objects: fixtureObjects(file, "etp_local"),
      node: { ...node, localTraffic: { kind: "interface", name: "cali", prefix: true } },
    },
    {
      name: "node-be-liberal",
      objects: fixtureObjects(file, "np"),
      node: { ...node, conntrackBeLiberal: true },
    },
    { name: "weights", objects: withWeights(fixtureObjects(file, "general")), node },
    { name: "nothing", objects: [], node },
  ];
}
