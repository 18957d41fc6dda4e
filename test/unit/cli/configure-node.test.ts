/** packaging/node/configure.sh puts what `nodeplane certificate node` made where the units look for it. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { loadSettings } from "../../../src/agent/config/load-settings.ts";
import { certificateCommand } from "../../../src/cli/certificate.ts";
import { parseDnsFlags } from "../../../src/cli/dns-flags.ts";
import { Pki, serverNames } from "../../../src/control-plane/pki/pki.ts";

const ROOT = join(import.meta.dirname, "../../..");
const SCRIPT = join(ROOT, "packaging/node/configure.sh");
const folder = mkdtempSync(join(tmpdir(), "nodeplane-configure-"));
const made = join(folder, "node1");
after(() => rmSync(folder, { recursive: true }));

before(async () => {
  const dataDir = join(folder, "data");
  const names = { dnsNames: serverNames("cluster.local"), ipAddresses: ["192.0.2.1"] };
  await Pki.open({ dataDir, ...names, serverUrl: "https://192.0.2.1:6443" });
  const io = { out: () => undefined, err: () => undefined, isTerminal: false, env: {} };
  const args = ["node", "node1", "--data-dir", dataDir, "--out", made, "--server", "control.example:6444"];
  assert.equal(await certificateCommand(args, { ...io, signal: new AbortController().signal }), 0);
});

function configure(machine: string, ...args: string[]) {
  const env = { ...process.env, DESTDIR: join(folder, machine) };
  const { status, stdout, stderr } = spawnSync("sh", [SCRIPT, ...args], { env, encoding: "utf8" });
  return { status, stdout, stderr, at: (name: string) => join(folder, machine, "etc/nodeplane", name) };
}

function check(corefile: string): string {
  return execFileSync(join(ROOT, "bin/nodeplane"), ["dns", "-conf", corefile, "--check"], {
    encoding: "utf8",
  });
}

/** What a unit's ExecStart gets from its EnvironmentFile. */
function flagsOf(environment: string): readonly string[] {
  const [, flags = ""] = /^NODEPLANE_DNS_FLAGS=(.*)$/m.exec(environment) ?? [];
  return flags.split(" ");
}

test("the units' files are there, and the programs take them", () => {
  const { status, stdout, at } = configure("plain", made);
  assert.equal(status, 0);
  assert.match(stdout, /^node node1 is configured in /);
  const loaded = loadSettings(["--config", at("agent.yaml")]);
  assert.ok(loaded.kind === "settings");
  const { nodeName, source, nodeAddresses } = loaded.settings;
  assert.deepEqual([nodeName, source.kind, nodeAddresses], ["node1", "stream", []]);
  assert.equal(
    parseDnsFlags(flagsOf(readFileSync(at("dns.env"), "utf8"))).stream.address,
    "control.example:6444",
  );
  assert.match(check(at("Corefile")), /: ok\n$/);
  assert.match(readFileSync(at("manifests/dns.yaml"), "utf8"), /^ {2}name: dns-node1$/m);
  assert.equal(statSync(at("pki/node.key")).mode & 0o777, 0o600);
});

test("with an address: the agent reports it and the resolver binds it", () => {
  const { at } = configure("addressed", made, "192.0.2.7");
  const loaded = loadSettings(["--config", at("agent.yaml")]);
  assert.ok(loaded.kind === "settings");
  assert.deepEqual(loaded.settings.nodeAddresses.map(String), ["192.0.2.7"]);
  assert.match(readFileSync(at("Corefile"), "utf8"), /^ {4}bind 192\.0\.2\.7$/m);
  assert.match(check(at("Corefile")), /: ok\n$/);
});

test("again: certificates are replaced, configuration that somebody changed is kept", () => {
  const first = configure("again", made);
  writeFileSync(first.at("agent.yaml"), "changed\n");
  writeFileSync(first.at("pki/node.crt"), "old\n");
  const second = configure("again", made);
  assert.equal(second.status, 0);
  assert.match(second.stderr, /^configure\.sh: kept .*agent\.yaml$/m);
  assert.equal(readFileSync(first.at("agent.yaml"), "utf8"), "changed\n");
  assert.match(readFileSync(first.at("pki/node.crt"), "utf8"), /^-----BEGIN CERTIFICATE-----/);
});

test("a folder that is not one of ours is refused with what to do", () => {
  const { status, stderr } = configure("none", folder);
  assert.equal(status, 1);
  assert.match(
    stderr,
    /ca\.crt is missing; 'nodeplane certificate node NAME' on the control plane makes this folder/,
  );
});
