/** The agent under a real systemd: its unit is active only when rules are in the kernel, and rules outlive it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { dropIn, SystemdMachine } from "./machine.ts";

const SERVICES = 3000;
const AGENT = "nodeplane-agent.service";

const LOOK = `[Unit]
DefaultDependencies=no
Requires=${AGENT}
After=${AGENT}
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c "nft -n list ruleset > /tmp/ruleset"
`;

/** Its start cures what its probe looks at. */
const WORKLOAD = `[Unit]
DefaultDependencies=no
[Service]
ExecStartPre=/bin/rm -f /run/workload-is-dead
ExecStart=/bin/sleep infinity
`;

const MANIFEST = `apiVersion: v1
kind: Pod
metadata:
  name: w
  annotations: {nodeplane.dev/pod-ip: 10.244.0.9, nodeplane.dev/unit: workload.service}
spec:
  containers:
  - name: c
    livenessProbe: {exec: {command: [test, "!", -e, /run/workload-is-dead]}, periodSeconds: 1, failureThreshold: 1}
`;

const PROXY =
  "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nhostnameOverride: n1\n";
const AGENT_CONFIG = "apiVersion: nodeplane.dev/v1alpha1\nkind: AgentConfiguration\n";

function address(index: number): string {
  return `10.96.${Math.floor(index / 250)}.${1 + (index % 250)}`;
}

function objects(): string {
  return Array.from({ length: SERVICES }, (_, i) =>
    JSON.stringify({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: `s${i}`, namespace: "default" },
      spec: { clusterIP: address(i), ports: [{ port: 80 }] },
    }),
  ).join("\n");
}

function machine(config: string): SystemdMachine {
  const made = new SystemdMachine();
  made.install(AGENT);
  made.write(`systemd/system/${AGENT}.d/test.conf`, dropIn(AGENT, "WatchdogSec=6s\n"));
  made.write("systemd/system/look.service", LOOK);
  made.write("systemd/system/workload.service", WORKLOAD);
  made.write("nodeplane/manifests/w.yaml", MANIFEST);
  made.write("nodeplane/agent.yaml", config);
  made.write("nodeplane/objects.jsonl", objects());
  return made;
}

const standalone = machine(`${PROXY}---\n${AGENT_CONFIG}objects: /etc/nodeplane/objects.jsonl\n`);
/** A control plane that is not there, and certificates that would do. */
const unreachable = machine(
  `${PROXY}---\n${AGENT_CONFIG}controlPlane: {address: "127.0.0.1:1", caFile: /etc/nodeplane/n1.crt, certificateFile: /etc/nodeplane/n1.crt, keyFile: /etc/nodeplane/n1.key}\n`,
);

function certify(to: SystemdMachine): void {
  const folder = mkdtempSync(join(tmpdir(), "nodeplane-certificate-"));
  const [key, crt] = [join(folder, "n1.key"), join(folder, "n1.crt")];
  const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  execFileSync(
    "openssl",
    [...request, "-subj", "/O=system:nodes/CN=system:node:n1", "-keyout", key, "-out", crt],
    {
      stdio: "ignore",
    },
  );
  to.write("nodeplane/n1.key", readFileSync(key, "utf8"));
  to.write("nodeplane/n1.crt", readFileSync(crt, "utf8"));
  rmSync(folder, { recursive: true });
}

before(async () => {
  await standalone.boot();
  certify(unreachable);
  await unreachable.boot();
});
after(() => {
  standalone.close();
  unreachable.close();
});

test("what is ordered after the agent's unit finds every rule in the kernel", async () => {
  standalone.run("systemctl", "start", "--no-block", "look.service");
  await standalone.waitFor("look.service", "active", 60_000);
  assert.equal(standalone.state(AGENT), "active");
  const ruleset = standalone.run("cat", "/tmp/ruleset");
  for (const index of [0, SERVICES - 1])
    assert.ok(ruleset.includes(`${address(index)} `), `service ${index}`);
  assert.match(
    standalone.run("systemctl", "show", "--property=StatusText", AGENT),
    /Programmed 3000 services/,
  );
});

test("status works under the unit's restrictions, and forwarding is set", () => {
  const status = JSON.parse(standalone.run("nodeplane", "status", "-o", "json")) as Record<string, unknown>;
  assert.equal(status["ready"], true);
  assert.equal(standalone.run("cat", "/proc/sys/net/ipv4/ip_forward"), "1");
});

test("a failed liveness probe restarts the unit of the workload, from inside the agent's restrictions", async () => {
  const unit = "workload.service";
  standalone.run("systemctl", "start", unit);
  const pid = () => standalone.run("systemctl", "show", "--property=MainPID", "--value", unit);
  const before = pid();
  standalone.run("sh", "-c", "echo gone > /run/workload-is-dead");
  const isRestarted = () => pid() !== before && standalone.state(unit) === "active";
  await standalone.until("the workload runs again", 30_000, isRestarted);
  const restarted = /ready {5}default\/w {2}10\.244\.0\.9, 1 restarts/;
  await standalone.until(`status says ${restarted}`, 20_000, () =>
    restarted.test(standalone.try("nodeplane", "status").stdout),
  );
});

test("a killed agent comes back and changes nothing; a stopped one leaves its rules", async () => {
  const generation = () => standalone.run("nft", "-n", "list", "ruleset").length;
  const before = generation();
  const pid = standalone.run("systemctl", "show", "--property=MainPID", "--value", AGENT);
  standalone.run("kill", "-9", pid);
  await delay(200);
  await standalone.waitFor(AGENT, "active", 30_000);
  assert.notEqual(standalone.run("systemctl", "show", "--property=MainPID", "--value", AGENT), pid);
  assert.equal(generation(), before);
  standalone.run("systemctl", "stop", AGENT);
  assert.equal(standalone.state(AGENT), "inactive");
  assert.equal(standalone.run("systemctl", "show", "--property=Result", "--value", AGENT), "success");
  assert.equal(generation(), before);
});

test("an agent that hangs is replaced", async () => {
  standalone.run("systemctl", "start", AGENT);
  const pid = () => standalone.run("systemctl", "show", "--property=MainPID", "--value", AGENT);
  const before = pid();
  standalone.run("kill", "-STOP", before);
  const isReplaced = () => pid() !== before && standalone.state(AGENT) === "active";
  await standalone.until("another agent runs", 60_000, isReplaced);
});

test("an agent without a state is not active, and nothing after it starts", async () => {
  unreachable.run("systemctl", "start", "--no-block", "look.service");
  await unreachable.waitFor(AGENT, "activating", 10_000);
  const status = (): string => unreachable.try("nodeplane", "status").stdout;
  // Its socket is there before its rules; how soon depends on the machine.
  await unreachable.until("the agent tells its status", 30_000, () => status() !== "");
  assert.match(status(), /not ready: rules are not in the kernel yet/);
  await delay(2500);
  assert.equal(unreachable.state(AGENT), "activating");
  assert.equal(unreachable.state("look.service"), "inactive");
});
