/** Layer control-plane. discovery.k8s.io/v1 EndpointSlice. */
import { AGE, NAME } from "../../registry/columns.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { Kind } from "../../registry/kind.ts";
import { checkUnchanged } from "../common/field-checks.ts";
import { asNumber, asText, objectsIn, setDefaultValue, textsIn } from "../common/json-access.ts";
import { firstAndMore } from "../endpoints/kind.ts";
import { ENDPOINT_SLICE as SCHEMA } from "./schema.ts";
import { validateEndpointSlice } from "./validate.ts";

function setDefaults(object: ApiObject): void {
  for (const port of objectsIn(object["ports"])) {
    port["name"] ??= "";
    setDefaultValue(port, "protocol", "TCP");
  }
}

function ports(object: ApiObject): string {
  const list = objectsIn(object["ports"]);
  if (list.length === 0) return "<unset>";
  return firstAndMore(
    list.map((port) => {
      const number = asNumber(port["port"]);
      return number === 0 ? "*" : String(number);
    }),
    ",",
  );
}

function addresses(object: ApiObject): string {
  const list = objectsIn(object["endpoints"]).flatMap((endpoint) => textsIn(endpoint["addresses"]));
  return list.length === 0 ? "<unset>" : firstAndMore(list, ",");
}

export const ENDPOINT_SLICE: Kind = {
  group: "discovery.k8s.io",
  version: "v1",
  kind: "EndpointSlice",
  plural: "endpointslices",
  singular: "endpointslice",
  namespaced: true,
  generation: true,
  allowUnconditionalUpdate: true,
  schema: SCHEMA,
  setDefaults,
  validate: validateEndpointSlice,
  validateUpdate: (object, old) => checkUnchanged("addressType", object["addressType"], old["addressType"]),
  columns: [
    NAME,
    {
      name: "AddressType",
      type: "string",
      description: "Family of the addresses.",
      cell: (object) => asText(object["addressType"]),
    },
    { name: "Ports", type: "string", description: "Ports of the endpoints.", cell: ports },
    { name: "Endpoints", type: "string", description: "Addresses of the endpoints.", cell: addresses },
    AGE,
  ],
};
