/** Every plugin has a README, and every example in it starts. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PLUGIN_ORDER } from "../../../src/dns/plugin-order.ts";
import { DnsServer } from "../../../src/dns/server/dns-server.ts";
import { buildInstance, type Instance } from "../../../src/dns/server/instance.ts";
import { parse, testRuntime } from "./support.ts";

/** Examples name server.crt, server.key, example.org.zone and weights beside the Corefile. */
const besides = mkdtempSync(join(tmpdir(), "nodeplane-readmes-"));
const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=dns.test -days 2";
const files = ["-keyout", join(besides, "server.key"), "-out", join(besides, "server.crt")];
execFileSync("openssl", [...request.split(" "), ...files], { stdio: "ignore" });
writeFileSync(join(besides, "example.org.zone"), "@ SOA ns admin 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n");
writeFileSync(join(besides, "weights"), "ns.example.org\n192.0.2.1 3\n");
after(() => rmSync(besides, { recursive: true, force: true }));

const folder = join(import.meta.dirname, "../../../src/dns/plugins");

test("each plugin folder stands in the order, and each plugin of the order has a folder", () => {
  assert.deepEqual(readdirSync(folder).sort(), PLUGIN_ORDER.map((plugin) => plugin.name).sort());
});

test("the table of docs/dns.md has a line for each plugin", () => {
  const text = readFileSync(join(import.meta.dirname, "../../../docs/dns.md"), "utf8");
  for (const { name } of PLUGIN_ORDER) assert.match(text, new RegExp(`^\\| ${name} \\| `, "m"));
});

for (const name of readdirSync(folder)) {
  const text = readFileSync(join(folder, name, "README.md"), "utf8");
  const examples = [...text.matchAll(/```corefile\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");
  test(`${name}: README begins with its name and has an example`, () => {
    assert.ok(text.startsWith(`# ${name}\n`));
    assert.ok(examples.length > 0);
    assert.ok(examples.some((example) => new RegExp(`^\\s+${name}\\b`, "m").test(example)));
  });
  for (const [i, example] of examples.entries()) {
    test(`${name}: example ${i + 1} starts`, async () => {
      const runtime = testRuntime();
      const instance = buildInstance(parse(example, join(besides, "Corefile")), runtime, {
        defaultPort: 53,
        isStopping: () => false,
      });
      const server = new DnsServer(runtime);
      try {
        await server.apply(onLoopback(instance));
        assert.ok(server.addresses().length > 0);
      } finally {
        await server.stop();
      }
    });
  }
}

/** The same on free ports of loopback addresses, so that nothing is needed from the machine. */
function onLoopback(instance: Instance): Instance {
  return {
    ...instance,
    listeners: instance.listeners.map(({ spec, zones, tcpLimits }, i) => ({
      tcpLimits,
      spec: { scheme: spec.scheme, host: `127.0.0.${2 + i}`, port: 0 },
      zones,
    })),
    pages: new Map([...instance.pages.values()].map((pages, i) => [`127.0.0.${2 + i}:0`, pages])),
  };
}
