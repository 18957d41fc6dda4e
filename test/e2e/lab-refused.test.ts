/**
 * One Service that the kernel itself refuses: NACKed by its key, told as an Event, in `status` and in a metric, while the rest goes
 * live. What real kernels refuse here is a name: nf_tables takes 255 characters, and the set of clients of an endpoint is named
 * after namespace, Service, port and address, all of them as long as the API allows (docs/differences.md).
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { type ApiObject, at, listAt } from "../../src/lab/api-client.ts";
import { runTraffic } from "../../src/lab/traffic-process.ts";
import { assertNoLoss, TestLab } from "./support/test-lab.ts";

const TIMEOUT_MS = 20_000;
const NAMESPACE = "n".repeat(63);
const NAME = "s".repeat(63);
const PORT_NAME = "p".repeat(63);
const SERVICES = `/api/v1/namespaces/${NAMESPACE}/services`;
const SLICES = `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`;
const PORT = { name: PORT_NAME, protocol: "SCTP", port: 12_345 };
const REFUSED = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: NAME, namespace: NAMESPACE },
  spec: {
    ipFamilies: ["IPv6"],
    ipFamilyPolicy: "SingleStack",
    sessionAffinity: "ClientIP",
    ports: [PORT],
  },
};
const REFUSED_SLICE = {
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: "slice", namespace: NAMESPACE, labels: { "kubernetes.io/service-name": NAME } },
  addressType: "IPv6",
  ports: [{ name: PORT_NAME, protocol: "SCTP", port: 54_321 }],
  endpoints: [{ addresses: ["fd00:1111:2222:3333:4444:5555:6666:7777"], conditions: { ready: true } }],
};
const GOOD = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "default" },
  spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
};

suite("a Service that the kernel refuses", () => {
  let lab: TestLab;

  before(async () => {
    lab = await TestLab.up({ nodes: 1, dualStack: true });
    await lab.apply("/api/v1/namespaces", {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: NAMESPACE },
    });
  });
  after(async () => {
    await lab?.down();
  });

  const metric = async (name: string): Promise<number> => {
    const text = (await lab.sh("node1", "curl -s -m 5 http://127.0.0.1:10249/metrics")).stdout;
    return Number(
      text
        .split("\n")
        .find((line) => line.startsWith(name))
        ?.split(" ")
        .at(-1) ?? "0",
    );
  };

  const refusedInStatus = async (): Promise<readonly unknown[]> => {
    const program = join(import.meta.dirname, "../../bin/nodeplane");
    const { stdout } = await lab.sh("node1", `${program} status -o json`);
    return listAt(JSON.parse(stdout) as ApiObject, "programmed", "refused");
  };

  const event = async (): Promise<ApiObject | undefined> => {
    const events = await lab.api.get(`/api/v1/namespaces/${NAMESPACE}/events`);
    return listAt(events, "items").find((item) => at(item, "reason") === "KernelRefused") as
      | ApiObject
      | undefined;
  };

  test("it is NACKed by its key, and what comes after it goes live", async () => {
    assert.deepEqual(await refusedInStatus(), []);
    await lab.apply(SERVICES, REFUSED);
    await lab.apply(SLICES, REFUSED_SLICE);
    const told = await lab.api.waitFor("an Event about the refused Service", event, TIMEOUT_MS);
    assert.equal(at(told, "involvedObject", "kind"), "Service");
    assert.equal(at(told, "involvedObject", "name"), NAME);
    assert.equal(at(told, "type"), "Warning");
    assert.match(String(at(told, "message")), /^node node1: port p{63}: the kernel refused it \(ip6\): E/);
    const [refused, ...others] = await refusedInStatus();
    assert.deepEqual(others, []);
    assert.deepEqual(at(refused as ApiObject, "object"), {
      kind: "Service",
      namespace: NAMESPACE,
      name: NAME,
    });
    assert.equal(await metric('nodeplane_refused_objects{reason="KernelRefused"}'), 1);

    const pod = await lab.pod("web-1", "node1", { app: "web" });
    const service = await lab.apply("/api/v1/namespaces/default/services", GOOD);
    await lab.programmed("web", pod.ips.slice(0, 1));
    const host = String(at(service, "spec", "clusterIP"));
    const result = await runTraffic(lab.lab, "node1", { count: 50, targets: [{ host, port: 80 }] });
    assertNoLoss(result, "the good Service");
    assert.equal((await refusedInStatus()).length, 1, "the refused one is still told");
  });

  test("once it is mended it is programmed, and nothing is refused any more", async () => {
    await lab.apply(SERVICES, { ...REFUSED, spec: { ...REFUSED.spec, sessionAffinity: "None" } });
    const none = async (): Promise<true | undefined> =>
      (await refusedInStatus()).length === 0 ? true : undefined;
    await lab.api.waitFor("the refusal to go", none, TIMEOUT_MS);
    assert.equal(await metric('nodeplane_refused_objects{reason="KernelRefused"}'), 0);
    const slots = (await lab.sh("node1", "nft list map ip6 nodeplane slots")).stdout;
    assert.match(slots, /sctp \. 12345 .* : fd00:1111:2222:3333:4444:5555:6666:7777 \. 54321/);
  });
});
