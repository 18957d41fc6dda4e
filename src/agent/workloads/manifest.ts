/**
 * Layer agent. A Pod manifest of something that already runs on this node, read into what the agent uses of it. Unknown
 * fields, bad values and sizes beyond the limits are errors that name the field and what is allowed; nothing is guessed.
 * Fields of a Pod that mean nothing for a process that already runs (volumes, resources …) are known, kept for the
 * mirror Pod and otherwise left alone.
 */
import { type IpAddress, parseIp } from "../../model/ip.ts";
import { record, recordList, refusal, text, textMap } from "./manifest-fields.ts";
import { type ContainerPort, type ContainerProbes, parsePorts, parseProbe } from "./probe-spec.ts";

/** Comma list of the pod's addresses, at most one a family. */
export const POD_IP_ANNOTATION = "nodeplane.dev/pod-ip";
/** Path of the network namespace in which exec probes run. */
export const NETNS_ANNOTATION = "nodeplane.dev/netns";
/** systemd unit that a failed liveness probe restarts. */
export const UNIT_ANNOTATION = "nodeplane.dev/unit";

const DNS_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const UNIT = /^[A-Za-z0-9:_.@\\-]{1,200}\.(service|socket|target)$/;
const MAX_CONTAINERS = 20;
const MAX_ADDRESSES = 2;

const METADATA = [
  "name",
  "namespace",
  "labels",
  "annotations",
  "generateName",
  "uid",
  "creationTimestamp",
] as const;
const SPEC = (
  "containers hostNetwork hostname subdomain nodeName restartPolicy terminationGracePeriodSeconds dnsPolicy volumes " +
  "initContainers tolerations priorityClassName priority securityContext serviceAccountName serviceAccount " +
  "automountServiceAccountToken enableServiceLinks schedulerName affinity nodeSelector imagePullSecrets hostPID hostIPC " +
  "hostAliases dnsConfig readinessGates shareProcessNamespace topologySpreadConstraints overhead preemptionPolicy os " +
  "runtimeClassName setHostnameAsFQDN activeDeadlineSeconds hostUsers resources"
).split(" ");
const CONTAINER = (
  "name image ports readinessProbe livenessProbe startupProbe command args env envFrom resources volumeMounts " +
  "workingDir lifecycle terminationMessagePath terminationMessagePolicy imagePullPolicy securityContext stdin stdinOnce " +
  "tty volumeDevices resizePolicy restartPolicy"
).split(" ");

export interface WorkloadContainer {
  readonly name: string;
  readonly ports: readonly ContainerPort[];
  readonly probes: ContainerProbes;
}

export interface WorkloadManifest {
  readonly namespace: string;
  readonly name: string;
  readonly hostNetwork: boolean;
  /** Empty with hostNetwork: the node's addresses then. */
  readonly addresses: readonly IpAddress[];
  readonly netns?: string;
  readonly unit?: string;
  readonly containers: readonly WorkloadContainer[];
  /** The Pod as the mirror Pod repeats it: metadata (name, namespace, labels, annotations) and spec. */
  readonly pod: {
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
    readonly spec: Readonly<Record<string, unknown>>;
  };
}

/**
 * @param value one document of a manifest file
 * @throws {ManifestError} for the first mistake, with its field and what is allowed
 */
export function parseManifest(value: unknown): WorkloadManifest {
  const root = record(value, "", ["apiVersion", "kind", "metadata", "spec", "status"]);
  if (root["apiVersion"] !== "v1" || root["kind"] !== "Pod") {
    throw refusal("apiVersion and kind", root["kind"], "v1 Pod");
  }
  const metadata = record(root["metadata"], "metadata", METADATA);
  const name = text(metadata["name"], "metadata.name", DNS_NAME, "a DNS name in lower case");
  const namespace = text(metadata["namespace"] ?? "default", "metadata.namespace", DNS_LABEL, "a DNS label");
  const labels = textMap(metadata["labels"], "metadata.labels", { key: LABEL_KEY, value: LABEL_VALUE });
  const annotations = textMap(metadata["annotations"], "metadata.annotations", { key: LABEL_KEY });
  const spec = record(root["spec"], "spec", SPEC);
  const hostNetwork = parseBool(spec["hostNetwork"] ?? false, "spec.hostNetwork");
  const containers = parseContainers(spec["containers"]);
  const netns = annotation(annotations, NETNS_ANNOTATION, /^\/[^\0]{1,255}$/, "an absolute path");
  const unit = annotation(
    annotations,
    UNIT_ANNOTATION,
    UNIT,
    "the name of a systemd unit, such as web.service",
  );
  return {
    namespace,
    name,
    hostNetwork,
    addresses: parseAddresses(annotations[POD_IP_ANNOTATION], hostNetwork),
    ...(netns === undefined ? {} : { netns }),
    ...(unit === undefined ? {} : { unit }),
    containers,
    pod: { labels, annotations, spec },
  };
}

function parseBool(value: unknown, path: string): boolean {
  if (typeof value !== "boolean") throw refusal(path, value, "true or false");
  return value;
}

function annotation(
  annotations: Readonly<Record<string, string>>,
  key: string,
  pattern: RegExp,
  allowed: string,
): string | undefined {
  const value = annotations[key];
  return value === undefined ? undefined : text(value, `metadata.annotations[${key}]`, pattern, allowed);
}

function parseAddresses(value: string | undefined, hostNetwork: boolean): readonly IpAddress[] {
  const path = `metadata.annotations[${POD_IP_ANNOTATION}]`;
  if (value === undefined) {
    if (hostNetwork) return [];
    throw refusal(path, value, "the pod's address, unless spec.hostNetwork is true");
  }
  if (hostNetwork) throw refusal(path, value, "nothing beside spec.hostNetwork: true");
  const addresses = value.split(",").map((part) => parseIp(part.trim()));
  const good = addresses.filter((address) => address !== undefined);
  const families = new Set(good.map((address) => address.includes(":")));
  if (good.length !== addresses.length || good.length > MAX_ADDRESSES || families.size !== good.length) {
    throw refusal(path, value, "one IP address, or an IPv4 and an IPv6 address joined by a comma");
  }
  return good;
}

function parseContainers(value: unknown): readonly WorkloadContainer[] {
  const list = recordList(value, "spec.containers", CONTAINER, MAX_CONTAINERS);
  if (list.length === 0) throw refusal("spec.containers", value, `1 to ${MAX_CONTAINERS} containers`);
  const names = new Set<string>();
  return list.map((container, index) => {
    const path = `spec.containers[${index}]`;
    const name = text(container["name"], `${path}.name`, DNS_LABEL, "a DNS label");
    if (names.has(name)) throw refusal(`${path}.name`, name, "a name that no other container has");
    names.add(name);
    const ports = parsePorts(container["ports"], `${path}.ports`);
    const probe = (field: "startupProbe" | "livenessProbe" | "readinessProbe") =>
      container[field] === undefined
        ? undefined
        : parseProbe(container[field], `${path}.${field}`, {
            ports,
            onlyOneSuccess: field !== "readinessProbe",
          });
    const startup = probe("startupProbe");
    const liveness = probe("livenessProbe");
    const readiness = probe("readinessProbe");
    const probes: ContainerProbes = {
      ...(startup === undefined ? {} : { startup }),
      ...(liveness === undefined ? {} : { liveness }),
      ...(readiness === undefined ? {} : { readiness }),
    };
    return { name, ports, probes };
  });
}
