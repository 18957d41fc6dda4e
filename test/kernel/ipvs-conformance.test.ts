/**
 * The IPVS driver: one suite on the fake and on the kernel, in a network namespace. Kernels without ip_vs skip the second
 * with the driver's own reason.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeIpvs, type IpvsDriver, LinuxIpvs } from "../../src/drivers/ipvs/index.ts";
import { NodeplaneError } from "../../src/model/errors.ts";
import { type IpAddress, parseIp } from "../../src/model/ip.ts";
import { IPVS_FLAGS, type IpvsOp, type IpvsService } from "../../src/model/ipvs.ts";
import { insideNamespace, reexecuteInNamespace } from "./netns.ts";

function ip(text: string): IpAddress {
  const address = parseIp(text);
  assert.ok(address, text);
  return address;
}

function service(address: string, protocol = 6, more: Partial<IpvsService> = {}): IpvsService {
  const family = address.includes(":") ? "ip6" : "ip";
  const common = { scheduler: "wrr", flags: 0, timeoutSeconds: 0 };
  return { family, protocol, address: ip(address), port: 80, ...common, ...more };
}

const codes = async (driver: IpvsDriver, ops: readonly IpvsOp[]) =>
  (await driver.commit(ops)).map(({ opIndex, code }) => [opIndex, code]);

/** What is there, as lines that can be compared. */
async function lines(driver: IpvsDriver): Promise<readonly string[]> {
  const result: string[] = [];
  for (const { service: one, destinations } of await driver.read()) {
    const { family, protocol, address, port, scheduler, flags, timeoutSeconds } = one;
    result.push(`${family} ${protocol} ${address} ${port} ${scheduler} ${flags} ${timeoutSeconds}`);
    for (const { address: to, port: at, weight, forwarding } of destinations)
      result.push(`${address} ${protocol} -> ${to} ${at} ${weight} ${forwarding}`);
  }
  return result.sort();
}

async function conforms(driver: IpvsDriver): Promise<void> {
  const support = driver.probe("wrr");
  assert.equal(support.kind, "supported");
  assert.equal(driver.probe("nosuch").kind, "unsupported");
  assert.deepEqual(await lines(driver), [], "the probe leaves nothing");

  const four = service("10.96.0.1");
  const six = service("fd00::1", 17, { flags: IPVS_FLAGS.persistent, timeoutSeconds: 300 });
  const destination = (address: string, weight: number) => ({ address: ip(address), port: 8080, weight });
  const one = destination("10.0.0.1", 1);
  const two = destination("10.0.0.2", 5);
  assert.deepEqual(
    await codes(driver, [
      { op: "add-service", service: four },
      { op: "add-service", service: service("10.96.0.1", 132) },
      { op: "add-service", service: six },
      { op: "add-destination", service: four, destination: one },
      { op: "add-destination", service: four, destination: two },
      { op: "add-destination", service: six, destination: destination("fd00:1::1", 1) },
    ]),
    [],
  );
  const before = await lines(driver);
  assert.deepEqual(before, [
    "10.96.0.1 6 -> 10.0.0.1 8080 1 masquerade",
    "10.96.0.1 6 -> 10.0.0.2 8080 5 masquerade",
    "fd00::1 17 -> fd00:1::1 8080 1 masquerade",
    "ip 132 10.96.0.1 80 wrr 0 0",
    "ip 6 10.96.0.1 80 wrr 0 0",
    "ip6 17 fd00::1 80 wrr 1 300",
  ]);

  // Each request stands for itself: refused ones are named, the others happen.
  const gone = service("10.96.0.9");
  assert.deepEqual(
    await codes(driver, [
      { op: "add-service", service: four },
      { op: "set-service", service: gone },
      { op: "delete-service", service: gone },
      { op: "add-destination", service: gone, destination: one },
      { op: "add-destination", service: four, destination: one },
      { op: "set-destination", service: four, destination: { ...one, weight: 0 } },
      { op: "delete-destination", service: four, destination: destination("10.0.0.9", 0) },
      { op: "set-destination", service: four, destination: destination("10.0.0.9", 1) },
      { op: "add-service", service: { ...gone, scheduler: "nosuch" } },
    ]),
    [
      [0, "EEXIST"],
      [1, "ESRCH"],
      [2, "ESRCH"],
      [3, "ESRCH"],
      [4, "EEXIST"],
      [6, "ENOENT"],
      [7, "ENOENT"],
      [8, "ENOENT"],
    ],
  );
  assert.ok((await lines(driver)).includes("10.96.0.1 6 -> 10.0.0.1 8080 0 masquerade"));

  // A virtual server changes in place, and takes its destinations along when it goes.
  assert.deepEqual(await codes(driver, [{ op: "set-service", service: { ...four, scheduler: "rr" } }]), []);
  assert.ok((await lines(driver)).includes("ip 6 10.96.0.1 80 rr 0 0"));
  assert.deepEqual(
    await codes(driver, [
      { op: "delete-destination", service: six, destination: destination("fd00:1::1", 1) },
      { op: "delete-service", service: four },
    ]),
    [],
  );
  assert.deepEqual(await lines(driver), ["ip 132 10.96.0.1 80 wrr 0 0", "ip6 17 fd00::1 80 wrr 1 300"]);

  const old = driver.readTimeouts();
  driver.writeTimeouts({ tcpSeconds: 0, tcpFinSeconds: 60, udpSeconds: 30 });
  assert.deepEqual(driver.readTimeouts(), { tcpSeconds: old.tcpSeconds, tcpFinSeconds: 60, udpSeconds: 30 });

  // More than one datagram holds.
  const many = Array.from({ length: 2_500 }, (_, i) => service(`10.97.${i >> 8}.${i & 255}`));
  assert.deepEqual(
    await codes(
      driver,
      many.map((one) => ({ op: "add-service", service: one }) as const),
    ),
    [],
  );
  assert.equal((await driver.read()).length, 2_502);
}

/** What this kernel lacks. Names a scheduler that nobody has, so that a kernel with IPVS gets no virtual server here. */
function missing(driver: LinuxIpvs): string | undefined {
  const support = driver.probe("nodeplane-none");
  return support.kind === "unsupported" && support.needs.includes("ip_vs,")
    ? `needs ${support.needs}`
    : undefined;
}

if (!insideNamespace()) {
  test("fake conforms", () => conforms(new FakeIpvs()));
  test("the kernel's, in a namespace", (t) => {
    const driver = new LinuxIpvs();
    // Asking for the family touches nothing.
    const reason = missing(driver);
    driver.close();
    if (reason !== undefined) t.skip(reason);
    else reexecuteInNamespace(import.meta.filename);
  });
  test("a kernel without ip_vs is told by every way in", async (t) => {
    const driver = new LinuxIpvs();
    t.after(() => driver.close());
    if (missing(driver) === undefined) return t.skip("this kernel has ip_vs");
    const isCoded = (error: unknown) => error instanceof NodeplaneError && error.code === "IPVS_UNSUPPORTED";
    await assert.rejects(driver.read(), isCoded);
    await assert.rejects(driver.commit([{ op: "add-service", service: service("10.96.0.1") }]), isCoded);
    assert.throws(() => driver.readTimeouts(), isCoded);
    return undefined;
  });
} else {
  test("the kernel's conforms", async (t) => {
    const driver = new LinuxIpvs();
    t.after(() => driver.close());
    await conforms(driver);
  });
}
