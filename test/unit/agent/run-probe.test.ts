/** Probes against real sockets and processes on this machine's loopback. Semantics: kubernetes/pkg/probe. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import { after, test } from "node:test";
import type { ProbeAction } from "../../../src/agent/workloads/probe-spec.ts";
import { runProbe } from "../../../src/agent/workloads/run-probe.ts";

const open: Server[] = [];
after(() => {
  for (const server of open) server.close();
});

async function listen(server: Server): Promise<number> {
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

function probe(action: ProbeAction, timeoutSeconds = 2) {
  const spec = {
    action,
    timeoutSeconds,
    initialDelaySeconds: 0,
    periodSeconds: 1,
    successThreshold: 1,
    failureThreshold: 1,
  };
  return runProbe(spec, { address: "127.0.0.1" }, new AbortController().signal);
}

const seen: { url: string; headers: Record<string, unknown> }[] = [];
const http = await listen(
  createServer((request, response) => {
    seen.push({ url: request.url ?? "", headers: request.headers });
    const status = Number(/^\/(\d+)/.exec(request.url ?? "")?.[1] ?? 200);
    if (request.url === "/redirect-bad") response.writeHead(302, { Location: "/500" }).end();
    else if (request.url === "/redirect-away")
      response.writeHead(302, { Location: "http://example.invalid/500" }).end();
    else if (request.url === "/loop") response.writeHead(302, { Location: "/loop" }).end();
    else if (request.url === "/silent") return;
    else response.writeHead(status).end("hello\nthere");
  }),
);

const get = (path: string, fields: Partial<Extract<ProbeAction, { kind: "httpGet" }>> = {}): ProbeAction => ({
  kind: "httpGet",
  host: "",
  port: http,
  path,
  isHttps: false,
  headers: [],
  ...fields,
});

const rows: readonly { name: string; action: ProbeAction; want: "success" | "failure"; message: RegExp }[] = [
  { name: "200", action: get("/"), want: "success", message: /^HTTP status 200$/ },
  { name: "399", action: get("/399"), want: "success", message: /399/ },
  { name: "400", action: get("/400"), want: "failure", message: /^HTTP status 400: hello there$/ },
  { name: "503", action: get("/503"), want: "failure", message: /503/ },
  { name: "a redirect is followed", action: get("/redirect-bad"), want: "failure", message: /500/ },
  {
    name: "a redirect to another host is success",
    action: get("/redirect-away"),
    want: "success",
    message: /302/,
  },
  { name: "redirects without end", action: get("/loop"), want: "failure", message: /more than 10 redirects/ },
  { name: "no answer", action: get("/silent"), want: "failure", message: /^no answer within 1 s$/ },
  { name: "nobody listens", action: get("/", { port: 1 }), want: "failure", message: /ECONNREFUSED/ },
  { name: "TLS to a plain port", action: get("/", { isHttps: true }), want: "failure", message: /./ },
  {
    name: "tcp open",
    action: { kind: "tcpSocket", host: "", port: http },
    want: "success",
    message: /connected/,
  },
  {
    name: "tcp refused",
    action: { kind: "tcpSocket", host: "", port: 1 },
    want: "failure",
    message: /ECONNREFUSED/,
  },
  {
    name: "exec 0",
    action: { kind: "exec", command: ["true"] },
    want: "success",
    message: /^exit status 0$/,
  },
  {
    name: "exec 3 with words",
    action: { kind: "exec", command: ["sh", "-c", "echo no >&2; exit 3"] },
    want: "failure",
    message: /^exit status 3: no$/,
  },
  {
    name: "exec of nothing",
    action: { kind: "exec", command: ["/nonexistent"] },
    want: "failure",
    message: /ENOENT/,
  },
  {
    name: "exec that hangs with a child",
    action: { kind: "exec", command: ["sh", "-c", "sleep 61 & sleep 61"] },
    want: "failure",
    message: /^no answer within 1 s$/,
  },
  {
    name: "grpc to a port that is not",
    action: { kind: "grpc", port: 1, service: "" },
    want: "failure",
    message: /ECONNREFUSED/,
  },
];

for (const row of rows) {
  test(`probe: ${row.name}`, async () => {
    const result = await probe(row.action, 1);
    assert.equal(result.result, row.want, result.message);
    assert.match(result.message, row.message);
  });
}

test("an HTTP probe says who it is, and headers of the manifest win", async () => {
  seen.length = 0;
  await probe(
    get("/a?b", {
      headers: [
        { name: "Host", value: "web.example" },
        { name: "user-agent", value: "me" },
      ],
    }),
  );
  assert.equal(seen[0]?.url, "/a?b");
  assert.equal(seen[0]?.headers["host"], "web.example");
  assert.equal(seen[0]?.headers["user-agent"], "me");
  await probe(get("/"));
  assert.match(String(seen[1]?.headers["user-agent"]), /^kube-probe\//);
});

test("a grpc probe reads the health service's status", async () => {
  const asked: Buffer[] = [];
  let status = 1;
  const server = createHttp2Server();
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    assert.equal(headers[":path"], "/grpc.health.v1.Health/Check");
    stream.on("data", (chunk: Buffer) => asked.push(chunk));
    stream.on("end", () => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, status]));
    });
  });
  const port = await listen(server);
  assert.equal((await probe({ kind: "grpc", port, service: "a" })).result, "success");
  assert.deepEqual(Buffer.concat(asked), Buffer.from([0, 0, 0, 0, 3, 10, 1, 97]));
  status = 2;
  assert.deepEqual(await probe({ kind: "grpc", port, service: "" }), {
    result: "failure",
    message: "health status NOT_SERVING",
  });
});
