/** Layer control-plane. All kinds that the API serves, in the order of discovery. */
import type { Kind } from "../registry/kind.ts";
import { CONFIG_MAP } from "./config-map/kind.ts";
import { ENDPOINT_SLICE } from "./endpoint-slice/kind.ts";
import { ENDPOINTS } from "./endpoints/kind.ts";
import { EVENTS_API_EVENT } from "./event/events-api.ts";
import { EVENT } from "./event/kind.ts";
import { LEASE } from "./lease/kind.ts";
import { NAMESPACE } from "./namespace/kind.ts";
import { NODE } from "./node/kind.ts";
import { POD } from "./pod/kind.ts";
import { SECRET } from "./secret/kind.ts";
import { SERVICE } from "./service/kind.ts";
import { SERVICE_ACCOUNT } from "./service-account/kind.ts";
import { SERVICE_CIDR } from "./service-cidr/kind.ts";

export const KINDS: readonly Kind[] = [
  CONFIG_MAP,
  ENDPOINTS,
  EVENT,
  NAMESPACE,
  NODE,
  POD,
  SECRET,
  SERVICE_ACCOUNT,
  SERVICE,
  LEASE,
  ENDPOINT_SLICE,
  EVENTS_API_EVENT,
  SERVICE_CIDR,
];
