/**
 * A Service with selector over workloads on two nodes of a three-node dual-stack lab: cluster addresses and node ports, TCP and
 * UDP, IPv4 and IPv6, from pods, nodes and the outside client; equal shares; names.
 */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { CLIENT, nodeAddresses, nodeIndex } from "../../src/lab/addresses.ts";
import { at, listAt } from "../../src/lab/api-client.ts";
import { runTraffic } from "../../src/lab/traffic-process.ts";
import { assertNoLoss, assertShares, TestLab } from "./support/test-lab.ts";

const NODE_PORT = 30080;
const PODS = ["web-1", "web-2", "web-3", "web-4"];
const SERVICE = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "default" },
  spec: {
    type: "NodePort",
    selector: { app: "web" },
    ipFamilyPolicy: "RequireDualStack",
    ports: [
      { name: "http", protocol: "TCP", port: 80, targetPort: 8080, nodePort: NODE_PORT },
      { name: "talk", protocol: "UDP", port: 81, targetPort: 8080, nodePort: NODE_PORT },
    ],
  },
};
const HEADLESS = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "each", namespace: "default" },
  spec: {
    clusterIP: "None",
    selector: { app: "web" },
    ports: [{ name: "http", port: 80, targetPort: 8080 }],
  },
};

suite("a Service over two nodes", () => {
  let lab: TestLab;
  let clusterIPs: readonly string[] = [];
  const podIPs: string[][] = [];

  before(async () => {
    lab = await TestLab.up({ nodes: 3, dualStack: true });
    const pods = await Promise.all(
      PODS.map((name, index) => lab.pod(name, index < 2 ? "node1" : "node2", { app: "web" })),
    );
    podIPs.push(
      pods.map((pod) => pod.ips[0] ?? ""),
      pods.map((pod) => pod.ips[1] ?? ""),
    );
    const service = await lab.apply("/api/v1/namespaces/default/services", SERVICE);
    await lab.apply("/api/v1/namespaces/default/services", HEADLESS);
    clusterIPs = listAt(service, "spec", "clusterIPs").map(String);
    await lab.programmed("web", podIPs.flat());
  });
  after(async () => {
    await lab?.down();
  });

  test("it has an address of each family", () => {
    assert.match(clusterIPs.join(" "), /^10\.\d+\.\d+\.\d+ fd00:10:96::[0-9a-f:]+$/);
  });

  for (const from of ["node1", "node2", "node3", "web-1"]) {
    for (const protocol of ["tcp", "udp"] as const) {
      test(`cluster addresses answer ${from} over ${protocol}, both families`, async () => {
        const port = protocol === "tcp" ? 80 : 81;
        for (const host of clusterIPs) {
          const result = await runTraffic(lab.lab, from, { protocol, count: 400, targets: [{ host, port }] });
          assertNoLoss(result, `${from} to ${host}`);
          assertShares(result, PODS, 10, `${from} to ${host}`);
        }
      });
    }
  }

  for (const protocol of ["tcp", "udp"] as const) {
    test(`node ports of every node answer the client over ${protocol}, both families`, async () => {
      for (const family of ["v4", "v6"] as const) {
        for (const node of lab.nodes) {
          const host = nodeAddresses(nodeIndex(node))[family];
          const result = await runTraffic(lab.lab, "client", {
            protocol,
            count: 400,
            targets: [{ host, port: NODE_PORT }],
          });
          assertNoLoss(result, `client to ${host}`);
          assertShares(result, PODS, 10, `client to ${host}`);
          assert.equal(
            result.clients[CLIENT[family]],
            undefined,
            "the pod must see the node's address, not the client's",
          );
        }
      }
    });
  }

  test("3,000 connections: each of four endpoints gets 25 % ± 4", async () => {
    const [v4 = "", v6 = ""] = clusterIPs;
    const plans = [
      { from: "node3", protocol: "tcp", targets: [{ host: v4, port: 80 }] },
      { from: "web-3", protocol: "udp", targets: [{ host: v6, port: 81 }] },
      {
        from: "client",
        protocol: "tcp",
        targets: lab.nodes.map((node) => ({ host: nodeAddresses(nodeIndex(node)).v4, port: NODE_PORT })),
      },
    ] as const;
    for (const { from, protocol, targets } of plans) {
      const result = await runTraffic(lab.lab, from, { protocol, targets, count: 3000 });
      assertNoLoss(result, from);
      assertShares(result, PODS, 4, `${protocol} from ${from}`);
    }
  });

  // Weight 50: CoreDNS divides 100 by the Service's addresses, two with dual stack.
  test("names of the Service resolve in a pod, on a node and for each endpoint", async () => {
    const dig = async (from: string, question: string): Promise<string> =>
      (await lab.sh(from, `dig +short +time=2 ${question} | sort`)).stdout.trim().replaceAll("\n", " ");
    for (const from of ["web-1", "node3"]) {
      assert.equal(await dig(from, "web.default.svc.cluster.local A"), clusterIPs[0]);
      assert.equal(await dig(from, "web.default.svc.cluster.local AAAA"), clusterIPs[1]);
      assert.equal(
        await dig(from, "_http._tcp.web.default.svc.cluster.local SRV"),
        "0 50 80 web.default.svc.cluster.local.",
      );
      assert.equal(await dig(from, `-x ${clusterIPs[0]}`), "web.default.svc.cluster.local.");
      assert.equal(
        await dig(from, "each.default.svc.cluster.local A"),
        (podIPs[0] ?? []).toSorted().join(" "),
      );
      assert.equal(await dig(from, "+tcp web.default.svc.cluster.local A"), clusterIPs[0]);
    }
    assert.match((await lab.sh("web-1", "curl -s -m 5 http://web/")).stdout, /^web-\d node\d \S+\n$/);
    assert.match((await lab.sh("node3", "curl -s -m 5 http://web.default/")).stdout, /^web-\d node\d \S+\n$/);
  });

  test("a Pod of the lab is in the API with node, address and condition", async () => {
    const pod = await lab.api.get("/api/v1/namespaces/default/pods/web-3");
    assert.equal(at(pod, "spec", "nodeName"), "node2");
    assert.equal(at(pod, "status", "podIP"), podIPs[0]?.[2]);
    assert.deepEqual(
      listAt(pod, "status", "podIPs").map((entry) => at(entry, "ip")),
      podIPs.map((family) => family[2]),
    );
  });
});
