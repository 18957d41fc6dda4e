/** The dummy device: one suite on the fake and on the kernel, in a network namespace. Kernels without dummy skip the second. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import {
  type DummyDriver,
  FakeDummy,
  LinuxDummy,
  LinuxRtnetlink,
} from "../../src/drivers/rtnetlink/index.ts";
import type { IpAddress } from "../../src/model/ip.ts";
import { mustIp } from "../support/packet-cases.ts";
import { STRETCH } from "../support/patience.ts";
import { until } from "../support/until.ts";
import { insideNamespace, reexecuteInNamespace } from "./netns.ts";

const NAME = "kube-ipvs0";
const sorted = (addresses: readonly IpAddress[] | undefined) => [...(addresses ?? [])].sort();
const change = (op: "add" | "remove") => (text: string) => ({ op, address: mustIp(text) });

async function conforms(driver: DummyDriver): Promise<void> {
  assert.equal(driver.read(), undefined);
  assert.equal(driver.remove(), false);
  await assert.rejects(driver.commit([change("add")("10.96.0.1")]), /the device is gone/);
  driver.create();
  assert.deepEqual(driver.read(), []);
  driver.create();
  const some = ["10.96.0.1", "10.96.0.2", "fd00:10:96::1"];
  assert.deepEqual(await driver.commit(some.map(change("add"))), []);
  assert.deepEqual(sorted(driver.read()), some);
  assert.deepEqual(await driver.commit(some.map(change("add"))), [], "what is there is no failure");
  const swap = [change("remove")("10.96.0.1"), change("add")("10.96.0.3"), change("remove")("fd00::9")];
  assert.deepEqual(await driver.commit(swap), [], "nor is what is gone");
  assert.deepEqual(sorted(driver.read()), ["10.96.0.2", "10.96.0.3", "fd00:10:96::1"]);
  // More than one datagram holds.
  const many = Array.from({ length: 2_500 }, (_, i) => `10.97.${i >> 8}.${i & 255}`);
  assert.deepEqual(await driver.commit(many.map(change("add"))), []);
  assert.equal(driver.read()?.length, 2_503);
  assert.deepEqual(await driver.commit([]), []);
  assert.equal(driver.remove(), true);
  assert.equal(driver.read(), undefined);
}

if (insideNamespace()) {
  test("the kernel's conforms", async (t) => {
    const driver = new LinuxDummy(NAME);
    t.after(() => driver.close());
    await conforms(driver);
    execFileSync("ip", ["link", "add", NAME, "type", "veth", "peer", "name", "peer0"]);
    assert.throws(() => driver.read(), /is no dummy device/);
    assert.throws(() => driver.create(), /is no dummy device/);
    assert.throws(() => driver.remove(), /is no dummy device/);
  });
  test("its addresses are no addresses of the node, and nobody hears of them", async (t) => {
    const driver = new LinuxDummy("np-other");
    const network = new LinuxRtnetlink(["np-other"]);
    t.after(() => {
      driver.remove();
      driver.close();
      network.close();
    });
    driver.create();
    const before = await network.refresh();
    let heard = 0;
    const abort = new AbortController();
    network.watch(() => heard++, abort.signal);
    await driver.commit([change("add")("10.96.0.1"), change("add")("fd00::1")]);
    const shown = execFileSync("ip", ["-6", "-o", "address", "show", "dev", "np-other"], {
      encoding: "utf8",
    });
    assert.match(shown, /fd00::1\/128 .*preferred_lft 0sec/, "nothing takes it as its source by itself");
    await new Promise((resolve) => setTimeout(resolve, 300 * STRETCH));
    assert.equal(heard, 0);
    assert.deepEqual(await network.refresh(), before);
    execFileSync("ip", ["address", "add", "192.0.2.1/32", "dev", "lo"]);
    await until(() => heard > 0, "those of others it does hear of");
    assert.equal(heard, 1);
    abort.abort();
  });
} else {
  test("fake conforms", () => conforms(new FakeDummy(NAME)));
  test("the kernel's, in a namespace", (t) => {
    // Loading the module is not asked for: what cannot be made there is told by the driver inside.
    const missing = reasonOf();
    if (missing !== undefined) t.skip(missing);
    else reexecuteInNamespace(import.meta.filename);
  });
}

/** What this kernel lacks, found in a namespace of its own. */
function reasonOf(): string | undefined {
  const script = `import { LinuxDummy } from ${JSON.stringify(new URL("../../src/drivers/rtnetlink/index.ts", import.meta.url).href)};
try { new LinuxDummy("np-probe").create(); } catch (error) { console.log(error.message); process.exit(0); }`;
  const node = [process.execPath, "--input-type=module-typescript", "-e", script];
  const output = execFileSync("unshare", ["--net", ...node], { encoding: "utf8" }).trim();
  return output === "" ? undefined : output;
}

test("a kernel without the module says so", async (t) => {
  const missing = insideNamespace() ? undefined : reasonOf();
  if (missing === undefined) return t.skip("this kernel has it");
  assert.match(missing, /does not support ipvs mode: needs the kernel module dummy/);
  return undefined;
});
