/**
 * systemd-resolved with the drop-in of packaging/resolved: names of Services come from our resolver, others from the server of before.
 * Runs where the program is (Debian: systemd-resolved; NODEPLANE_RESOLVED names another place, so that it need not be installed,
 * since its package takes over /etc/resolv.conf).
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { hasProgram, NameMachine, NEIGHBOUR } from "./support/name-machine.ts";

const PROGRAM = process.env["NODEPLANE_RESOLVED"] ?? "/lib/systemd/systemd-resolved";
const CONTROL = process.env["NODEPLANE_RESOLVECTL"] ?? "resolvectl";
/** A bus on which everybody may do everything. */
const BUS = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/>
  </policy>
</busconfig>
`;
const packaging = join(import.meta.dirname, "../../packaging/resolved");
const objects = join(import.meta.dirname, "../cases/dns-fixture.yaml");
const text = (name: string): string => readFileSync(join(packaging, name), "utf8");
const isHere = existsSync(PROGRAM) && hasProgram("unbound") && hasProgram("dbus-daemon");

suite("systemd-resolved", { skip: !isHere && `no ${PROGRAM}, no unbound, or no dbus-daemon` }, () => {
  let machine: NameMachine;
  before(async () => {
    machine = await NameMachine.open(["169.254.20.10/32"], {
      passwd:
        "root:x:0:0:root:/root:/bin/sh\nsystemd-resolve:x:997:997::/:/bin/false\nmessagebus:x:998:998::/:/bin/false\n",
      group: "root:x:0:\nsystemd-resolve:x:997:\nmessagebus:x:998:\n",
      "resolv.conf": "nameserver 127.0.0.53\noptions edns0\n",
      "dbus.conf": BUS,
      "systemd/resolved.conf.d/nodeplane.conf": text("nodeplane.conf"),
    });
    await machine.unbound([
      'local-zone: "example.net." static',
      'local-data: "www.example.net. 300 A 198.51.100.7"',
    ]);
    await machine.resolver(text("Corefile"), "--objects", objects);
    await machine.run(
      "sh",
      "-c",
      "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/resolve && chown 997:997 /run/systemd/resolve",
    );
    await machine.run("mkdir", "-p", "/run/dbus");
    machine.spawn("dbus-daemon", "--nofork", "--config-file=/etc/dbus.conf");
    machine.spawn("env", "SYSTEMD_LOG_TARGET=console", PROGRAM);
    // The uplink has its own server, as DHCP gives it one.
    await machine.until(async () => (await machine.run(CONTROL, "dns", "w0", NEIGHBOUR)).status === 0);
    await machine.until(async () => (await machine.dig("127.0.0.53", "www.example.net")).includes("status:"));
  });
  after(() => machine.close());

  test("names of Services, and the way back", async () => {
    assert.equal(await machine.dig("127.0.0.53", "web.atlas.svc.cluster.local", "+short"), "10.96.11.20\n");
    assert.equal(
      await machine.dig("127.0.0.53", "-x", "10.96.11.20", "+short"),
      "web.atlas.svc.cluster.local.\n",
    );
    // Beyond 10.96.0.0/16, and still in the service range.
    assert.match(
      await machine.dig("127.0.0.53", "-x", "10.103.7.53", "+short"),
      /\.svc\.cluster\.local\.\n$/,
    );
    assert.match(await machine.dig("127.0.0.53", "ghost.atlas.svc.cluster.local"), /status: NXDOMAIN/);
    const { out } = await machine.run("getent", "ahostsv4", "web.atlas.svc.cluster.local");
    assert.match(out, /^10\.96\.11\.20 /);
  });

  test("both kinds in turns", async () => {
    for (let i = 0; i < 10; i++) {
      assert.equal(await machine.dig("127.0.0.53", "www.example.net", "+short"), "198.51.100.7\n");
      assert.match(await machine.dig("127.0.0.53", `no${i}.example.net`), /status: NXDOMAIN/);
      assert.match(await machine.dig("127.0.0.53", `no${i}.atlas.svc.cluster.local`), /status: NXDOMAIN/);
      assert.equal(await machine.dig("127.0.0.53", "ring.atlas.svc.cluster.local", "AAAA", "+short"), "");
      assert.match(
        await machine.dig("127.0.0.53", "twin.atlas.svc.cluster.local", "+short"),
        /10\.96\.11\.22/,
      );
    }
  });
});
