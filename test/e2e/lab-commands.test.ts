/** The commands of the lab as a person uses them: up twice, two labs side by side, pods, a killed lab, bad input, nothing left. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { ApiClient } from "../../src/lab/api-client.ts";
import { labProcesses } from "../../src/lab/down.ts";
import { LabDir } from "../../src/lab/lab-dir.ts";
import { signalProcess, waitGone } from "../../src/lab/processes.ts";
import { type RunResult, tryRun } from "../../src/lab/run.ts";
import { labRemains, machineState } from "./support/machine.ts";

const NODEPLANE = join(import.meta.dirname, "../../bin/nodeplane");
const BASE = process.env["NODEPLANE_LAB_BASE"] ?? "/run/nodeplane-lab";

suite("lab commands", () => {
  const first = `t-${randomBytes(4).toString("hex")}`;
  const second = `t-${randomBytes(4).toString("hex")}`;
  let machine = "";

  const lab = async (...args: readonly string[]): Promise<RunResult> =>
    await tryRun([NODEPLANE, "lab", ...args], { timeoutMs: 90_000 });
  const ok = async (...args: readonly string[]): Promise<string> => {
    const result = await lab(...args);
    assert.equal(result.status, 0, `lab ${args.join(" ")}: ${result.stdout}${result.stderr}`);
    return result.stdout;
  };

  before(async () => {
    machine = await machineState();
  });
  after(async () => {
    await lab("down", "--name", first);
    await lab("down", "--name", second);
  });

  test("two labs come up side by side; up twice is harmless", async () => {
    await Promise.all([
      ok("up", "--name", first, "--nodes", "2"),
      ok("up", "--name", second, "--nodes", "1"),
    ]);
    assert.match(await ok("up", "--name", first), /is up \(2 nodes\)/);
    const other = await lab("up", "--name", first, "--nodes", "3");
    assert.equal(other.status, 2);
    assert.match(other.stderr, /--nodes 3: the lab that is up has 2/);
    assert.match(await ok("status", "--name", first), /node2 +up +192\.168\.96\.12 +10\.244\.\d+\.0\/24/);
  });

  test("the kubeconfig works from the machine's own namespace", async () => {
    const path = (await ok("kubeconfig", "--name", first)).trim();
    const api = new ApiClient(path);
    try {
      assert.equal((await api.send("GET", "/readyz")).status, 200);
      assert.equal((await api.get("/api/v1/nodes/node2"))?.["kind"], "Node");
    } finally {
      api.close();
    }
  });

  test("a pod runs, answers on every port, resolves like a pod of its namespace, and goes", async () => {
    assert.match(
      await ok("pod", "echo", "--name", first, "--node", "node1", "--namespace", "shop", "--labels", "app=e"),
      /pod shop\/echo on node1 at 10\.244\./,
    );
    assert.match(
      await ok("exec", "echo", "--name", first, "--", "cat", "/etc/resolv.conf"),
      /^nameserver 10\.96\.0\.10\nsearch shop\.svc\.cluster\.local /,
    );
    const ip = (await ok("exec", "echo", "--name", first, "--", "hostname", "-I")).trim();
    for (const port of ["1", "8080", "65535"]) {
      assert.equal(
        await ok("exec", "client", "--name", first, "--", "curl", "-s", "-m", "5", `http://${ip}:${port}/`),
        "echo node1 203.0.113.10\n",
      );
    }
    assert.equal((await lab("exec", "echo", "--name", first, "--", "sh", "-c", "exit 7")).status, 7);
    const command = [
      "pod",
      "own",
      "--name",
      first,
      "--node",
      "node2",
      "--",
      "sh",
      "-c",
      "while :; do sleep 1; done",
    ];
    assert.match(await ok(...command), /pod default\/own on node2/);
    await ok("delete-pod", "own", "--name", first);
    await ok("delete-pod", "echo", "--name", first, "--namespace", "shop");
    assert.doesNotMatch(await ok("status", "--name", first), /echo|own/);
  });

  test("a pod whose command ends at once is an error that says why", async () => {
    const gone = await lab("pod", "gone", "--name", first, "--node", "node1", "--", "/nonexistent");
    assert.equal(gone.status, 1);
    assert.match(
      gone.stderr,
      /^nodeplane lab: command failed: pod default\/gone: it ended: .*No such file or directory \(log: /,
    );
    await ok("delete-pod", "gone", "--name", first);
  });

  test("bad input is one clear line and exit 2", async () => {
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [["up", "--nodes", "0"], /--nodes "0" is not allowed/],
      [["up", "--mode", "ebpf"], /--mode "ebpf" is not allowed/],
      [["up", "--frob"], /Unknown option '--frob'/],
      [["frob"], /there is no "lab frob"/],
      [["pod", "x", "--name", first], /needs --node, one of node1, node2/],
      [["pod", "x", "--name", first, "--node", "node9"], /"node9" is none of node1/],
      [["pod", "x", "--name", first, "--node", "node1", "--ports", "0"], /--ports: "0" is not allowed/],
      [["exec", "nobody", "--name", first, "--", "true"], /no such node or pod/],
      [["exec", "node1", "--name", first], /needs a command behind --/],
      [["kubeconfig", "--name", "t-none"], /it is not up/],
    ];
    for (const [args, expected] of cases) {
      const result = await lab(...args);
      assert.equal(result.status, 2, args.join(" "));
      assert.match(result.stderr, expected);
      assert.equal(result.stderr.trim().split("\n").length, 1, result.stderr);
    }
  });

  test("down leaves the other lab alone and nothing of its own", async () => {
    assert.match(await ok("down", "--name", first), /nothing is left/);
    assert.match(await ok("down", "--name", first), /there is no lab/);
    assert.deepEqual(labRemains(first), []);
    assert.match(
      await ok(
        "exec",
        "node1",
        "--name",
        second,
        "--",
        "dig",
        "+short",
        "kubernetes.default.svc.cluster.local",
      ),
      /^10\.96\.0\.1\n/,
    );
  });

  test("a lab whose processes were killed is taken down", async () => {
    const dir = new LabDir(second, BASE);
    const ids = labProcesses(dir, dir.require()).filter(
      (id) => !/nodeplane agent/.test(readFileSync(`/proc/${id.pid}/cmdline`, "utf8").replaceAll("\0", " ")),
    );
    for (const id of ids) signalProcess(id, "SIGKILL");
    await waitGone(ids, 5000);
    assert.equal((await lab("status", "--name", second)).status, 1);
    await ok("down", "--name", second);
    assert.deepEqual(labRemains(second), []);
    assert.equal(existsSync(dir.path), false);
    assert.equal(await machineState(), machine, "the machine's own namespace changed");
  });
});
