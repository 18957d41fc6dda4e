/** For tests of the Service kind: the API object around a spec, and words that many specs share. */
import type { ApiObject, JsonObject } from "../../../../src/control-plane/registry/json.ts";

export const service = (spec: JsonObject, annotations: Record<string, string> = {}): ApiObject => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { namespace: "default", name: "web", annotations },
  spec,
});
export const PORTS = [{ port: 80 }];
export const DUAL = { serviceCidrs: ["10.96.0.0/12", "fd00:10:96::/112"] };
