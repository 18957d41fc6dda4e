/** For tests: the HTTPS API in this process with its own certificates and store, and a kubectl that is pointed at it. */
import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import type { TestContext } from "node:test";
import { ApiMetrics } from "../../../src/control-plane/api/metrics.ts";
import { OpenApi } from "../../../src/control-plane/api/openapi.ts";
import { ApiServer } from "../../../src/control-plane/api/server.ts";
import { createSystemNamespaces } from "../../../src/control-plane/controllers/bootstrap/namespaces.ts";
import { makeMachinery } from "../../../src/control-plane/daemon.ts";
import { issueNodeCertificate, Pki, serverNames } from "../../../src/control-plane/pki/pki.ts";
import type { Kind } from "../../../src/control-plane/registry/kind.ts";
import { LocalClient } from "../../../src/control-plane/registry/local-client.ts";
import { Registry } from "../../../src/control-plane/registry/registry.ts";
import { MemoryStore } from "../../../src/control-plane/store/memory-store.ts";

export interface Credentials {
  readonly cert: string;
  readonly key: string;
}

export interface Answer {
  readonly code: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Absent: the administrator; `undefined`: nobody. */
  readonly as?: Credentials | undefined;
}

export interface RunningApi {
  readonly client: LocalClient;
  readonly admin: Credentials;
  readonly port: number;
  readonly ca: string;
  readonly store: MemoryStore;
  nodeCredentials(name: string): Promise<Credentials>;
  request(path: string, options?: RequestOptions): Promise<Answer>;
  /** Runs kubectl. @returns standard output; a failure rejects with standard error in its message */
  kubectl(args: readonly string[], input?: string): Promise<string>;
  /** Standard error of a kubectl that has to fail. */
  kubectlFails(args: readonly string[], input?: string): Promise<string>;
}

/** All kubectls to test with: NODEPLANE_KUBECTLS (blank-separated paths) and those on PATH. */
export function kubectls(): readonly string[] {
  const named = (process.env["NODEPLANE_KUBECTLS"] ?? "").split(/\s+/).filter((path) => path !== "");
  const onPath = (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "kubectl"));
  const found = [...named, ...onPath].filter((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  return [...new Set(found)];
}

export async function startApi(
  t: TestContext,
  kinds: readonly Kind[],
  kubectl = kubectls()[0] ?? "kubectl",
): Promise<RunningApi> {
  const folder = await mkdtemp(join(tmpdir(), "nodeplane-api-"));
  const store = new MemoryStore({ ephemeralPrefixes: Registry.ephemeralPrefixes(kinds) });
  const machinery = makeMachinery(store, kinds, {
    clusterDomain: "cluster.local",
    serviceCidrs: ["10.96.0.0/12"],
    podCidrs: ["10.244.0.0/16"],
    nodePortRange: { from: 30_000, to: 32_767 },
    apiAddresses: ["192.0.2.1"],
    apiPort: 6443,
  });
  const client = new LocalClient(machinery);
  await createSystemNamespaces(client);
  const pki = await Pki.open({
    dataDir: folder,
    dnsNames: serverNames("cluster.local"),
    ipAddresses: ["127.0.0.1"],
    serverUrl: "https://127.0.0.1:0",
  });
  const errors: string[] = [];
  const server = new ApiServer({
    machinery,
    openApi: new OpenApi(machinery.registry),
    metrics: new ApiMetrics(store),
    checks: {},
    onError: (error, path) =>
      errors.push(`${path}: ${error instanceof Error ? (error.stack ?? "") : String(error)}`),
    tls: { cert: pki.server.certificatePem, key: pki.server.keyPem, ca: pki.authorityPem },
  });
  const { port } = await server.listen(0, "127.0.0.1");
  t.after(async () => {
    await server.close(200);
    await store.close();
    await rm(folder, { recursive: true });
    if (errors.length > 0) throw new Error(`failures inside the server: ${errors.join("\n")}`);
  });
  const ca = pki.authorityPem;
  const admin = {
    cert: await readFile(join(folder, "pki", "admin.crt"), "utf8"),
    key: await readFile(join(folder, "pki", "admin.key"), "utf8"),
  };
  const run = async (
    args: readonly string[],
    input: string,
  ): Promise<{ code: number; out: string; error: string }> =>
    await new Promise((resolve) => {
      const common = [
        "--kubeconfig",
        join(folder, "admin.kubeconfig"),
        "--server",
        `https://127.0.0.1:${port}`,
      ];
      const child = execFile(
        kubectl,
        [...common, "--cache-dir", join(folder, "cache"), ...args],
        {
          env: { PATH: process.env["PATH"] ?? "", HOME: folder },
          timeout: 30_000,
          maxBuffer: 32 * 1024 * 1024,
        },
        (error, out, stderr) => resolve({ code: error === null ? 0 : 1, out, error: stderr }),
      );
      child.stdin?.end(input);
    });
  return {
    client,
    admin,
    port,
    ca,
    store,
    nodeCredentials: async (name) => {
      const { node } = await issueNodeCertificate(folder, name, {});
      return { cert: node.certificatePem, key: node.keyPem };
    },
    request: async (path, options = {}) =>
      await sendRequest({ port, ca, path, ...options, as: "as" in options ? options.as : admin }),
    kubectl: async (args, input = "") => {
      const { code, out, error } = await run(args, input);
      if (code !== 0) throw new Error(`kubectl ${args.join(" ")}: ${error}`);
      return out;
    },
    kubectlFails: async (args, input = "") => {
      const { code, out, error } = await run(args, input);
      if (code === 0) throw new Error(`kubectl ${args.join(" ")} did not fail: ${out}`);
      return error;
    },
  };
}

export interface Sending extends RequestOptions {
  readonly port: number;
  readonly ca: string;
  readonly path: string;
}

/** One request on a connection of its own. */
export async function sendRequest({
  port,
  ca,
  path,
  method = "GET",
  headers = {},
  body,
  as,
}: Sending): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const client = as === undefined ? {} : as;
    // Node sends no length with a DELETE by itself.
    const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const request = httpsRequest(
      {
        host: "127.0.0.1",
        port,
        path,
        method,
        ca,
        headers: { ...length, ...headers },
        agent: false,
        ...client,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          resolve({
            code: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString(),
          });
        });
        response.on("error", reject);
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

/** What is at a path (`spec.parts.0.name`, or keys that hold dots) of parsed JSON; `undefined` where the path breaks. */
export function at(value: unknown, path: string | readonly string[]): unknown {
  let here = value;
  for (const key of typeof path === "string" ? path.split(".") : path) {
    if (typeof here !== "object" || here === null) return undefined;
    here = (here as Readonly<Record<string, unknown>>)[key];
  }
  return here;
}

/** A list at a path; empty when there is none. */
export function listAt(value: unknown, path: string): readonly unknown[] {
  const found = at(value, path);
  return Array.isArray(found) ? found : [];
}

/** Parsed JSON, of no type. */
export function parse(text: string): unknown {
  return JSON.parse(text) as unknown;
}

/** The events of a watch's body. */
export function parseEvents(body: string): readonly unknown[] {
  return body
    .trim()
    .split("\n")
    .map((line) => parse(line));
}
