/** All three daemons under one systemd with their units' restrictions: control plane, then agent and resolver on its stream. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { dropIn, SystemdMachine } from "./machine.ts";

const UNITS = [
  "nodeplane-control-plane.service",
  "nodeplane-agent.service",
  "nodeplane-dns.service",
] as const;
const [CONTROL_PLANE, AGENT, DNS] = UNITS;

/** Not on the machine at first. */
const ADDRESS = "192.0.2.9";

const machine = new SystemdMachine();

before(async () => {
  for (const unit of UNITS) {
    machine.install(unit);
    machine.write(`systemd/system/${unit}.d/test.conf`, dropIn(unit));
  }
  machine.write(
    "nodeplane/control-plane.env",
    "NODEPLANE_CONTROL_PLANE_FLAGS=--advertise-address=127.0.0.1\n",
  );
  await machine.boot();
});
after(() => machine.close());

test("the control plane's unit turns active, without a single capability", async () => {
  machine.run("systemctl", "start", "--no-block", CONTROL_PLANE);
  await machine.waitFor(CONTROL_PLANE, "active", 60_000);
  const pid = machine.run("systemctl", "show", "--property=MainPID", "--value", CONTROL_PLANE);
  assert.match(machine.run("cat", `/proc/${pid}/status`), /^CapEff:\t0+$/m);
});

test("a node's certificate and configuration come into their places", () => {
  machine.run("nodeplane", "certificate", "node", "n1", "--out", "/tmp/n1", "--server", "127.0.0.1:6444");
  machine.run("sh", "/opt/nodeplane/packaging/node/configure.sh", "/tmp/n1", ADDRESS);
});

test("the agent's unit turns active on the node stream and registers the node", async () => {
  machine.run("systemctl", "start", "--no-block", AGENT);
  await machine.waitFor(AGENT, "active", 60_000);
  const kubeconfig = "/var/lib/nodeplane/control-plane/admin.kubeconfig";
  const isReady = () => machine.run("nodeplane", "status").includes("ready: rules are in the kernel");
  assert.ok(isReady());
  assert.match(machine.run("nft", "list", "table", "ip", "nodeplane"), /10\.96\.0\.1 /);
  assert.equal(machine.try("test", "-s", kubeconfig).status, 0);
});

test("the resolver's unit waits for its address, turns active and answers", async () => {
  machine.run("systemctl", "start", "--no-block", DNS);
  const restarts = () => Number(machine.run("systemctl", "show", "--property=NRestarts", "--value", DNS));
  await machine.until("it was started again", 30_000, () => restarts() > 0);
  machine.run("ip", "address", "add", `${ADDRESS}/32`, "dev", "lo");
  await machine.waitFor(DNS, "active", 60_000);
  const ask = () =>
    machine.try("dig", `@${ADDRESS}`, "+short", "+time=1", "+tries=1", "kubernetes.default.svc.cluster.local")
      .stdout;
  await machine.until("the name of the API resolves", 20_000, () => ask() === "10.96.0.1");
});

test("all end cleanly", () => {
  machine.run("systemctl", "stop", ...UNITS);
  for (const unit of UNITS) {
    assert.equal(machine.state(unit), "inactive", unit);
    assert.equal(machine.run("systemctl", "show", "--property=Result", "--value", unit), "success", unit);
  }
});
