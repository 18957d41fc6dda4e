/**
 * In a network namespace with several addresses: replies leave from the address that was asked, addresses that appear
 * later are served, and another server on the port is noticed. Needs root.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { until } from "../support/until.ts";

const root = join(import.meta.dirname, "../..");
let namespace = "";
const COREFILE = ".:53 {\n whoami\n}\n";

function inside(...argv: readonly string[]): string {
  return execFileSync("ip", ["netns", "exec", namespace, ...argv], { encoding: "utf8" });
}

function ip(...argv: readonly string[]): void {
  execFileSync("ip", ["-n", namespace, ...argv]);
}

/** dig tells when a reply comes from another address than the one it asked, and takes it for none. */
function dig(server: string, ...more: readonly string[]): string {
  try {
    return inside(
      "dig",
      `@${server}`,
      "who.example",
      "+time=1",
      "+tries=1",
      "+noall",
      "+comments",
      "+stats",
      ...more,
    );
  } catch (error) {
    return String(error);
  }
}

for (const engine of ["on", "off"]) {
  suite(`resolver on a machine with several addresses, engine ${engine}`, () => {
    const folder = mkdtempSync(join(tmpdir(), "nodeplane-dns-ns-"));
    let resolver: ChildProcess | undefined;
    let log = "";

    before(async () => {
      namespace = `npdns${engine}${process.pid}`;
      execFileSync("ip", ["netns", "add", namespace]);
      ip("link", "set", "lo", "up");
      ip("link", "add", "dm0", "type", "veth", "peer", "name", "dm1");
      for (const link of ["dm0", "dm1"]) ip("link", "set", link, "up");
      for (const address of ["10.9.0.1/24", "10.9.0.2/24"]) ip("addr", "add", address, "dev", "dm0");
      ip("addr", "add", "fd09::1/64", "dev", "dm0", "nodad");
      ip("addr", "add", "fd09::2/64", "dev", "dm0", "nodad");
      const corefile = join(folder, "Corefile");
      writeFileSync(corefile, COREFILE);
      const argv = [
        "netns",
        "exec",
        namespace,
        join(root, "bin/nodeplane"),
        "dns",
        "-conf",
        corefile,
        "--engine",
        engine,
      ];
      resolver = spawn("ip", argv, { stdio: ["ignore", "ignore", "pipe"] });
      resolver.stderr?.setEncoding("utf8").on("data", (text: string) => {
        log += text;
      });
      await until(() => log.includes('"msg":"ready"'));
    });

    after(async () => {
      if (resolver !== undefined) {
        const exited = new Promise((resolve) => resolver?.once("exit", resolve));
        resolver.kill("SIGTERM");
        await exited;
      }
      execFileSync("ip", ["netns", "del", namespace]);
      rmSync(folder, { recursive: true, force: true });
    });

    for (const address of ["10.9.0.1", "10.9.0.2", "fd09::1", "fd09::2", "127.0.0.1", "::1"]) {
      test(`${address} answers from itself over UDP and TCP`, () => {
        const reply = dig(address);
        assert.match(reply, /status: NOERROR/);
        assert.doesNotMatch(reply, /reply from unexpected source/);
        assert.match(dig(address, "+tcp"), /status: NOERROR/);
      });
    }

    test("an address that is added later answers within seconds, one that goes has no socket left", async () => {
      ip("addr", "add", "10.9.0.77/24", "dev", "dm0");
      // The engine has one socket for all addresses, Node's sockets follow each.
      if (engine === "off") await until(() => inside("ss", "-Hlun").includes("10.9.0.77:53"));
      assert.match(dig("10.9.0.77"), /status: NOERROR/);
      ip("addr", "del", "10.9.0.77/24", "dev", "dm0");
      await until(() => !inside("ss", "-Hlun").includes("10.9.0.77:53"));
    });

    test("a second resolver on the same port ends with one line", () => {
      const corefile = join(folder, "Corefile");
      assert.throws(
        () => inside(join(root, "bin/nodeplane"), "dns", "-conf", corefile),
        (error: { status?: number; stderr?: string }) =>
          error.status === 1 && /dns:\/\/:53: cannot listen: .*EADDRINUSE/.test(String(error.stderr)),
      );
    });
  });
}
