/** Layer control-plane. Checks of a Service's ports. */
import { duplicate, type FieldError, forbidden, required } from "../../registry/field-error.ts";
import { dns1123Label, qualifiedName } from "../../registry/names.ts";
import { checkOneOf, checkPort, checkPortOrName, checkText, PROTOCOLS } from "../common/field-checks.ts";
import type { ServicePort, ServiceSpec } from "./view.ts";

export function checkServicePorts(spec: ServiceSpec): readonly FieldError[] {
  const ports = spec.ports ?? [];
  const names = new Set<string>();
  const errors = ports.flatMap((port, index) =>
    checkPortFields(`spec.ports[${index}]`, port, { needsName: ports.length > 1, names }),
  );
  if (spec.type === "ClusterIP") {
    ports.forEach((port, index) => {
      if ((port.nodePort ?? 0) === 0) return;
      const text = "may not be used when `type` is 'ClusterIP'";
      errors.push(forbidden(`spec.ports[${index}].nodePort`, text));
    });
  }
  return [...errors, ...checkDuplicates(ports)];
}

interface NameRules {
  readonly needsName: boolean;
  /** Names so far. */
  readonly names: Set<string>;
}

function checkPortFields(field: string, port: ServicePort, rules: NameRules): FieldError[] {
  const errors: FieldError[] = [];
  const name = port.name ?? "";
  if (name === "" && rules.needsName) errors.push(required(`${field}.name`));
  if (name !== "") {
    errors.push(...checkText(`${field}.name`, name, dns1123Label));
    if (rules.names.has(name)) errors.push(duplicate(`${field}.name`, name));
    rules.names.add(name);
  }
  errors.push(...checkPort(`${field}.port`, port.port));
  errors.push(...checkOneOf(`${field}.protocol`, port.protocol, PROTOCOLS));
  errors.push(...checkPortOrName(`${field}.targetPort`, port.targetPort));
  if (port.appProtocol !== undefined) {
    errors.push(...checkText(`${field}.appProtocol`, port.appProtocol, qualifiedName));
  }
  return errors;
}

/** (protocol, nodePort) and (protocol, port) are unique within a Service. */
function checkDuplicates(ports: readonly ServicePort[]): readonly FieldError[] {
  const errors: FieldError[] = [];
  const nodePorts = new Set<string>();
  ports.forEach((port, index) => {
    const number = port.nodePort ?? 0;
    if (number === 0) return;
    const key = `${port.protocol}/${number}`;
    if (nodePorts.has(key)) errors.push(duplicate(`spec.ports[${index}].nodePort`, number));
    nodePorts.add(key);
  });
  const seen = new Set<string>();
  ports.forEach((port, index) => {
    const key = `${port.protocol}/${port.port ?? 0}`;
    if (seen.has(key)) {
      const value = { protocol: port.protocol ?? "", port: port.port ?? 0 };
      errors.push(duplicate(`spec.ports[${index}]`, value));
    }
    seen.add(key);
  });
  return errors;
}
