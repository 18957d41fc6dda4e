/**
 * What configuration, weights and changes of the node do to packets, beside the cases of packet-cases.yaml: weights of endpoints,
 * every way to know local pods, node-port addresses that come and go. NODEPLANE_TEST_MODE and NODEPLANE_TEST_VARIANT choose the mode.
 */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { NodeFields } from "../packet-cases/objects.ts";
import { eventually, modeUnderTest, Scene, withEndpoints } from "../packet-cases/scene.ts";

const POD = "10.0.0.2";
const VIP = "172.30.0.41";

async function withScene(scene: Scene, run: (scene: Scene) => Promise<void>): Promise<void> {
  try {
    await scene.startAgent();
    await run(scene);
  } finally {
    await scene.close();
  }
}

suite("stateful: weights", () => {
  test("connections follow the weights of endpoints; a weight of 0 gets none", () =>
    withScene(new Scene(["affinity"]), async (scene) => {
      const fixture = scene.fixture("affinity");
      const plain = {
        ...fixture,
        spec: { ...fixture.spec, sessionAffinity: "None", sessionAffinityConfig: undefined },
      };
      await scene.listen(plain.endpoints, "TCP", 80);
      const weights = [3, 1, 0];
      const share = async (given: readonly number[]): Promise<readonly number[]> => {
        const endpoints = plain.endpoints.map((endpoint, i) => ({ ...endpoint, weight: given[i] ?? 1 }));
        await scene.apply([withEndpoints(plain, endpoints)]);
        const { counts, others } = await scene.connect("pod", VIP, 80, 400);
        assert.deepEqual(others, []);
        return endpoints.map(({ addr }) => counts.get(`${addr}:80`) ?? 0);
      };
      assert.equal(plain.endpoints.length, weights.length);
      // Six standard deviations of 400 connections at 3 to 1 are 52.
      const [first = 0, second = 0, third = 0] = await share(weights);
      assert.equal(third, 0);
      assert.ok(Math.abs(first - 300) < 52 && first + second === 400, `${first}, ${second}`);
      // All drained is no usable endpoint: refused, as without endpoints.
      await scene.apply([
        withEndpoints(
          plain,
          plain.endpoints.map((endpoint) => ({ ...endpoint, weight: 0 })),
        ),
      ]);
      const { backends, others } = await scene.connect("pod", VIP, 80, 4);
      assert.deepEqual([backends, others], [[], ["refused"]]);
      const even = await share([256, 256, 256]);
      for (const count of even) assert.ok(Math.abs(count - 133) < 60, even.join(" "));
    }));
});

interface Detection {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly node?: NodeFields;
  readonly prepare?: (scene: Scene) => void;
}

const DETECTIONS: readonly Detection[] = [
  { name: "ClusterCIDR", config: { detectLocalMode: "ClusterCIDR", clusterCIDR: "10.0.0.0/16" } },
  { name: "NodeCIDR", config: { detectLocalMode: "NodeCIDR" }, node: { podCIDRs: ["10.0.0.0/24"] } },
  {
    name: "BridgeInterface",
    config: { detectLocalMode: "BridgeInterface", detectLocal: { bridgeInterface: "cbr0" } },
    prepare: bridgePod,
  },
  {
    name: "InterfaceNamePrefix",
    config: { detectLocalMode: "InterfaceNamePrefix", detectLocal: { interfaceNamePrefix: "po" } },
  },
];

/** Puts the pod behind a bridge. */
function bridgePod({ network }: Scene): void {
  network.namespaces.batch(
    [
      "link add name cbr0 type bridge",
      "addr add 169.254.1.1/32 dev cbr0 scope link",
      "link set cbr0 up",
      "addr flush dev pod",
      "link set pod master cbr0",
      `route replace ${POD}/32 dev cbr0`,
    ],
    "node",
  );
}

suite("stateful: who is a pod of this node", () => {
  for (const { name, config, node, prepare } of DETECTIONS)
    test(`detectLocalMode ${name}`, () =>
      withScene(new Scene(["general", "etp_local"], config), async (scene) => {
        const [web, outside] = [scene.fixture("general", "svc1"), scene.fixture("etp_local")];
        const far = { ...outside, name: "far", spec: { ...outside.spec, clusterIP: "172.30.0.99" } };
        await scene.listen([...web.endpoints, ...far.endpoints], "TCP", 80);
        await scene.apply([web, far], node);
        prepare?.(scene);
        const clients = async (role: string, destination = VIP) => {
          const { clients: seen, others } = await scene.connect(role, destination, 80, 12);
          assert.deepEqual(others, [], `${role} to ${destination}`);
          return seen;
        };
        assert.deepEqual(await clients("pod"), [POD], "a pod of this node keeps its address");
        const [stranger = "", ...more] = await clients("ext");
        assert.deepEqual(more, []);
        assert.ok(!stranger.startsWith("203.0.113."), `${stranger}: others are masqueraded`);
        // Policy Local: pods of this node keep their address and get all endpoints, but for ipvs mode (docs/differences.md), strangers
        // the local one.
        const own = await scene.connect("pod", "1.2.3.4", 80, 64);
        const elsewhere = modeUnderTest() === "ipvs" ? [] : ["10.180.0.1:80"];
        assert.deepEqual(own.backends, [...elsewhere, "10.180.2.1:80"]);
        assert.deepEqual(own.clients, [POD]);
        assert.deepEqual((await scene.connect("ext", "1.2.3.4", 80, 24)).backends, ["10.180.2.1:80"]);
      }));
});

suite("stateful: addresses of the node", () => {
  test("nodePortAddresses follow addresses that come and go", () =>
    withScene(new Scene(["np"], {}, { nodePortAddresses: ["192.168.77.0/24"] }), async (scene) => {
      const service = scene.fixture("np");
      await scene.listen(service.endpoints, "TCP", 80);
      await scene.apply([service]);
      const answers = async () => (await scene.connect("ext", "192.168.77.5", 3001, 4)).backends.length > 0;
      assert.equal(await answers(), false);
      assert.equal((await scene.connect("ext", "192.168.0.2", 3001, 4)).backends.length, 0);
      scene.network.namespaces.batch(["addr add 192.168.77.5/32 dev eth0"], "node");
      await eventually("the new address answers", 20_000, answers);
      scene.network.namespaces.batch(["addr del 192.168.77.5/32 dev eth0"], "node");
      await eventually("the old address is silent", 20_000, async () => !(await answers()));
    }));
});
