/** Layer control-plane. Defaults of pods (pkg/apis/core/v1/defaults.go), in place. */
import type { ApiObject, JsonObject } from "../../registry/json.ts";
import {
  asNumber,
  asObject,
  asText,
  ensureObject,
  objectsIn,
  setDefault,
  setDefaultValue,
} from "../common/json-access.ts";

const FILE_MODE = 0o644;

export function setPodDefaults(pod: ApiObject): void {
  const spec = ensureObject(pod, "spec");
  setDefaultValue(spec, "restartPolicy", "Always");
  setDefaultValue(spec, "dnsPolicy", "ClusterFirst");
  setDefault(spec, "terminationGracePeriodSeconds", 30);
  setDefault(spec, "securityContext", {});
  setDefaultValue(spec, "schedulerName", "default-scheduler");
  setDefault(spec, "enableServiceLinks", true);
  const account = asText(spec["serviceAccountName"]) || asText(spec["serviceAccount"]);
  if (account !== "") Object.assign(spec, { serviceAccountName: account, serviceAccount: account });
  const hostNetwork = spec["hostNetwork"] === true;
  for (const list of ["initContainers", "containers", "ephemeralContainers"]) {
    for (const container of objectsIn(spec[list])) setContainerDefaults(container, hostNetwork);
  }
  for (const volume of objectsIn(spec["volumes"])) setVolumeDefaults(volume);
}

function setContainerDefaults(container: JsonObject, hostNetwork: boolean): void {
  const image = asText(container["image"]);
  if (image !== "") setDefaultValue(container, "imagePullPolicy", pullPolicy(image));
  setDefaultValue(container, "terminationMessagePath", "/dev/termination-log");
  setDefaultValue(container, "terminationMessagePolicy", "File");
  const resources = ensureObject(container, "resources");
  const limits = asObject(resources["limits"]);
  if (Object.keys(limits).length > 0) {
    resources["requests"] = { ...limits, ...asObject(resources["requests"]) };
  }
  for (const port of objectsIn(container["ports"])) {
    setDefaultValue(port, "protocol", "TCP");
    if (hostNetwork && asNumber(port["hostPort"]) === 0) port["hostPort"] = asNumber(port["containerPort"]);
  }
  for (const variable of objectsIn(container["env"])) {
    const source = asObject(variable["valueFrom"]);
    if (source["fieldRef"] !== undefined) setDefaultValue(asObject(source["fieldRef"]), "apiVersion", "v1");
  }
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    const probe = container[name];
    if (probe !== undefined) setProbeDefaults(asObject(probe));
  }
  const lifecycle = asObject(container["lifecycle"]);
  for (const hook of ["postStart", "preStop"]) setHttpDefaults(asObject(lifecycle[hook]));
}

/** The newest image is always looked for; a fixed tag or digest is pulled once. */
function pullPolicy(image: string): string {
  if (image.includes("@")) return "IfNotPresent";
  const lastPart = image.slice(image.lastIndexOf("/") + 1);
  const colon = lastPart.indexOf(":");
  return colon === -1 || lastPart.slice(colon) === ":latest" ? "Always" : "IfNotPresent";
}

function setProbeDefaults(probe: JsonObject): void {
  setDefaultValue(probe, "timeoutSeconds", 1);
  setDefaultValue(probe, "periodSeconds", 10);
  setDefaultValue(probe, "successThreshold", 1);
  setDefaultValue(probe, "failureThreshold", 3);
  setHttpDefaults(probe);
  if (probe["grpc"] !== undefined) setDefault(asObject(probe["grpc"]), "service", "");
}

function setHttpDefaults(handler: JsonObject): void {
  if (handler["httpGet"] === undefined) return;
  const get = asObject(handler["httpGet"]);
  setDefaultValue(get, "path", "/");
  setDefaultValue(get, "scheme", "HTTP");
}

function setVolumeDefaults(volume: JsonObject): void {
  const sources = Object.keys(volume).filter((key) => key !== "name");
  if (sources.length === 0) volume["emptyDir"] = {};
  for (const kind of ["secret", "configMap", "downwardAPI", "projected"]) {
    if (volume[kind] !== undefined) setDefault(asObject(volume[kind]), "defaultMode", FILE_MODE);
  }
  if (volume["hostPath"] !== undefined) setDefault(asObject(volume["hostPath"]), "type", "");
}
