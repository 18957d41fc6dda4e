/**
 * The oracle of the random walks against the packet cases, which follow upstream's own tests: it must say of every case with a port
 * what the case expects, in both modes.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type Case, type CaseFile, readCaseFile } from "../../packet-cases/case-file.ts";
import { objectsText } from "../../packet-cases/objects.ts";
import type { Cluster, ServiceJson, SliceJson } from "../../walk/cluster.ts";
import { nameOf } from "../../walk/cluster.ts";
import { Oracle, type Packet, type WalkConfig } from "../../walk/oracle.ts";

const FILE = join(import.meta.dirname, "../../cases/packet-cases.yaml");

/** The fixture's objects, as the agent reads them. */
function clusterOf(file: CaseFile, { fixture, zone }: Case): Cluster {
  const text = objectsText(file.topology, file.fixtures.get(fixture) ?? [], zone, 0);
  const services = new Map<string, ServiceJson>();
  const slices = new Map<string, SliceJson>();
  for (const line of text.trimEnd().split("\n")) {
    const object = JSON.parse(line) as { readonly kind: string };
    if (object.kind === "Service") {
      const { status, ...service } = object as unknown as ServiceJson & {
        readonly status: { readonly loadBalancer?: { readonly ingress: ServiceJson["ingress"] } };
      };
      services.set(nameOf(service), { ...service, ingress: status.loadBalancer?.ingress ?? [] });
    } else if (object.kind === "EndpointSlice") {
      const slice = { ...(object as unknown as SliceJson), weights: {} };
      slices.set(nameOf(slice), slice);
    }
  }
  const { serviceCidrs } = file.topology;
  return { services, slices, serviceCidrs: [...serviceCidrs], ...(zone === undefined ? {} : { zone }) };
}

function configOf(file: CaseFile, { config, packet }: Case, mode: WalkConfig["mode"]): WalkConfig {
  const { addresses, nodeName, localCidrs } = file.topology;
  const own = Object.entries(addresses).flatMap(([role, address]) =>
    role.startsWith("node") ? [address] : [],
  );
  // Some cases give the node an address for as long as they are played.
  const held = packet.from.startsWith("node") && packet.src !== undefined ? [packet.src] : [];
  return {
    mode,
    nodeName,
    podCidrs: localCidrs,
    masqueradeAll: config.masqueradeAll,
    detector: { kind: config.detectLocalMode },
    nodePortAddresses: config.nodePortAddresses,
    localhostNodePorts: config.localhostNodePorts,
    isGuardLeft: false,
    nodeAddresses: [...own, ...held],
    primaryAddresses: { ip: addresses["node"] ?? "", ip6: addresses["node_v6"] ?? "" },
  };
}

function packetOf(file: CaseFile, { packet }: Case): Packet | undefined {
  const { from, proto: protocol, dst: destination, port } = packet;
  if (protocol === "ICMP") return undefined;
  return {
    from: from.startsWith("node") ? "node" : from.startsWith("ext") ? "ext" : "pod",
    device: "",
    family: destination.includes(":") ? "ip6" : "ip",
    source: packet.src ?? file.topology.addresses[from] ?? "",
    destination,
    protocol,
    port,
  };
}

for (const mode of ["nftables", "iptables"] as const) {
  const file = readCaseFile(FILE, mode);
  describe(`the oracle in ${mode} mode`, () => {
    for (const item of file.cases) {
      const packet = packetOf(file, item);
      const { expect } = item;
      if (packet === undefined || expect === undefined) continue;
      // The IP stack drops it, unless a guard does so before.
      if (packet.destination.startsWith("127.") && packet.from !== "node" && mode === "nftables") continue;
      test(item.id, () => {
        const found = new Oracle(clusterOf(file, item), configOf(file, item, mode)).expect(packet);
        const wanted = expect.result === "BACKENDS" ? "BACKEND" : expect.result;
        assert.deepEqual(found.verdicts, [wanted]);
        assert.deepEqual([...found.endpoints.keys()].sort(), [...expect.backends].sort());
        if (expect.masq === undefined) return;
        for (const { masquerade } of found.endpoints.values())
          assert.ok(masquerade === expect.masq || masquerade === "either", `masquerade ${masquerade}`);
      });
    }
  });
}
