/**
 * Layer control-plane. Validation of pods: what an agent or a Service relies on, with upstream's texts
 * (pkg/apis/core/validation/validation.go). What only a container runtime would look at is left to the schema.
 */
import {
  duplicate,
  type FieldError,
  forbidden,
  invalid,
  notSupported,
  required,
} from "../../registry/field-error.ts";
import { type ApiObject, type Json, type JsonObject, sameJson } from "../../registry/json.ts";
import { dns1123Label, dns1123Subdomain } from "../../registry/names.ts";
import {
  checkIp,
  checkLabels,
  checkOneOf,
  checkPort,
  checkPortOrName,
  checkText,
  PROTOCOLS,
  portName,
} from "../common/field-checks.ts";
import { asNumber, asObject, asText, objectsIn, textsIn } from "../common/json-access.ts";

/** Set on Pods that an agent made from a manifest: they describe something that already runs. */
export const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";

export const isMirror = (pod: ApiObject): boolean =>
  pod.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined;

export function validatePod(pod: ApiObject): readonly FieldError[] {
  const spec = asObject(pod["spec"]);
  const containers = objectsIn(spec["containers"]);
  const errors: FieldError[] = [];
  const volumes = checkVolumes(objectsIn(spec["volumes"]), errors);
  if (containers.length === 0) errors.push(required("spec.containers"));
  const names = new Set<string>();
  const options = { hostNetwork: spec["hostNetwork"] === true, needsImage: !isMirror(pod), names, volumes };
  for (const list of ["initContainers", "containers"]) {
    objectsIn(spec[list]).forEach((container, index) => {
      errors.push(...checkContainer(`spec.${list}[${index}]`, container, options));
    });
  }
  errors.push(
    ...checkOneOf("spec.restartPolicy", spec["restartPolicy"], ["Always", "OnFailure", "Never"]),
    ...checkOneOf("spec.dnsPolicy", spec["dnsPolicy"], [
      "ClusterFirst",
      "ClusterFirstWithHostNet",
      "Default",
      "None",
    ]),
    ...checkLabels("spec.nodeSelector", spec["nodeSelector"]),
    ...checkName("spec.nodeName", spec["nodeName"], dns1123Subdomain),
    ...checkName("spec.hostname", spec["hostname"], dns1123Label),
    ...checkName("spec.subdomain", spec["subdomain"], dns1123Label),
    ...checkName("spec.serviceAccountName", spec["serviceAccountName"], dns1123Subdomain),
  );
  const grace = spec["terminationGracePeriodSeconds"];
  if (typeof grace === "number" && grace < 0) {
    errors.push(invalid("spec.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0"));
  }
  objectsIn(spec["hostAliases"]).forEach((alias, index) => {
    errors.push(...checkIp(`spec.hostAliases[${index}].ip`, asText(alias["ip"])));
  });
  return errors;
}

function checkName(
  field: string,
  value: Json | undefined,
  check: (text: string) => readonly string[],
): readonly FieldError[] {
  const text = asText(value);
  return text === "" ? [] : checkText(field, text, check);
}

interface ContainerOptions {
  readonly hostNetwork: boolean;
  readonly needsImage: boolean;
  /** Names so far, over all lists of containers. */
  readonly names: Set<string>;
  readonly volumes: ReadonlySet<string>;
}

function checkContainer(
  field: string,
  container: JsonObject,
  options: ContainerOptions,
): readonly FieldError[] {
  const errors: FieldError[] = [];
  const name = asText(container["name"]);
  if (name === "") errors.push(required(`${field}.name`));
  else errors.push(...checkText(`${field}.name`, name, dns1123Label));
  if (options.names.has(name)) errors.push(duplicate(`${field}.name`, name));
  options.names.add(name);
  const image = asText(container["image"]);
  if (image === "" && options.needsImage) errors.push(required(`${field}.image`));
  else if (image !== image.trim()) {
    errors.push(invalid(`${field}.image`, image, "must not have leading or trailing whitespace"));
  }
  errors.push(...checkContainerPorts(`${field}.ports`, objectsIn(container["ports"]), options.hostNetwork));
  objectsIn(container["env"]).forEach((variable, index) => {
    if (asText(variable["name"]) === "") errors.push(required(`${field}.env[${index}].name`));
  });
  objectsIn(container["volumeMounts"]).forEach((mount, index) => {
    const at = `${field}.volumeMounts[${index}]`;
    const volume = asText(mount["name"]);
    if (volume === "") errors.push(required(`${at}.name`));
    else if (!options.volumes.has(volume)) {
      errors.push({ type: "NotFound", field: `${at}.name`, badValue: volume, detail: "" });
    }
    if (asText(mount["mountPath"]) === "") errors.push(required(`${at}.mountPath`));
  });
  for (const probe of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    if (container[probe] !== undefined) {
      errors.push(...checkProbe(`${field}.${probe}`, asObject(container[probe]), probe !== "readinessProbe"));
    }
  }
  return errors;
}

function checkContainerPorts(
  field: string,
  ports: readonly JsonObject[],
  hostNetwork: boolean,
): readonly FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  ports.forEach((port, index) => {
    const at = `${field}[${index}]`;
    const name = asText(port["name"]);
    if (name !== "") {
      errors.push(...checkText(`${at}.name`, name, portName));
      if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
      names.add(name);
    }
    if (asNumber(port["containerPort"]) === 0) errors.push(required(`${at}.containerPort`));
    else errors.push(...checkPort(`${at}.containerPort`, port["containerPort"]));
    const hostPort = asNumber(port["hostPort"]);
    if (hostPort !== 0) errors.push(...checkPort(`${at}.hostPort`, hostPort));
    if (hostNetwork && hostPort !== asNumber(port["containerPort"])) {
      errors.push(
        invalid(`${at}.hostPort`, hostPort, "must match `containerPort` when `hostNetwork` is true"),
      );
    }
    errors.push(...checkOneOf(`${at}.protocol`, port["protocol"], PROTOCOLS));
  });
  return errors;
}

const HANDLERS = ["exec", "httpGet", "tcpSocket", "grpc"];

function checkProbe(field: string, probe: JsonObject, onlyOneSuccess: boolean): readonly FieldError[] {
  const errors: FieldError[] = [];
  const given = HANDLERS.filter((handler) => probe[handler] !== undefined);
  if (given.length === 0) errors.push(required(field, "must specify a handler type"));
  for (const extra of given.slice(1)) {
    errors.push(forbidden(`${field}.${extra}`, "may not specify more than 1 handler type"));
  }
  const [handler] = given;
  if (handler !== undefined)
    errors.push(...checkHandler(`${field}.${handler}`, handler, asObject(probe[handler])));
  for (const key of [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
  ]) {
    const value = asNumber(probe[key]);
    if (value < 0) errors.push(invalid(`${field}.${key}`, value, "must be greater than or equal to 0"));
  }
  if (onlyOneSuccess && asNumber(probe["successThreshold"]) > 1) {
    errors.push(invalid(`${field}.successThreshold`, asNumber(probe["successThreshold"]), "must be 1"));
  }
  return errors;
}

function checkHandler(field: string, handler: string, action: JsonObject): readonly FieldError[] {
  switch (handler) {
    case "exec":
      return textsIn(action["command"]).length === 0 ? [required(`${field}.command`)] : [];
    case "httpGet":
      return [
        ...(asText(action["path"]) === "" ? [required(`${field}.path`)] : []),
        ...checkPortOrName(`${field}.port`, action["port"]),
        ...checkOneOf(`${field}.scheme`, action["scheme"], ["HTTP", "HTTPS"]),
      ];
    case "tcpSocket":
      return checkPortOrName(`${field}.port`, action["port"]);
    default:
      return checkPort(`${field}.port`, action["port"]);
  }
}

/** @returns the names of the volumes */
function checkVolumes(volumes: readonly JsonObject[], errors: FieldError[]): ReadonlySet<string> {
  const names = new Set<string>();
  volumes.forEach((volume, index) => {
    const field = `spec.volumes[${index}]`;
    const name = asText(volume["name"]);
    if (name === "") errors.push(required(`${field}.name`));
    else errors.push(...checkText(`${field}.name`, name, dns1123Label));
    if (names.has(name)) errors.push(duplicate(`${field}.name`, name));
    names.add(name);
    const sources = Object.keys(volume).filter((key) => key !== "name");
    for (const extra of sources.slice(1)) {
      errors.push(forbidden(`${field}.${extra}`, "may not specify more than 1 volume type"));
    }
  });
  return names;
}

const UPDATE_TEXT =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/** Only images, deadline, tolerations and a first node name may change. */
export function validatePodUpdate(pod: ApiObject, old: ApiObject): readonly FieldError[] {
  const before = asObject(old["spec"]);
  const masked = structuredClone(asObject(pod["spec"]));
  masked["activeDeadlineSeconds"] = before["activeDeadlineSeconds"];
  masked["tolerations"] = before["tolerations"];
  for (const list of ["initContainers", "containers"]) {
    const previous = objectsIn(before[list]);
    objectsIn(masked[list]).forEach((container, index) => {
      const image = previous[index]?.["image"];
      if (image === undefined) delete container["image"];
      else container["image"] = image;
    });
  }
  return sameJson(masked, before) ? [] : [forbidden("spec", UPDATE_TEXT)];
}

const PHASES = ["Failed", "Pending", "Running", "Succeeded", "Unknown"];

export function validatePodStatus(pod: ApiObject): readonly FieldError[] {
  const status = asObject(pod["status"]);
  const phase = asText(status["phase"]);
  const ips = objectsIn(status["podIPs"]).map((entry) => asText(entry["ip"]));
  const errors = ips.flatMap((ip, index) => checkIp(`status.podIPs[${index}]`, ip));
  if (phase !== "" && !PHASES.includes(phase)) errors.push(notSupported("status.phase", phase, PHASES));
  if (errors.length === 0 && new Set(ips.map((ip) => ip.includes(":"))).size < ips.length) {
    errors.push(invalid("status.podIPs", ips, "may specify no more than one IP for each IP family"));
  }
  return errors;
}
