/**
 * Layer plan. Session affinity: chains and sets of one service port, shared by all its frontends. Only units that ask for it
 * have any. Pure. Why this layout: docs/adr/0120.
 *
 * Each endpoint has a set of the clients that stick to it; a pick chain looks for the client in the sets of the endpoints
 * that are usable now, then picks by chance and remembers. An endpoint that goes takes its set with it, so nobody sticks to
 * the dead. A set that is full refuses to remember: then the last rules balance without remembering, and are counted.
 */
import type { NftRule, NftSet, NftStatement } from "../../model/nftables.ts";
import type { NodeConfig } from "../node-config.ts";
import { addressBytes, PROTOCOL_NUMBERS, unpackBytes, unpackIp } from "../packed.ts";
import type { UnitShape } from "../unit.ts";
import { fieldsOf } from "./names.ts";
import { fibLocal, fromPods, goto } from "./rules.ts";
import type { PackedSlots } from "./slots.ts";

/** Clients that one endpoint remembers. */
export const AFFINITY_CLIENTS = 65_536;
const PREFIX = "affinity-";

/** `internal`, `external` and `short` decide about masquerade and lead to the pick chains `cluster` and `local`. */
export type AffinityChain = "internal" | "external" | "short" | "cluster" | "local";

/** What of a compiled unit this needs. */
export interface AffinityUnit {
  readonly shape: UnitShape;
  readonly clusterSlots: PackedSlots;
  readonly localSlots: PackedSlots;
}

export interface AffinityLayout {
  readonly sets: readonly NftSet[];
  /** Rules by chain; a chain is after those that it leads to. */
  readonly chains: ReadonlyMap<string, readonly NftRule[]>;
}

export function isAffinityObject(name: string): boolean {
  return name.startsWith(PREFIX);
}

/** Lower case, as kube-proxy has it in names of chains. */
function protocolName(number: number): string {
  const name = Object.entries(PROTOCOL_NUMBERS).find(([, known]) => known === number)?.[0];
  return name?.toLowerCase() ?? String(number);
}

function unitName({ namespace, service, protocol, portName }: UnitShape): string {
  return `${namespace}/${service}/${protocolName(protocol)}/${portName}`;
}

export function affinityChain(shape: UnitShape, chain: AffinityChain): string {
  return `${PREFIX}${chain}/${unitName(shape)}`;
}

interface Endpoint {
  readonly address: Uint8Array;
  readonly port: number;
  readonly set: string;
  slots: number;
}

/** Distinct endpoints, sorted: what the rules are depends on nothing else. */
function endpointsOf(shape: UnitShape, slots: PackedSlots): readonly Endpoint[] {
  const width = addressBytes(shape.family) + 2;
  const found = new Map<string, Endpoint>();
  for (let at = 0; at < slots.length; at += width) {
    const destination = slots.slice(at, at + width);
    const known = found.get(destination);
    if (known !== undefined) {
      known.slots++;
      continue;
    }
    const packed = destination.slice(0, -2);
    const port = destination.charCodeAt(width - 2) * 256 + destination.charCodeAt(width - 1);
    // A name in nft's grammar has no colons.
    const address = unpackIp(packed).replaceAll(":", ".");
    const set = `${PREFIX}clients/${unitName(shape)}/${address}/${port}`;
    found.set(destination, { address: unpackBytes(packed), port, set, slots: 1 });
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, endpoint]) => endpoint);
}

function pickRules(shape: UnitShape, chain: string, endpoints: readonly Endpoint[]): readonly NftRule[] {
  const { source } = fieldsOf(shape.family);
  const protocol: NftStatement = {
    kind: "match",
    field: "meta l4proto",
    op: "==",
    value: Uint8Array.of(shape.protocol),
  };
  const remember = ({ set }: Endpoint): NftStatement => ({
    kind: "dynset",
    op: "update",
    fields: [source],
    set,
    timeoutMs: shape.affinitySeconds * 1000,
  });
  const to = ({ address, port }: Endpoint): readonly NftStatement[] => [
    protocol,
    { kind: "dnat", family: shape.family, address, port },
  ];
  const known = endpoints.map(
    (endpoint): NftRule => ({
      chain,
      statements: [
        { kind: "lookup", fields: [source], set: endpoint.set, negate: false },
        remember(endpoint),
        ...to(endpoint),
      ],
    }),
  );
  const slots = endpoints.flatMap((endpoint) => Array.from({ length: endpoint.slots }, () => endpoint));
  const byChance = (statements: (endpoint: Endpoint) => readonly NftStatement[]) =>
    slots.map((endpoint, i): NftRule => {
      const left = slots.length - i;
      const chance: NftStatement = {
        kind: "match",
        field: { numgenRandomModulus: left },
        op: "==",
        value: new Uint8Array(4),
      };
      return { chain, statements: [...(left > 1 ? [chance] : []), ...statements(endpoint)] };
    });
  return [
    ...known,
    ...byChance((endpoint) => [remember(endpoint), ...to(endpoint)]),
    { chain, statements: [{ kind: "counter" }], comment: "not remembered: set of clients full" },
    ...byChance(to),
  ];
}

/** Chains and sets of a unit with affinity; `undefined` for one without. */
export function affinityLayout(unit: AffinityUnit, node: NodeConfig): AffinityLayout | undefined {
  const { shape } = unit;
  if (shape.affinitySeconds === 0) return undefined;
  const sets = new Map<string, NftSet>();
  const chains = new Map<string, readonly NftRule[]>();
  const { source } = fieldsOf(shape.family);
  const mark: NftStatement = { kind: "mark", mask: 2 ** node.masqueradeBit, xor: 2 ** node.masqueradeBit };
  const pick = (kind: "cluster" | "local", slots: PackedSlots) => {
    if (slots === "") return;
    const endpoints = endpointsOf(shape, slots);
    for (const { set } of endpoints)
      sets.set(set, {
        name: set,
        key: [source],
        data: "none",
        flags: ["timeout", "dynamic"],
        size: AFFINITY_CLIENTS,
      });
    const chain = affinityChain(shape, kind);
    chains.set(chain, pickRules(shape, chain, endpoints));
  };
  pick("cluster", unit.clusterSlots);
  pick("local", unit.localSlots);
  const entry = (kind: AffinityChain, rules: readonly (readonly NftStatement[])[]) => {
    const chain = affinityChain(shape, kind);
    chains.set(
      chain,
      rules.map((statements) => ({ chain, statements })),
    );
  };
  const internal = shape.internalPolicy === "Local" ? "local" : "cluster";
  if (chains.has(affinityChain(shape, internal))) {
    const others = node.masqueradeAll ? undefined : fromPods(node, shape.family, "!=");
    const marking = others === undefined ? [mark] : [others, mark];
    const isMarking = node.masqueradeAll || others !== undefined;
    entry("internal", [...(isMarking ? [marking] : []), [goto(affinityChain(shape, internal))]]);
  }
  if (unit.clusterSlots !== "" && shape.frontends.some((frontend) => frontend.class !== "internal")) {
    const cluster = goto(affinityChain(shape, "cluster"));
    if (shape.externalPolicy === "Cluster") entry("external", [[mark, cluster]]);
    else {
      const pods = fromPods(node, shape.family, "==");
      entry("short", [
        ...(pods === undefined ? [] : [[pods, cluster]]),
        [fibLocal("fib saddr type"), mark, cluster],
      ]);
    }
  }
  return { sets: [...sets.values()], chains };
}
