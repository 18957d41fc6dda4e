/** The control plane's configuration: flags over a file over defaults; everything wrong is one line. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadConfig } from "../../../src/control-plane/config.ts";

const HEAD = "apiVersion: nodeplane.dev/v1alpha1\nkind: ControlPlaneConfiguration\n";

test("defaults are those of the design", () => {
  const config = loadConfig([]);
  assert.ok(config !== "help");
  const { securePort, streamPort, serviceCidrs, podCidrs, nodePortRange, clusterDomain } = config;
  assert.deepEqual(
    [securePort, streamPort, serviceCidrs, podCidrs, nodePortRange, clusterDomain],
    [6443, 6444, ["10.96.0.0/12"], ["10.244.0.0/16"], { from: 30_000, to: 32_767 }, "cluster.local"],
  );
});

test("flags win over the file, the file over defaults", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "nodeplane-config-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "c.yaml");
  writeFileSync(
    path,
    `${HEAD}securePort: 7443\nserviceCidr: [10.0.0.7/16, "fd00::/112"]\nbindAddress: 127.0.0.1\n`,
  );
  const config = loadConfig(["--config", path, "--secure-port=8443", "--tls-san", "a.example,192.0.2.1"]);
  assert.ok(config !== "help" && !config.authoritativeSnapshots);
  assert.deepEqual(
    [config.securePort, config.serviceCidrs, config.bindAddress, config.advertiseAddress, config.tlsSans],
    [8443, ["10.0.0.0/16", "fd00::/112"], "127.0.0.1", "127.0.0.1", ["a.example", "192.0.2.1"]],
  );
});

test("the documented file is a configuration", (t) => {
  const text = readFileSync(join(import.meta.dirname, "../../../docs/control-plane.md"), "utf8");
  const example = /```yaml\n([\s\S]*?)```/.exec(text)?.[1] ?? "";
  const folder = mkdtempSync(join(tmpdir(), "nodeplane-config-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "c.yaml"), example);
  const config = loadConfig(["--config", join(folder, "c.yaml")]);
  assert.ok(config !== "help");
  assert.deepEqual(config.serviceCidrs, ["10.96.0.0/12", "fd00:10:96::/112"]);
  assert.deepEqual([config.tlsSans, config.nodeGracePeriodSeconds], [["api.example.org"], 40]);
});

const BAD: readonly [readonly string[], RegExp][] = [
  [["--frob"], /Unknown option '--frob'/],
  [["extra"], /Unexpected argument 'extra'/],
  [["--secure-port", "65536"], /--secure-port: "65536" is not allowed: must be a port/],
  [["--bind-address", "localhost"], /--bind-address: "localhost" is not allowed: must be an IP address/],
  [["--service-cidr", "10.0.0.0/8,10.1.0.0/16"], /--service-cidr: .* two of different families/],
  [["--service-cidr", "10.0.0.0/30"], /--service-cidr: .* prefix of \/8 to \/28/],
  [["--node-port-range", "40000-30000"], /--node-port-range: .* FROM-TO/],
  [["--cluster-domain", "Bad_Domain"], /--cluster-domain: .* DNS name/],
  [
    ["--authoritative-snapshots", "yes"],
    /--authoritative-snapshots: "yes" is not allowed: must be true or false/,
  ],
  [["--log-level", "loud"], /--log-level: .* one of debug, info, warn, error/],
  [["--config", "/nonexistent"], /cannot read: \/nonexistent: ENOENT/],
];

for (const [args, message] of BAD) {
  test(`refused: ${args.join(" ")}`, () => assert.throws(() => loadConfig(args), { message }));
}

const BAD_FILES: readonly [string, RegExp][] = [
  ["kind: x", /c\.yaml: apiVersion must be nodeplane\.dev\/v1alpha1/],
  [`${HEAD}frob: 1\n`, /c\.yaml: unknown key "frob": allowed are dataDir, /],
  [`${HEAD}securePort: x\n`, /c\.yaml: securePort: "x" is not allowed/],
  [`${HEAD}securePort: 1\nsecurePort: 2\n`, /c\.yaml: Map keys must be unique/],
  ["[", /c\.yaml: /],
  ["- a\n", /must be a map of options/],
];

for (const [text, message] of BAD_FILES) {
  test(`refused file: ${JSON.stringify(text)}`, (t) => {
    const folder = mkdtempSync(join(tmpdir(), "nodeplane-config-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "c.yaml");
    writeFileSync(path, text);
    assert.throws(() => loadConfig(["--config", path]), { message, code: "CONFIG_INVALID" });
  });
}
