/** The node-side commands as functions: what they print, on which stream, with which status. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import pino from "pino";
import type { AgentStatus } from "../../../src/agent/status/agent-status.ts";
import { formatStatus } from "../../../src/agent/status/format-status.ts";
import { refuseSecond } from "../../../src/agent/status/refuse-second.ts";
import { openStatusSocket } from "../../../src/agent/status/status-socket.ts";
import { agentCommand } from "../../../src/cli/agent.ts";
import { cleanupCommand } from "../../../src/cli/cleanup.ts";
import type { Command } from "../../../src/cli/command.ts";
import { planCommand } from "../../../src/cli/plan.ts";
import { statusCommand } from "../../../src/cli/status.ts";
import { FakeClock } from "./fake-clock.ts";

const folder = mkdtempSync(join(tmpdir(), "nodeplane-cli-"));
after(() => rmSync(folder, { recursive: true, force: true }));

async function run(command: Command, ...args: string[]) {
  const text = { out: "", err: "" };
  const status = await command(args, {
    out: (more) => {
      text.out += more;
    },
    err: (more) => {
      text.err += more;
    },
    isTerminal: false,
    env: {},
    signal: new AbortController().signal,
  });
  return { status, ...text };
}

const SECOND = 1_700_000_000_000;
const STATUS: AgentStatus = {
  version: "1.2.3",
  nodeName: "n1",
  startedAt: new Date(SECOND).toISOString(),
  ready: true,
  healthy: true,
  feed: {
    source: "files /o",
    connected: true,
    synced: true,
    ageSeconds: 0,
    problems: ["/o/a.yaml:3: bad"],
    counters: {},
  },
  programmed: {
    mode: "nftables",
    programmed: true,
    revision: "7",
    programmedAtMs: SECOND + 5000,
    services: 2,
    endpointSlices: 3,
    endpoints: 4,
    families: [],
    refused: [
      {
        object: { kind: "Service", namespace: "a", name: "b" },
        reason: "FrontendConflict",
        field: "spec.externalIPs[0]",
        message: "taken",
      },
    ],
    syncs: { count: 1, secondsSum: 0.1, lastSeconds: 0.1 },
  },
  node: { zone: "z", addresses: ["192.0.2.1"], podCIDRs: ["10.244.1.0/24"] },
  preconditions: [
    { name: "a", state: "ok", detail: "" },
    { name: "ip-forward", state: "missing", detail: "cannot set" },
  ],
  workloads: [
    {
      namespace: "default",
      name: "w",
      file: "/m/w.yaml",
      addresses: ["10.0.0.9"],
      ready: false,
      restarts: 2,
      containers: [
        {
          name: "c",
          probes: [
            { type: "readiness", result: "failure", message: "refused", lastSeen: "failure", inRow: 9 },
            { type: "liveness", result: "success", message: "timeout", lastSeen: "failure", inRow: 2 },
          ],
        },
      ],
    },
  ],
  refusedManifests: ["/m/x.yaml: spec: bad"],
};

test("the status as text", () => {
  assert.equal(
    formatStatus(STATUS, SECOND + 65_000),
    `Node:        n1  192.0.2.1
Agent:       nodeplane 1.2.3, since 2023-11-14T22:13:20.000Z (1m5s)
State:       ready: rules are in the kernel
Source:      files /o, connected
Programmed:  nftables, revision 7 since 2023-11-14T22:13:25.000Z (1m0s): 2 services, 3 slices, 4 endpoints
Zone:        z
Pod range:   10.244.1.0/24

Refused objects:
  Service/a/b  FrontendConflict: spec.externalIPs[0]: taken

Problems of the source:
  /o/a.yaml:3: bad

Preconditions:
  missing  ip-forward: cannot set

Workloads:
  not ready default/w  10.0.0.9, 2 restarts
            c readiness: failure, refused
            c liveness: success still, failure 2 in a row: timeout

Refused manifests:
  /m/x.yaml: spec: bad
`,
  );
});

test("the status names the service ports with the most connections, where they are counted", () => {
  const serviceConnections = Array.from({ length: 12 }, (_, i) => ({
    ...{ namespace: "ns", service: `s${i}`, port: "http", connections: i * 100 },
  }));
  const text = formatStatus({ ...STATUS, serviceConnections }, SECOND);
  const [, section = ""] = /^Most connections:\n((?: {2}.*\n)+)/m.exec(text) ?? [];
  const lines = section.trimEnd().split("\n");
  assert.deepEqual(
    [lines.length, lines[0], lines[9]],
    [10, "        1100  ns/s11:http", "         200  ns/s2:http"],
  );
});

test("status asks the socket; without an agent it says so", async () => {
  const path = join(folder, "run", "agent.sock");
  const absent = await run(statusCommand, "--socket", path);
  assert.equal(absent.status, 1);
  assert.match(
    absent.err,
    /^nodeplane status: no agent runs on this node \(nobody answers on .*agent\.sock\): start it/,
  );
  const options = { path, log: pino({ level: "silent" }), clock: new FakeClock() };
  const socket = await openStatusSocket({ ...options, status: () => STATUS });
  assert.ok(socket !== undefined);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(path)).mode & 0o700, 0o700);
  const answered = await run(statusCommand, "-o", "json", "--socket", path);
  assert.equal(answered.status, 0);
  assert.deepEqual(JSON.parse(answered.out), STATUS);
  assert.equal(
    await openStatusSocket({ ...options, status: () => STATUS }),
    undefined,
    "a second agent has no socket",
  );
  const refused = await run(cleanupCommand, "--socket", path);
  assert.equal(refused.status, 1);
  assert.match(refused.err, /the agent of node n1 runs and would restore its rules/);
  await socket.close();
  const here = { ...STATUS, networkNamespace: "net:[2]" };
  const first = await openStatusSocket({ ...options, status: () => here });
  await refuseSecond(path, "net:[3]");
  await refuseSecond("", "net:[2]");
  const second = /the agent of node n1 has been running on this node since \d{4}-.*: stop it first/;
  await assert.rejects(refuseSecond(path, "net:[2]"), second);
  await first?.close();
  await refuseSecond(path, "net:[2]");
});

test("plan prints a script for nft and names what would be refused", async () => {
  const objects = join(folder, "o.yaml");
  const service = (name: string) =>
    `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {clusterIP: 10.96.0.7, ports: [{port: 80}]}\n`;
  writeFileSync(
    objects,
    `${service("a")}---\n${service("b")}---\napiVersion: v1\nkind: Service\nmetadata: {name: c}\nspec: {ports: [{port: 99999}]}\n`,
  );
  const plan = await run(
    planCommand,
    "-f",
    objects,
    "--node-name",
    "n1",
    "--mode",
    "nftables",
    "--node-ip",
    "192.0.2.1",
  );
  assert.match(plan.out, /^add table ip nodeplane$/m);
  const ipvs = await run(planCommand, "-f", objects, "--mode", "ipvs", "--node-ip", "192.0.2.1");
  assert.match(ipvs.out, /^address add 10\.96\.0\.7\/32 dev kube-ipvs0$/m);
  assert.match(ipvs.out, /^add table ip nodeplane-ipvs$/m);
  assert.match(plan.out, /10\.96\.0\.7 \. /);
  assert.match(plan.err, /Service\/default\/b: FrontendConflict: /);
  assert.match(plan.err, /Service\/default\/c: .*99999|port/);
  assert.equal(plan.status, 1);
});

const usage: readonly { name: string; command: Command; args: readonly string[]; want: RegExp }[] = [
  { name: "plan without objects", command: planCommand, args: [], want: /-f: say which objects/ },
  {
    name: "plan of a file that is not",
    command: planCommand,
    args: ["-f", "/nonexistent.yaml"],
    want: /cannot read: \/nonexistent\.yaml/,
  },
  {
    name: "status in another format",
    command: statusCommand,
    args: ["-o", "xml"],
    want: /--output: "xml" is not allowed; allowed: text, json/,
  },
  {
    name: "cleanup with an unknown flag",
    command: cleanupCommand,
    args: ["--all"],
    want: /Unknown option '--all'/,
  },
  { name: "agent without a source", command: agentCommand, args: [], want: /say where objects come from/ },
];

for (const row of usage) {
  test(`usage: ${row.name}`, async () => {
    await assert.rejects(run(row.command, ...row.args), row.want);
  });
}

test("every command describes itself", async () => {
  for (const command of [agentCommand, statusCommand, planCommand, cleanupCommand]) {
    const help = await run(command, "--help");
    assert.equal(help.status, 0);
    assert.match(help.out, /^Usage: nodeplane /);
  }
});
