/**
 * Layer agent. An HTTP or HTTPS probe as the kubelet's: 200–399 is success, certificates are not verified, redirects are
 * followed while they stay on the host. Source: kubernetes/pkg/probe/http.
 */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { KUBERNETES_VERSION } from "../../model/version.ts";
import type { ProbeAction } from "./probe-spec.ts";
import type { Seen } from "./run-probe.ts";

const MAX_REDIRECTS = 10;
const MAX_BODY_BYTES = 10 * 1024;
const MAX_SHOWN = 200;

type HttpAction = Extract<ProbeAction, { kind: "httpGet" }>;

/** @throws when nothing answers or `signal` aborts */
export async function probeHttp(action: HttpAction, address: string, signal: AbortSignal): Promise<Seen> {
  const host = action.host || address;
  const bracketed = host.includes(":") ? `[${host}]` : host;
  let url = new URL(`${action.isHttps ? "https" : "http"}://${bracketed}:${action.port}${action.path}`);
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const answer = await get(url, action, signal);
    const next = answer.location === undefined ? undefined : (URL.parse(answer.location, url) ?? undefined);
    const isRedirect = answer.status >= 300 && answer.status < 400 && next !== undefined;
    if (!isRedirect || next.hostname !== url.hostname || !/^https?:$/.test(next.protocol)) {
      const ok = answer.status >= 200 && answer.status < 400;
      const body = answer.body.replaceAll(/\s+/g, " ").slice(0, MAX_SHOWN);
      return ok
        ? { result: "success", message: `HTTP status ${answer.status}` }
        : { result: "failure", message: `HTTP status ${answer.status}${body === "" ? "" : `: ${body}`}` };
    }
    url = next;
  }
  return { result: "failure", message: `more than ${MAX_REDIRECTS} redirects` };
}

interface Answer {
  readonly status: number;
  readonly location: string | undefined;
  readonly body: string;
}

function get(url: URL, action: HttpAction, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = {
      method: "GET",
      headers: headers(action),
      agent: false,
      signal,
      maxHeaderSize: 16_384,
    } as const;
    const answered = (response: IncomingMessage): void => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      const done = (): void => {
        resolve({
          status: response.statusCode ?? 0,
          location: response.headers.location,
          body: Buffer.concat(chunks).toString("utf8").slice(0, MAX_BODY_BYTES),
        });
        request.destroy();
      };
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes >= MAX_BODY_BYTES) done();
      });
      response.on("end", done);
      response.on("error", reject);
    };
    const request: ClientRequest =
      url.protocol === "https:"
        ? httpsRequest(url, { ...options, rejectUnauthorized: false }, answered)
        : httpRequest(url, options, answered);
    request.on("error", reject);
    request.end();
  });
}

function headers(action: HttpAction): Record<string, string | string[]> {
  const result: Record<string, string | string[]> = {
    "User-Agent": `kube-probe/${KUBERNETES_VERSION.major}.${KUBERNETES_VERSION.minor}`,
    Accept: "*/*",
    Connection: "close",
  };
  for (const { name, value } of action.headers) {
    const same = Object.keys(result).find((key) => key.toLowerCase() === name.toLowerCase());
    if (same !== undefined) delete result[same];
    result[name] = value;
  }
  return result;
}
