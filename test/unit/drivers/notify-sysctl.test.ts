/** The notify and sysctl drivers: against a real datagram socket and the real /proc/sys where that needs no rights. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FakeNotify, SystemdNotify } from "../../../src/drivers/notify/index.ts";
import { FakeSysctl, LinuxSysctl } from "../../../src/drivers/sysctl/index.ts";

const LISTEN = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\\0" + sys.argv[1][1:] if sys.argv[1][0] == "@" else sys.argv[1])
print("bound", flush=True)
sys.stdout.buffer.write(s.recv(4096))
`;

async function receives(path: string, ...lines: string[]): Promise<string> {
  const child = spawn("python3", ["-c", LISTEN, path]);
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    if (text === "" && chunk.startsWith("bound")) {
      assert.equal(new SystemdNotify({ NOTIFY_SOCKET: path }, 1).notify(...lines), true);
    }
    text += chunk;
  });
  await once(child, "close");
  return text.replace("bound\n", "");
}

test("notify() sends its lines to a socket in the file system and to an abstract one", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "nodeplane-notify-"));
  t.after(() => rmSync(folder, { recursive: true }));
  assert.equal(
    await receives(join(folder, "s"), "READY=1", "STATUS=programmed"),
    "READY=1\nSTATUS=programmed",
  );
  assert.equal(await receives(`@nodeplane-notify-${process.pid}`, "STOPPING=1"), "STOPPING=1");
});

test("notify() without a manager, or with one that is gone, does nothing", () => {
  assert.equal(new SystemdNotify({}, 1).notify("READY=1"), false);
  assert.equal(new SystemdNotify({ NOTIFY_SOCKET: "/nonexistent/s" }, 1).notify("READY=1"), false);
});

test("the fake remembers the lines of all calls in order", () => {
  const notify = new FakeNotify(500);
  notify.notify("READY=1", "STATUS=x");
  notify.notify("STOPPING=1");
  assert.deepEqual(notify.lines, ["READY=1", "STATUS=x", "STOPPING=1"]);
  assert.equal(notify.watchdogMs, 500);
});

test("the watchdog's interval is half of the limit, and only for this process", () => {
  const env = { NOTIFY_SOCKET: "/x", WATCHDOG_USEC: "30000000" };
  assert.equal(new SystemdNotify(env, 5).watchdogMs, 15_000);
  assert.equal(new SystemdNotify({ ...env, WATCHDOG_PID: "5" }, 5).watchdogMs, 15_000);
  assert.equal(new SystemdNotify({ ...env, WATCHDOG_PID: "6" }, 5).watchdogMs, undefined);
  assert.equal(new SystemdNotify({ WATCHDOG_USEC: "1" }, 5).watchdogMs, undefined);
});

test("sysctl names stay below /proc/sys; a missing setting reads as undefined", () => {
  for (const driver of [new LinuxSysctl(), new FakeSysctl({ "kernel/ostype": "Linux" })]) {
    assert.equal(driver.read("kernel/ostype"), "Linux");
    assert.equal(driver.read("kernel/absent"), undefined);
    for (const name of ["../version", "a/../../version", "/kernel/ostype", "", "a//b"]) {
      assert.throws(() => driver.read(name), { code: "COMMAND_FAILED" });
    }
    assert.throws(() => driver.write("kernel/absent", "1"), { code: "COMMAND_FAILED" });
  }
});
