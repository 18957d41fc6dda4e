/**
 * Layer agent. What a probe asks and when: the fields of a Kubernetes Probe with their defaults and limits.
 * Source: Kubernetes API v1, types Probe, HTTPGetAction, TCPSocketAction, ExecAction, GRPCAction.
 */
import type { Protocol } from "../../model/objects.ts";
import { type Fields, integer, record, recordList, refusal, text } from "./manifest-fields.ts";

export interface ContainerPort {
  /** Empty when it has none. */
  readonly name: string;
  readonly port: number;
  readonly protocol: Protocol;
}

export type ProbeAction =
  | {
      readonly kind: "httpGet";
      /** Empty: the pod's address. */
      readonly host: string;
      readonly port: number;
      readonly path: string;
      readonly isHttps: boolean;
      readonly headers: readonly { readonly name: string; readonly value: string }[];
    }
  | { readonly kind: "tcpSocket"; readonly host: string; readonly port: number }
  | { readonly kind: "exec"; readonly command: readonly string[] }
  | { readonly kind: "grpc"; readonly port: number; readonly service: string };

export interface ProbeSpec {
  readonly action: ProbeAction;
  readonly initialDelaySeconds: number;
  readonly periodSeconds: number;
  readonly timeoutSeconds: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

export interface ContainerProbes {
  readonly startup?: ProbeSpec;
  readonly liveness?: ProbeSpec;
  readonly readiness?: ProbeSpec;
}

export interface ProbeContext {
  readonly ports: readonly ContainerPort[];
  /** Liveness and startup probes succeed at once. */
  readonly onlyOneSuccess: boolean;
}

const HOST = /^([A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:.]{2,45})?$/;
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/;
const HEADER_VALUE = /^[\t\x20-\x7e]{0,4096}$/;
const PATH = /^\/?[\x21-\x7e]{0,2048}$/;
const PORT_NAME = /^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$/;
const MAX_SECONDS = 86_400;
const ACTIONS = ["httpGet", "tcpSocket", "exec", "grpc"] as const;
const TIMES = [
  "initialDelaySeconds",
  "periodSeconds",
  "timeoutSeconds",
  "successThreshold",
  "failureThreshold",
];

export function parsePorts(value: unknown, path: string): readonly ContainerPort[] {
  const names = new Set<string>();
  return recordList(value, path, ["name", "containerPort", "protocol", "hostPort", "hostIP"], 256).map(
    (port, index) => {
      const at = `${path}[${index}]`;
      const name =
        port["name"] === undefined
          ? ""
          : text(port["name"], `${at}.name`, PORT_NAME, "at most 15 of a-z, 0-9 and '-'");
      if (name !== "" && names.has(name)) throw refusal(`${at}.name`, name, "a name that no other port has");
      names.add(name);
      const number = integer(port["containerPort"], `${at}.containerPort`, 1, 65_535);
      const protocol = port["protocol"] ?? "TCP";
      if (protocol !== "TCP" && protocol !== "UDP" && protocol !== "SCTP") {
        throw refusal(`${at}.protocol`, protocol, "TCP, UDP, SCTP");
      }
      return { name, port: number, protocol };
    },
  );
}

/** @throws {ManifestError} for the first mistake */
export function parseProbe(value: unknown, path: string, context: ProbeContext): ProbeSpec {
  const probe = record(value, path, [...ACTIONS, ...TIMES, "terminationGracePeriodSeconds"]);
  const actions = ACTIONS.filter((action) => probe[action] !== undefined);
  const [action] = actions;
  if (action === undefined || actions.length > 1) {
    throw refusal(path, actions, `exactly one of ${ACTIONS.join(", ")}`);
  }
  const time = (field: string, min: number, fallback: number) =>
    probe[field] === undefined ? fallback : integer(probe[field], `${path}.${field}`, min, MAX_SECONDS);
  const successThreshold = time("successThreshold", 1, 1);
  if (context.onlyOneSuccess && successThreshold !== 1) {
    throw refusal(`${path}.successThreshold`, successThreshold, "1 for liveness and startup probes");
  }
  return {
    action: parseAction(action, probe, path, context.ports),
    initialDelaySeconds: time("initialDelaySeconds", 0, 0),
    periodSeconds: time("periodSeconds", 1, 10),
    timeoutSeconds: time("timeoutSeconds", 1, 1),
    successThreshold,
    failureThreshold: time("failureThreshold", 1, 3),
  };
}

function parseAction(
  kind: (typeof ACTIONS)[number],
  probe: Fields,
  path: string,
  ports: readonly ContainerPort[],
): ProbeAction {
  const at = `${path}.${kind}`;
  const value = probe[kind];
  switch (kind) {
    case "httpGet":
      return parseHttpGet(value, at, ports);
    case "tcpSocket": {
      const fields = record(value, at, ["host", "port"]);
      return {
        kind,
        host: parseHost(fields["host"], `${at}.host`),
        port: parsePort(fields["port"], `${at}.port`, ports),
      };
    }
    case "exec": {
      const command: unknown = record(value, at, ["command"])["command"];
      if (!Array.isArray(command) || command.length === 0 || command.length > 256) {
        throw refusal(`${at}.command`, command, "a list of 1 to 256 texts");
      }
      return {
        kind,
        command: command.map((part, i) => text(part, `${at}.command[${i}]`, /^[^\0]*$/, "text")),
      };
    }
    case "grpc": {
      const fields = record(value, at, ["port", "service"]);
      const service = fields["service"] ?? "";
      return {
        kind,
        port: integer(fields["port"], `${at}.port`, 1, 65_535),
        service: text(service, `${at}.service`, /^[\x21-\x7e]{0,255}$/, "a service name"),
      };
    }
    default:
      return kind satisfies never;
  }
}

function parseHttpGet(value: unknown, at: string, ports: readonly ContainerPort[]): ProbeAction {
  const fields = record(value, at, ["host", "port", "path", "scheme", "httpHeaders"]);
  const scheme = fields["scheme"] ?? "HTTP";
  if (scheme !== "HTTP" && scheme !== "HTTPS") throw refusal(`${at}.scheme`, scheme, "HTTP, HTTPS");
  const path = text(fields["path"] ?? "/", `${at}.path`, PATH, "a path such as /healthz");
  const headers = recordList(fields["httpHeaders"], `${at}.httpHeaders`, ["name", "value"], 100).map(
    (header, i) => ({
      name: text(header["name"], `${at}.httpHeaders[${i}].name`, HEADER_NAME, "a header name"),
      value: text(header["value"], `${at}.httpHeaders[${i}].value`, HEADER_VALUE, "a header value"),
    }),
  );
  return {
    kind: "httpGet",
    host: parseHost(fields["host"], `${at}.host`),
    port: parsePort(fields["port"], `${at}.port`, ports),
    path: path.startsWith("/") ? path : `/${path}`,
    isHttps: scheme === "HTTPS",
    headers,
  };
}

function parseHost(value: unknown, path: string): string {
  return value === undefined ? "" : text(value, path, HOST, "a host name or an IP address");
}

/** A number, or the name of one of the container's ports. */
function parsePort(value: unknown, path: string, ports: readonly ContainerPort[]): number {
  if (typeof value !== "string") return integer(value, path, 1, 65_535);
  const named = ports.find((port) => port.name === value && value !== "");
  if (named !== undefined) return named.port;
  const names = ports.map((port) => port.name).filter((name) => name !== "");
  throw refusal(path, value, ["1 to 65535", ...names].join(", "));
}
