/** Addresses, links and default routes as the driver sees them while `ip` changes them, and the fake's same behaviour. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  FakeRtnetlink,
  LinuxRtnetlink,
  type Network,
  primaryAddresses,
  type RtnetlinkDriver,
} from "../../src/drivers/rtnetlink/index.ts";
import { parseIp } from "../../src/model/ip.ts";
import { insideNamespace, reexecuteInNamespace } from "./netns.ts";

function ip(...args: string[]): void {
  execFileSync("ip", args);
}

function text(network: Network): readonly string[] {
  return network.addresses.map(
    (entry) => `${entry.interface} ${entry.address}/${entry.prefixBits} ${entry.scope}`,
  );
}

async function changes(driver: RtnetlinkDriver, act: () => void): Promise<readonly Network[]> {
  const seen: Network[] = [];
  const abort = new AbortController();
  driver.watch((network) => seen.push(network), abort.signal);
  act();
  await sleep(300);
  abort.abort();
  return seen;
}

if (insideNamespace()) {
  test("links, addresses and default routes are read and followed", async () => {
    const driver = new LinuxRtnetlink();
    const first = await driver.refresh();
    assert.deepEqual(first.links, ["lo"]);
    assert.deepEqual(text(first), ["lo 127.0.0.1/8 host", "lo ::1/128 host"]);
    const seen = await changes(driver, () => {
      ip("link", "add", "d0", "type", "veth", "peer", "name", "p0");
      ip("link", "add", "d1", "type", "veth", "peer", "name", "p1");
      for (const name of ["d0", "p0", "d1", "p1"]) ip("link", "set", name, "up");
      ip("addr", "add", "192.0.2.1/24", "dev", "d0");
      ip("addr", "add", "192.0.2.7/24", "dev", "d0");
      ip("addr", "add", "198.51.100.1/24", "dev", "d1");
      ip("-6", "addr", "add", "2001:db8::1/64", "dev", "d1", "nodad");
      ip("route", "add", "default", "via", "198.51.100.2", "metric", "10");
      ip("route", "add", "default", "via", "192.0.2.2", "metric", "20");
    });
    assert.ok(seen.length >= 1);
    assert.deepEqual(driver.network.links, ["lo", "p0", "d0", "p1", "d1"]);
    assert.ok(text(driver.network).includes("d0 192.0.2.7/24 global"));
    assert.deepEqual(driver.network.defaultInterface, { ip: "d1" });
    assert.deepEqual(primaryAddresses(driver.network), ["198.51.100.1", "2001:db8::1"]);
    const gone = await changes(driver, () => ip("link", "del", "d1"));
    assert.deepEqual(gone.at(-1)?.links, ["lo", "p0", "d0"]);
    assert.deepEqual(primaryAddresses(driver.network), ["192.0.2.1"]);
    const quiet = await changes(driver, () =>
      ip("neigh", "add", "192.0.2.9", "lladdr", "02:00:00:00:00:01", "dev", "d0"),
    );
    assert.deepEqual(quiet, [], "what is not an address, link or route is not reported");
    driver.close();
  });
  test("a burst that fills the queue of notifications is one change", async (t) => {
    const driver = new LinuxRtnetlink();
    t.after(() => driver.close());
    await driver.refresh();
    const seen = await changes(driver, () => {
      // The event loop stands still meanwhile: nobody reads the notifications.
      const input = Array.from(
        { length: 5_000 },
        (_, i) => `address add 10.9.${i >> 8}.${i & 255}/32 dev lo`,
      );
      execFileSync("ip", ["-batch", "-"], { input: input.join("\n") });
    });
    for (let i = 0; i < 100 && driver.network.addresses.length < 5_000; i++) await sleep(100);
    assert.ok(driver.network.addresses.length >= 5_000, `${driver.network.addresses.length} addresses`);
    assert.ok(seen.length < 10, `${seen.length} changes`);
  });
} else {
  test("rtnetlink in a namespace", () => reexecuteInNamespace(import.meta.filename));
  test("the fake reports changes only, and only while watched", async () => {
    const address = parseIp("192.0.2.1");
    assert.ok(address !== undefined);
    const empty: Network = { links: ["lo"], addresses: [], defaultInterface: {} };
    const full: Network = {
      ...empty,
      addresses: [{ interface: "lo", address, prefixBits: 24, scope: "global" }],
    };
    const driver = new FakeRtnetlink(empty);
    assert.deepEqual(await changes(driver, () => driver.set(full)), [full]);
    assert.deepEqual(await changes(driver, () => driver.set(full)), []);
    driver.set(empty);
    assert.deepEqual(await driver.refresh(), empty);
  });
}
