/** Layer control-plane. v1 Service. */
import type { Kind } from "../../registry/kind.ts";
import { dns1035Name } from "../../registry/names.ts";
import { allocateService, releaseService } from "./allocate.ts";
import { SERVICE_COLUMNS } from "./columns.ts";
import { setServiceDefaults } from "./defaults.ts";
import { prepareServiceCreate, prepareServiceUpdate } from "./prepare.ts";
import { SERVICE as SCHEMA } from "./schema.ts";
import { validateService } from "./validate.ts";
import { validateServiceStatus, validateServiceUpdate } from "./validate-update.ts";
import { serviceSpec } from "./view.ts";

export const SERVICE: Kind = {
  group: "",
  version: "v1",
  kind: "Service",
  plural: "services",
  singular: "service",
  shortNames: ["svc"],
  categories: ["all"],
  namespaced: true,
  allowCreateOnUpdate: true,
  schema: SCHEMA,
  validateName: dns1035Name,
  setDefaults: setServiceDefaults,
  prepareForCreate: prepareServiceCreate,
  prepareForUpdate: prepareServiceUpdate,
  validate: validateService,
  validateUpdate: validateServiceUpdate,
  allocate: allocateService,
  release: releaseService,
  subresources: { status: { type: "object", validate: validateServiceStatus } },
  columns: SERVICE_COLUMNS,
  fieldSelectors: {
    "spec.clusterIP": (service) => serviceSpec(service).clusterIP ?? "",
    "spec.type": (service) => serviceSpec(service).type ?? "",
  },
};
