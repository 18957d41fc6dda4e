/** The daemon as a program: readiness, restarts after SIGTERM and SIGKILL, refusals at start, memory. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { at, parse, sendRequest } from "./support/api-server.ts";

const MAIN = join(import.meta.dirname, "../../src/bin/nodeplane.ts");
/** The limit of the design for an idle control plane is 150 MB; sources cost more than the bundle. */
const MAX_RESIDENT_KB = 190_000;

interface Running {
  readonly process: ChildProcess;
  readonly port: number;
  readonly log: readonly string[];
}

function start(dataDir: string, ...flags: readonly string[]): ChildProcess {
  const common = ["--data-dir", dataDir, "--bind-address", "127.0.0.1", "--stream-port", "0"];
  return spawn(process.execPath, [MAIN, "control-plane", ...common, ...flags], {
    stdio: ["ignore", "ignore", "pipe"],
  });
}

async function startReady(t: TestContext, dataDir: string): Promise<Running> {
  const child = start(dataDir, "--secure-port", "0");
  t.after(() => child.kill("SIGKILL"));
  const log: string[] = [];
  assert.ok(child.stderr !== null);
  const lines = createInterface({ input: child.stderr });
  return await new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      log.push(line);
      if (!line.includes('"msg":"ready"')) return;
      resolve({ process: child, port: Number(at(parse(line), "securePort")), log });
    });
    child.once("exit", (code) => reject(new Error(`ended with ${code}: ${log.join("\n")}`)));
  });
}

async function stop({ process: child }: Running, signal: "SIGTERM" | "SIGKILL"): Promise<number | null> {
  const exited = once(child, "exit");
  child.kill(signal);
  const [code] = (await exited) as [number | null];
  return code;
}

/** Standard error and status of a daemon that has to refuse to start. */
async function refused(dataDir: string, ...flags: readonly string[]): Promise<string> {
  const child = start(dataDir, ...flags);
  let text = "";
  child.stderr?.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  return `${code} ${text.trim()}`;
}

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "nodeplane-daemon-"));
  t.after(async () => await rm(path, { recursive: true, force: true }));
  return path;
}

test("a killed control plane comes back with what it said", async (t) => {
  const dataDir = await folder(t);
  const ca = (): string => readFileSync(join(dataDir, "pki/ca.crt"), "utf8");
  const as = () => ({
    cert: readFileSync(join(dataDir, "pki/admin.crt"), "utf8"),
    key: readFileSync(join(dataDir, "pki/admin.key"), "utf8"),
  });
  const first = await startReady(t, dataDir);
  const path = "/api/v1/namespaces/default/configmaps";
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ metadata: { name: "kept" }, data: { a: "b" } });
  const created = await sendRequest({
    port: first.port,
    ca: ca(),
    as: as(),
    path,
    method: "POST",
    headers,
    body,
  });
  assert.equal(created.code, 201, created.body);
  const authority = ca();
  assert.equal(await stop(first, "SIGKILL"), null);

  const second = await startReady(t, dataDir);
  assert.equal(ca(), authority, "the authority stays");
  const found = await sendRequest({ port: second.port, ca: ca(), as: as(), path: `${path}/kept` });
  assert.deepEqual(parse(found.body), parse(created.body));
  const watch = `${path}?watch=1&timeoutSeconds=1&resourceVersion=${Number(at(parse(created.body), "metadata.resourceVersion")) - 1}`;
  const history = await sendRequest({ port: second.port, ca: ca(), as: as(), path: watch });
  assert.equal(
    at(parse(history.body.split("\n")[0] ?? ""), "object.metadata.name"),
    "kept",
    "history survives too",
  );
  assert.match(
    await refused(dataDir, "--secure-port", "0"),
    /^1 nodeplane control-plane: .*in use by another process$/,
  );
  const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${second.process.pid}/status`, "utf8"));
  t.diagnostic(`resident: ${resident?.[1]} kB`);
  assert.ok(Number(resident?.[1]) < MAX_RESIDENT_KB);
  assert.equal(await stop(second, "SIGTERM"), 0);
  for (const name of ["state.db", "admin.kubeconfig", "pki/ca.key"]) {
    assert.equal((await stat(join(dataDir, name))).mode & 0o077, 0, `${name} is the owner's alone`);
  }
});

test("what cannot work is one line and status 2; an address in use is status 1: the unit tries again", async (t) => {
  const dataDir = await folder(t);
  const running = await startReady(t, dataDir);
  const other = await folder(t);
  const taken = await refused(other, "--secure-port", String(running.port));
  assert.match(
    taken,
    /^1 nodeplane control-plane: invalid configuration: cannot listen on 127\.0\.0\.1 port \d+: .*EADDRINUSE/,
  );
  assert.match(
    await refused(other, "--secure-port", "x"),
    /^2 .*--secure-port: "x" is not allowed: must be a port, 0 to 65535$/,
  );
  assert.match(
    await refused(other, "--config", join(other, "none.yaml")),
    /^2 .*cannot read: .*none\.yaml: ENOENT$/,
  );
});
