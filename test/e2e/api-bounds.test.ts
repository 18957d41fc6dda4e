/** Clients that do not behave: a watcher that does not read, too many requests at a time, bodies that never end. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ClientRequest, IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { test } from "node:test";
import { connect } from "node:tls";
import { KINDS } from "../../src/control-plane/kinds/index.ts";
import { WIDGET } from "../unit/control-plane/widget.ts";
import { JSON_TYPE, WIDGETS, widget } from "./support/api-calls.ts";
import { type RunningApi, startApi } from "./support/api-server.ts";

const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";

async function longRunning(api: RunningApi): Promise<number> {
  const { body } = await api.request("/metrics");
  const lines = body.split("\n").filter((line) => line.startsWith("apiserver_longrunning_requests{"));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

/** Resolves when the text has come by. */
async function readUntil(sent: ClientRequest, text: string): Promise<void> {
  sent.on("error", () => undefined);
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  let tail = "";
  for await (const chunk of response as AsyncIterable<Buffer>) {
    tail = tail.slice(-text.length) + chunk.toString("latin1");
    if (tail.includes(text)) return;
  }
  throw new Error("the watch ended early");
}

test("a watcher that does not read is cut off, others go on", async (t) => {
  const api = await startApi(t, KINDS);
  await api.client.create("configmaps", {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "big", namespace: "default" },
  });
  const options = { host: "127.0.0.1", port: api.port, ca: api.ca, ...api.admin, agent: false };
  const stalled = httpsRequest({ ...options, path: `${CONFIG_MAPS}?watch=1` });
  stalled.on("error", () => undefined);
  stalled.end();
  const [response] = (await once(stalled, "response")) as [IncomingMessage];
  response.pause();
  assert.equal(await longRunning(api), 1);

  const reading = readUntil(httpsRequest({ ...options, path: `${CONFIG_MAPS}?watch=1` }), '"x":"59x');
  for (let index = 0; index < 60; index += 1) {
    const data = { x: `${index}${"x".repeat(700_000)}` };
    await api.client.mergePatch("configmaps", "default", "big", { data });
  }
  await reading; // to the end: then this watch is closed too
  let left = await longRunning(api);
  for (let tries = 0; left > 0 && tries < 50; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    left = await longRunning(api);
  }
  assert.equal(left, 0, "the stalled one is gone");
  stalled.destroy();
});

test("more requests at a time than allowed get 429 and a time to come back", async (t) => {
  const api = await startApi(t, [...KINDS, WIDGET]);
  const head = `POST ${WIDGETS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n`;
  const sockets = await Promise.all(
    Array.from({ length: 400 }, async () => {
      const socket = connect({
        host: "127.0.0.1",
        port: api.port,
        ca: api.ca,
        servername: "localhost",
        ...api.admin,
      });
      socket.on("error", () => undefined);
      await once(socket, "secureConnect");
      socket.write(head); // and the body never comes
      return socket;
    }),
  );
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  const send = async () =>
    await api.request(WIDGETS, { method: "POST", headers: JSON_TYPE, body: JSON.stringify(widget("a")) });
  let answer = await send();
  for (let tries = 0; answer.code !== 429 && tries < 20; tries += 1) answer = await send();
  assert.deepEqual([answer.code, answer.headers["retry-after"]], [429, "1"]);
  assert.equal((await api.request("/readyz", { as: undefined })).code, 200, "health still answers");
  for (const socket of sockets) socket.destroy();
  for (let tries = 0; answer.code === 429 && tries < 50; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    answer = await send();
  }
  assert.notEqual(answer.code, 429, "room again when they are gone");
});
