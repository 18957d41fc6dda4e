/** The units are as systemd wants them, and each daemon's unit keeps what the design promises of it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { REPOSITORY } from "./machine.ts";

const FOLDER = join(REPOSITORY, "systemd");
const UNITS = readdirSync(FOLDER).filter((name) => name.endsWith(".service"));

/** The program is installed in /usr/local/bin; here it is put there in a mount namespace. */
const VERIFY = `
  mount --make-rprivate / && mount -t tmpfs tmpfs /usr/local/bin && ln -s "$1/bin/nodeplane" /usr/local/bin/nodeplane
  shift; exec systemd-analyze verify --man=no "$@"`;

test("there is a unit for each daemon", () => {
  assert.deepEqual(UNITS.toSorted(), [
    "nodeplane-agent.service",
    "nodeplane-control-plane.service",
    "nodeplane-dns.service",
  ]);
});

for (const unit of UNITS) {
  test(`systemd-analyze verify ${unit}`, () => {
    const argv = ["--mount", "sh", "-c", VERIFY, "sh", REPOSITORY, join(FOLDER, unit)];
    const result = spawnSync("unshare", argv, { encoding: "utf8" });
    // systemd-analyze also reads units of the machine: only lines about ours count.
    const ours = `${result.stdout}${result.stderr}`.split("\n").filter((line) => line.includes("nodeplane"));
    assert.deepEqual(ours, []);
    assert.equal(result.status, 0, result.stderr);
  });

  test(`${unit} notifies, restarts, and has little power`, () => {
    const text = readFileSync(join(FOLDER, unit), "utf8");
    for (const line of ["Type=notify", "Restart=always", "NoNewPrivileges=yes", "ProtectSystem=strict"]) {
      assert.match(text, new RegExp(`^${line}$`, "m"));
    }
    assert.match(
      text,
      /^CapabilityBoundingSet=(CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_SYS_RESOURCE|CAP_NET_BIND_SERVICE|)$/m,
    );
  });
}
