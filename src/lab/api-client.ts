/**
 * Layer lab. A small client of the lab's API, for machines without kubectl: JSON over HTTPS with the client certificate of a
 * kubeconfig. One keep-alive agent; bounded bodies; no retries but in {@link ApiClient.waitFor}.
 */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";
import { NodeplaneError } from "../model/errors.ts";

export type ApiObject = Readonly<Record<string, unknown>>;

export interface ApiResponse {
  readonly status: number;
  readonly body: unknown;
}

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: Record<string, string> }[];
  readonly users: readonly { readonly user: Record<string, string> }[];
}

const MAX_BODY = 64 << 20;
const REQUEST_TIMEOUT_MS = 15_000;
const POLL_MS = 50;

/** Text of `name-data` (base64) or of the file that `name` gives. */
function pemOf(entry: Record<string, string>, name: string): string {
  const inline = entry[`${name}-data`];
  if (inline !== undefined) return Buffer.from(inline, "base64").toString("utf8");
  const path = entry[name];
  if (path === undefined)
    throw new NodeplaneError("CONFIG_INVALID", { object: "kubeconfig", detail: `${name} is missing` });
  return readFileSync(path, "utf8");
}

/** Value at a path of keys and indexes of parsed JSON; undefined where it ends early. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  let here = value;
  for (const key of path) {
    if (typeof here !== "object" || here === null) return undefined;
    here = (here as Record<string | number, unknown>)[key];
  }
  return here;
}

/** The array at a path, or none. */
export function listAt(value: unknown, ...path: readonly (string | number)[]): readonly unknown[] {
  const found = at(value, ...path);
  return Array.isArray(found) ? found : [];
}

/** The newest resourceVersion of objects; "0" of none. */
export function newestRevision(objects: readonly unknown[]): string {
  let newest = 0n;
  for (const object of objects) {
    const revision = BigInt(String(at(object, "metadata", "resourceVersion") ?? "0"));
    if (revision > newest) newest = revision;
  }
  return newest.toString();
}

export class ApiClient {
  readonly #server: URL;
  readonly #agent: Agent;

  constructor(kubeconfigPath: string) {
    const config = parse(readFileSync(kubeconfigPath, "utf8")) as Kubeconfig;
    const cluster = config.clusters[0]?.cluster ?? {};
    const user = config.users[0]?.user ?? {};
    this.#server = new URL(cluster["server"] ?? "");
    const servername = cluster["tls-server-name"];
    this.#agent = new Agent({
      keepAlive: true,
      maxSockets: 8,
      ca: pemOf(cluster, "certificate-authority"),
      cert: pemOf(user, "client-certificate"),
      key: pemOf(user, "client-key"),
      ...(servername === undefined ? {} : { servername }),
    });
  }

  /** Must be called when done: open connections keep the process alive. */
  close(): void {
    this.#agent.destroy();
  }

  /** One request. @throws {NodeplaneError} COMMAND_FAILED when there is no answer */
  send(method: string, path: string, body?: unknown, contentType = "application/json"): Promise<ApiResponse> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      accept: "application/json",
      ...(text === undefined
        ? {}
        : { "content-type": contentType, "content-length": String(Buffer.byteLength(text)) }),
    };
    return new Promise((resolve, reject) => {
      const fail = (cause: Error): void =>
        reject(
          new NodeplaneError(
            "COMMAND_FAILED",
            { operation: `${method} ${path}`, detail: cause.message },
            cause,
          ),
        );
      const call = request(
        new URL(path, this.#server),
        { method, headers, agent: this.#agent, timeout: REQUEST_TIMEOUT_MS },
        (response) => {
          let received = "";
          response.setEncoding("utf8");
          response.on("data", (part: string) => {
            received += part;
            if (received.length > MAX_BODY) response.destroy(new Error("the answer is too long"));
          });
          response.on("error", fail);
          response.on("end", () => resolve({ status: response.statusCode ?? 0, body: parseBody(received) }));
        },
      );
      call.on("timeout", () => call.destroy(new Error(`no answer in ${REQUEST_TIMEOUT_MS} ms`)));
      call.on("error", fail);
      call.end(text);
    });
  }

  /** The object at `path`, or undefined when it is not there. */
  async get(path: string): Promise<ApiObject | undefined> {
    const response = await this.send("GET", path);
    if (response.status === 404) return undefined;
    return accept(response, `GET ${path}`);
  }

  /** Creates an object in its collection, or merges it into the one that is there. */
  async apply(collection: string, object: ApiObject): Promise<ApiObject> {
    const created = await this.send("POST", collection, object);
    if (created.status !== 409) return accept(created, `POST ${collection}`);
    const path = `${collection}/${String(at(object, "metadata", "name"))}`;
    return accept(await this.send("PATCH", path, object, "application/merge-patch+json"), `PATCH ${path}`);
  }

  /** @returns false when it was not there */
  async delete(path: string): Promise<boolean> {
    const response = await this.send("DELETE", path);
    if (response.status === 404) return false;
    accept(response, `DELETE ${path}`);
    return true;
  }

  /**
   * Asks again and again until `check` gives something else than undefined.
   * @throws {NodeplaneError} COMMAND_FAILED naming `what` after `timeoutMs`
   */
  async waitFor<T>(
    what: string,
    check: () => Promise<T | undefined>,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<T> {
    const deadline = Date.now() + timeoutMs;
    let last: unknown;
    for (;;) {
      try {
        const found = await check();
        if (found !== undefined) return found;
        last = undefined;
      } catch (error) {
        last = error;
      }
      signal?.throwIfAborted();
      if (Date.now() > deadline) {
        const why = last instanceof Error ? `: ${last.message}` : "";
        throw new NodeplaneError(
          "COMMAND_FAILED",
          {
            operation: `waited ${Math.round(timeoutMs / 1000)} s for ${what}`,
            detail: `it did not happen${why}`,
          },
          last,
        );
      }
      await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal });
    }
  }
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function accept(response: ApiResponse, operation: string): ApiObject {
  if (response.status >= 200 && response.status < 300) return (response.body ?? {}) as ApiObject;
  const message = at(response.body, "message");
  const detail = typeof message === "string" ? message : `status ${response.status}`;
  throw new NodeplaneError("COMMAND_FAILED", { operation, detail });
}
