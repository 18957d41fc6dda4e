/** Ages as kubectl shows them (apimachinery duration.HumanDuration), tables, warnings of field errors. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeTable } from "../../../src/control-plane/api/table.ts";
import { ageSince, formatAge } from "../../../src/control-plane/registry/columns.ts";
import {
  duplicate,
  forbidden,
  formatFieldError,
  invalid,
  notSupported,
  required,
  tooLong,
  tooMany,
} from "../../../src/control-plane/registry/field-error.ts";
import type { ApiObject } from "../../../src/control-plane/registry/json.ts";
import { WIDGET } from "./widget.ts";

const HOUR = 3600;
const DAY = 24 * HOUR;
const AGES: readonly [number, string][] = [
  [-2, "<invalid>"],
  [-1, "0s"],
  [0, "0s"],
  [119.9, "119s"],
  [120, "2m"],
  [9 * 60 + 1, "9m1s"],
  [10 * 60 + 1, "10m"],
  [179 * 60 + 59, "179m"],
  [3 * HOUR, "3h"],
  [3 * HOUR + 20 * 60, "3h20m"],
  [8 * HOUR + 20 * 60, "8h"],
  [47 * HOUR + 59 * 60, "47h"],
  [2 * DAY, "2d"],
  [5 * DAY + 3 * HOUR, "5d3h"],
  [8 * DAY + 3 * HOUR, "8d"],
  [210 * DAY, "210d"],
  [2 * 365 * DAY + 45 * DAY, "2y45d"],
  [9 * 365 * DAY, "9y"],
];

for (const [seconds, text] of AGES)
  test(`age of ${seconds} s is ${text}`, () => assert.equal(formatAge(seconds), text));

test("age of no time is unknown", () => assert.equal(ageSince(undefined, 0), "<unknown>"));

const object: ApiObject = {
  apiVersion: "example.io/v1",
  kind: "Widget",
  metadata: { name: "a", creationTimestamp: "1970-01-01T00:00:10Z", labels: { x: "y" } },
  spec: { colour: "red", replicas: 2 },
};

test("a table has cells, columns and what was asked for of the object", () => {
  const options = { metaVersion: "meta.k8s.io/v1", nowMs: 15_000, columns: true };
  const table = makeTable(
    WIDGET,
    [object],
    { resourceVersion: "7" },
    { ...options, includeObject: "Metadata" },
  );
  assert.deepEqual(table["rows"], [
    {
      cells: ["a", "red", "0/2", "5s", 0],
      object: { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata },
    },
  ]);
  const none = makeTable(WIDGET, [object], {}, { ...options, includeObject: "None", columns: false });
  assert.deepEqual(
    [none["columnDefinitions"], none["rows"]],
    [[], [{ cells: ["a", "red", "0/2", "5s", 0], object: null }]],
  );
});

const ERRORS = [
  [required("spec.x"), "spec.x: Required value"],
  [required("spec.x", "needed"), "spec.x: Required value: needed"],
  [
    invalid("spec.ports[0].port", 0, "must be between 1 and 65535, inclusive"),
    "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
  ],
  [invalid("a", 'q"', "no"), 'a: Invalid value: "q\\"": no'],
  [invalid("a", ["10.0.0.5"], "no"), 'a: Invalid value: ["10.0.0.5"]: no'],
  [invalid("a", undefined, "no"), 'a: Invalid value: "null": no'],
  [duplicate("a[1]", "x"), 'a[1]: Duplicate value: "x"'],
  [forbidden("a", "may not"), "a: Forbidden: may not"],
  [
    notSupported("spec.type", "X", ["A", "B"]),
    'spec.type: Unsupported value: "X": supported values: "A", "B"',
  ],
  [tooLong("a", 5), "a: Too long: may not be more than 5 bytes"],
  [tooMany("a", 3, 2), "a: Too many: 3: must have at most 2 items"],
] as const;

for (const [error, text] of ERRORS)
  test(`field error ${text}`, () => assert.equal(formatFieldError(error), text));
