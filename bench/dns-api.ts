/**
 * Benchmarks. As much of a Kubernetes API as CoreDNS's `kubernetes` plugin asks for: lists of services, endpoint slices and
 * namespaces, and watches on which nothing happens. The objects are those that our resolver gets.
 */
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { benchService, benchSlice } from "./frames.ts";

type Json = Readonly<Record<string, unknown>>;

/** @returns its URL, and what ends it */
export async function startApi(
  services: number,
  endpoints: number,
): Promise<{ readonly url: string; readonly close: () => void }> {
  const lists = new Map<string, Json>([
    ["/api/v1/services", list("v1", "ServiceList", range(services).map(serviceJson))],
    [
      "/apis/discovery.k8s.io/v1/endpointslices",
      list(
        "discovery.k8s.io/v1",
        "EndpointSliceList",
        endpoints === 0 ? [] : range(services).map((i) => sliceJson(i, endpoints)),
      ),
    ],
    ["/api/v1/namespaces", list("v1", "NamespaceList", namespaces(services))],
  ]);
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    const found = lists.get(url.pathname);
    if (url.searchParams.get("sendInitialEvents") === "true")
      return send(response, 400, status("no initial events here"));
    if (url.searchParams.get("watch") === "true") {
      response.writeHead(200, { "content-type": "application/json" });
      response.flushHeaders();
      return;
    }
    send(response, found === undefined ? 404 : 200, found ?? status(`nothing at ${url.pathname}`));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, close: () => closeAll(server) };
}

function closeAll(server: Server): void {
  server.closeAllConnections();
  server.close();
}

function send(response: ServerResponse, code: number, body: Json): void {
  response.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function status(message: string): Json {
  return { kind: "Status", apiVersion: "v1", status: "Failure", reason: "Invalid", code: 400, message };
}

function list(apiVersion: string, kind: string, items: readonly Json[]): Json {
  return { kind, apiVersion, metadata: { resourceVersion: "1" }, items };
}

function range(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i);
}

function metadata(i: number): { name: string; namespace: string; resourceVersion: string } {
  const { name, namespace } = benchService(i, "cluster-ip").meta;
  return { name, namespace, resourceVersion: "1" };
}

function serviceJson(i: number): Json {
  const { clusterIPs } = benchService(i, "cluster-ip");
  const ports = [{ name: "http", protocol: "TCP", port: 80 }];
  return { metadata: metadata(i), spec: { type: "ClusterIP", clusterIP: clusterIPs[0], clusterIPs, ports } };
}

function sliceJson(i: number, count: number): Json {
  const slice = benchSlice(i, count);
  const own = metadata(i);
  const labels = { "kubernetes.io/service-name": own.name };
  return {
    metadata: { ...own, labels },
    addressType: "IPv4",
    ports: slice.ports,
    endpoints: slice.endpoints.map(({ addresses }) => ({ addresses, conditions: { ready: true } })),
  };
}

function namespaces(services: number): readonly Json[] {
  const names = new Set(range(services).map((i) => metadata(i).namespace));
  return [...names].map((name) => ({ metadata: { name, resourceVersion: "1" } }));
}
