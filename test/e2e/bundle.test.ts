/**
 * What is released works on its own: the bundle, copied to a folder without node_modules or sources, starts all three daemons,
 * which serve one another. In a network namespace with a private /run.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "../..");

const COREFILE = `.:53 {
    errors
    ready 127.0.0.1:8181
    kubernetes cluster.local
}
`;

/** Runs with $1 = folder of the bundle, $2 = working folder. Each daemon is ended by SIGTERM and must exit 0. */
const SCRIPT = `
set -eu
ip link set lo up
ip address add 192.168.96.11/32 dev lo
mount -t tmpfs tmpfs /run
bundle=$1; work=$2; np=$bundle/bin/nodeplane
unset NODE_PATH NODE_COMPILE_CACHE
cd "$work"

wait_for() {
  name=$1; shift
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { echo "$name did not come up"; cat "$work"/*.log; exit 1; }
    sleep 0.2
  done
}

"$np" control-plane --data-dir "$work/cp" --bind-address 127.0.0.1 --advertise-address 127.0.0.1 >cp.log 2>&1 &
control=$!
wait_for control-plane curl -sfk https://127.0.0.1:6443/readyz
"$np" certificate node n1 --data-dir "$work/cp" --out "$work/pki" --node-dir "$work/pki" --server 127.0.0.1:6444 >/dev/null

"$np" agent --config "$work/pki/agent.yaml" --node-ip 192.168.96.11 --state-dir "$work/agent" --manifest-dir "$work/manifests" >agent.log 2>&1 &
agent=$!
# shellcheck disable=SC2046
"$np" dns -conf "$work/Corefile" $(cat "$work/pki/dns.flags") --state-dir "$work/dns" >dns.log 2>&1 &
dns=$!
wait_for agent curl -sf http://127.0.0.1:10256/readyz
wait_for dns curl -sf http://127.0.0.1:8181/ready

echo "answer: $(dig +short +time=2 @127.0.0.1 kubernetes.default.svc.cluster.local)"
"$np" status | grep -q 'rules are in the kernel' && echo "status: ready"
nft list table ip nodeplane | grep -q '10.96.0.1 ' && echo "kernel: programmed"
kill $agent; wait $agent && echo "agent: exit 0"
kill $dns; wait $dns && echo "dns: exit 0"
kill $control; wait $control && echo "control-plane: exit 0"
`;

test("the bundle starts all three daemons without node_modules", { timeout: 180_000 }, () => {
  execFileSync(process.execPath, [join(root, "packaging/bundle.ts")], { stdio: "pipe" });
  const folder = mkdtempSync(join(tmpdir(), "nodeplane-bundle-"));
  try {
    cpSync(join(root, "dist/nodeplane"), join(folder, "nodeplane"), { recursive: true });
    writeFileSync(join(folder, "Corefile"), COREFILE);
    const args = ["--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"];
    const run = spawnSync(
      "unshare",
      [...args, "--mount-proc", "sh", "-c", SCRIPT, "sh", join(folder, "nodeplane"), folder],
      {
        encoding: "utf8",
        timeout: 150_000,
      },
    );
    assert.equal(run.status, 0, `${run.stdout}\n${run.stderr}`);
    assert.deepEqual(run.stdout.trim().split("\n"), [
      "answer: 10.96.0.1",
      "status: ready",
      "kernel: programmed",
      "agent: exit 0",
      "dns: exit 0",
      "control-plane: exit 0",
    ]);
    // What the agent kept on disk was written by the bundled program.
    assert.ok(readFileSync(join(folder, "cp/admin.kubeconfig"), "utf8").includes("127.0.0.1"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
