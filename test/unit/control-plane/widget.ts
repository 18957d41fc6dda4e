/** A sample kind, added by one registry entry: with status and scale subresources, defaults, columns, field selectors. */
import { AGE, NAME } from "../../../src/control-plane/registry/columns.ts";
import { required } from "../../../src/control-plane/registry/field-error.ts";
import { type ApiObject, isJsonObject, valueAt } from "../../../src/control-plane/registry/json.ts";
import { type Kind, textAt } from "../../../src/control-plane/registry/kind.ts";
import { CONDITION, META } from "../../../src/control-plane/registry/meta-schema.ts";
import { int32, list, map, message, ref, string } from "../../../src/control-plane/registry/schema.ts";

const PART = message("io.example.v1.WidgetPart", "A part of a Widget.", {
  name: string(1, "Name of the part.", { required: true }),
  count: int32(2, "How many.", { pointer: true }),
});

const SPEC = message("io.example.v1.WidgetSpec", "What a Widget should be.", {
  replicas: int32(1, "Desired count.", { pointer: true, default: 1 }),
  colour: string(2, "Its colour.", { required: true, enum: ["red", "green"] }),
  parts: list(3, PART, "Its parts.", { mergeKey: "name", listType: "map", listMapKeys: ["name"] }),
  notes: map(4, "string", "Anything else."),
});

const STATUS = message("io.example.v1.WidgetStatus", "What a Widget is.", {
  replicas: int32(1, "Observed count."),
  conditions: list(2, CONDITION, "Conditions.", { mergeKey: "type" }),
});

const colourOf = (object: ApiObject): string => textAt(valueAt(object, ["spec", "colour"]));
const count = (value: unknown): number => (typeof value === "number" ? value : 0);

export const WIDGET: Kind = {
  group: "example.io",
  version: "v1",
  kind: "Widget",
  plural: "widgets",
  singular: "widget",
  shortNames: ["wd"],
  categories: ["all"],
  namespaced: true,
  generation: true,
  schema: message("io.example.v1.Widget", "Widget is a sample kind.", {
    metadata: META,
    spec: ref(2, SPEC, "Desired state."),
    status: ref(3, STATUS, "Observed state."),
  }),
  setDefaults: (object) => {
    const { spec } = object;
    if (isJsonObject(spec)) spec["replicas"] ??= 1;
  },
  validate: (object) => (colourOf(object) === "" ? [required("spec.colour")] : []),
  subresources: {
    status: { type: "object" },
    scale: {
      type: "scale",
      specReplicasPath: ["spec", "replicas"],
      statusReplicasPath: ["status", "replicas"],
      selector: (object) => `widget=${object.metadata.name ?? ""}`,
    },
  },
  columns: [
    NAME,
    { name: "Colour", type: "string", description: "Its colour.", cell: colourOf },
    {
      name: "Replicas",
      type: "string",
      description: "Observed and desired count.",
      cell: (object) =>
        `${count(valueAt(object, ["status", "replicas"]))}/${count(valueAt(object, ["spec", "replicas"]))}`,
    },
    AGE,
    {
      name: "Parts",
      type: "integer",
      description: "Number of parts.",
      priority: 1,
      cell: (object) => {
        const parts = valueAt(object, ["spec", "parts"]);
        return Array.isArray(parts) ? parts.length : 0;
      },
    },
  ],
  fieldSelectors: { "spec.colour": colourOf },
};
