/** What a command says that cannot do what it was asked, and that it changes nothing then. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadSettings } from "../../../src/agent/config/load-settings.ts";
import { createLogger } from "../../../src/agent/log.ts";
import { openFeed } from "../../../src/agent/open-feed.ts";
import { certificateCommand } from "../../../src/cli/certificate.ts";
import { cleanupCommand } from "../../../src/cli/cleanup.ts";
import type { Command } from "../../../src/cli/command.ts";
import { describeFailure } from "../../../src/cli/describe-failure.ts";
import { dnsCommand } from "../../../src/cli/dns.ts";
import { labCommand } from "../../../src/cli/lab-commands.ts";
import { statusCommand } from "../../../src/cli/status.ts";
import { loadConfig } from "../../../src/control-plane/config.ts";
import { Pki, serverNames } from "../../../src/control-plane/pki/pki.ts";
import { readIfThere, writeWhole } from "../../../src/control-plane/pki/secret-file.ts";
import { checkKeys } from "../../../src/feed/stream/connection.ts";
import { NodeplaneError } from "../../../src/model/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "nodeplane-failures-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const forbidden = Object.assign(new Error("EACCES: permission denied, open '/x'"), { code: "EACCES" });
const rows: readonly {
  readonly name: string;
  readonly error: unknown;
  readonly isRoot?: boolean;
  readonly want: readonly [string, number] | undefined;
}[] = [
  {
    name: "a refusal of the kernel's, not root",
    error: forbidden,
    want: ["EACCES: permission denied, open '/x' (run this as root)", 1],
  },
  {
    name: "a refusal of the kernel's, root",
    error: forbidden,
    isRoot: true,
    want: ["EACCES: permission denied, open '/x'", 1],
  },
  {
    name: "an error of the catalogue that a refusal caused",
    error: new NodeplaneError("CONFIG_INVALID", { detail: "cannot listen" }, forbidden),
    want: ["invalid configuration: cannot listen (run this as root)", 2],
  },
  {
    name: "an address in use: not what the configuration says is wrong",
    error: new NodeplaneError("CONFIG_INVALID", {
      detail: "cannot listen: listen EADDRINUSE: address already in use :::53",
    }),
    want: ["invalid configuration: cannot listen: listen EADDRINUSE: address already in use :::53", 1],
  },
  {
    name: "a refusal over netlink",
    error: new NodeplaneError("NETLINK_FAILED", { operation: "read generation", errno: 1 }),
    want: ["netlink request failed: read generation (run this as root)", 1],
  },
  {
    name: "another error of the catalogue",
    error: new NodeplaneError("FILE_UNREADABLE", { path: "/x" }),
    want: ["cannot read: /x", 2],
  },
  { name: "a defect", error: new TypeError("x is undefined"), want: undefined },
];

for (const row of rows) {
  test(`failure: ${row.name}`, () => {
    const failure = describeFailure(row.error, row.isRoot ?? false);
    assert.deepEqual(failure === undefined ? undefined : [failure.text, failure.status], row.want);
  });
}

async function run(command: Command, ...args: string[]): Promise<number> {
  const io = { out: () => undefined, err: () => undefined, isTerminal: false, env: {} };
  return await command(args, { ...io, signal: AbortSignal.abort() });
}

const commands: Readonly<Record<string, (...args: string[]) => Promise<unknown>>> = {
  status: async (...args) => await run(statusCommand, ...args),
  cleanup: async (...args) => await run(cleanupCommand, ...args),
  certificate: async (...args) => await run(certificateCommand, ...args),
  lab: async (...args) => await run(labCommand, "up", ...args),
  "control-plane": async (...args) => await Promise.resolve().then(() => loadConfig(args)),
  dns: async (...args) => await run(dnsCommand, ...args),
};

for (const [name, command] of Object.entries(commands)) {
  test(`${name}: an unknown flag is one line that names it and the command's help`, async () => {
    await assert.rejects(command("--nonsense"), (error) => {
      assert.ok(error instanceof NodeplaneError);
      assert.match(error.message, /^[^\n]*--nonsense[^\n]*; see 'nodeplane [a-z-]+ --help'$/);
      assert.ok(error.message.includes(`'nodeplane ${name} --help'`));
      return describeFailure(error, true)?.status === 2;
    });
  });
}

const sources: readonly { readonly name: string; readonly args: readonly string[]; readonly want: string }[] =
  [
    { name: "objects", args: ["--objects", join(folder, "nothing")], want: join(folder, "nothing") },
    {
      name: "an authority",
      args: ["--control-plane", "192.0.2.1:6444", "--ca-file", join(folder, "ca.crt")],
      want: join(folder, "ca.crt"),
    },
  ];

for (const source of sources) {
  // The machine's settings are opened after the feed: nothing has been changed when this fails.
  test(`agent: ${source.name} that cannot be read: opening the feed says so`, async () => {
    const loaded = loadSettings(["--node-name", "n1", ...source.args]);
    assert.ok(loaded.kind === "settings");
    await assert.rejects(openFeed(loaded.settings, createLogger("error")), {
      code: "FILE_UNREADABLE",
      context: {
        path: source.want,
        detail: `ENOENT: no such file or directory, ${source.name === "objects" ? "access" : "open"} '${source.want}'`,
      },
    });
  });
}

test("certificates that cannot be used: one line names the file, before anything is changed", async () => {
  const pki = join(folder, "pki");
  const dataDir = join(pki, "data");
  const names = { dnsNames: serverNames("cluster.local"), ipAddresses: ["192.0.2.1"] };
  await Pki.open({ dataDir, ...names, serverUrl: "https://192.0.2.1:6443" });
  const issue = async (node: string): Promise<string> => {
    const out = join(pki, node);
    const args = ["node", node, "--data-dir", dataDir, "--out", out];
    assert.equal(await run(certificateCommand, ...args), 0);
    return out;
  };
  const [one, two] = [await issue("n1"), await issue("n2")];
  const text = join(pki, "text");
  writeFileSync(text, "no certificate\n");
  const good = {
    caFile: join(one, "ca.crt"),
    certificateFile: join(one, "node.crt"),
    keyFile: join(one, "node.key"),
  };
  await checkKeys(good);
  const rows: readonly [Partial<typeof good>, string][] = [
    [{ caFile: text }, `${text}: is not a certificate in PEM form`],
    [{ certificateFile: text }, `${text}: is not a certificate in PEM form`],
    [{ keyFile: text }, `${text}: is not a private key in PEM form`],
    [{ keyFile: join(two, "node.key") }, `is not the key of the certificate in ${good.certificateFile}`],
  ];
  for (const [files, want] of rows)
    await assert.rejects(checkKeys({ ...good, ...files }), (error: Error) => error.message.includes(want));
});

test("dns: certificates that cannot be read end it before anybody is answered", async () => {
  const corefile = join(folder, "Corefile");
  writeFileSync(
    corefile,
    ".:0 {\n  bind 127.0.0.1\n  kubernetes cluster.local\n  health 127.0.0.1:0 {\n    lameduck 60s\n  }\n}\n",
  );
  const missing = join(folder, "ca.crt");
  await assert.rejects(
    run(dnsCommand, "-conf", corefile, "--control-plane", "192.0.2.1:6444", "--ca-file", missing),
    {
      code: "FILE_UNREADABLE",
    },
  );
});

test("files that cannot be read or written are errors of the catalogue, with the path", async () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  const below = join(file, "x", "node.key");
  await assert.rejects(readIfThere(below), { code: "FILE_UNREADABLE" });
  await assert.rejects(writeWhole(below, "text"), (error) => {
    assert.ok(error instanceof NodeplaneError && error.code === "COMMAND_FAILED");
    return error.context.path === below;
  });
});

test("output that cannot be written is an error, a reader that went away is none", () => {
  const nodeplane = join(import.meta.dirname, "../../../bin/nodeplane");
  const shell = (script: string) =>
    spawnSync("bash", ["-o", "pipefail", "-c", script, "bash", nodeplane], { encoding: "utf8" });
  const full = shell('"$1" --help >/dev/full');
  assert.equal(full.status, 1);
  assert.match(full.stderr, /^nodeplane: cannot write to standard output: ENOSPC[^\n]*\n$/);
  const gone = shell('"$1" lab --help | true');
  assert.deepEqual([gone.status, gone.stderr], [0, ""]);
});
