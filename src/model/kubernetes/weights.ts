/**
 * Layer model. The annotation `nodeplane.dev/endpoint-weights` on an EndpointSlice or Endpoints object: a JSON object of
 * address to weight, `{"10.0.0.1": 3, "10.0.0.2": 0}`. 0 drains, 256 is the most, an address that is not named weighs 1.
 */
import { type IpAddress, parseIp } from "../ip.ts";
import { isRecord, type Problems, show } from "./fields.ts";
import { WEIGHTS_ANNOTATION } from "./meta.ts";

export type Weights = ReadonlyMap<IpAddress, number>;

export const MAX_WEIGHT = 256;
const NONE: Weights = new Map();

/** The weights that are well formed; each wrong entry is a problem and counts as not given. */
export function readWeights(annotations: Readonly<Record<string, string>>, problems: Problems): Weights {
  const text = annotations[WEIGHTS_ANNOTATION];
  if (text === undefined) return NONE;
  const field = `metadata.annotations[${WEIGHTS_ANNOTATION}]`;
  const json = parseJson(text);
  if (!isRecord(json)) {
    problems.add("InvalidWeights", field, `must be a JSON object like {"10.0.0.1": 3}, not ${show(text)}`);
    return NONE;
  }
  const weights = new Map<IpAddress, number>();
  for (const [key, weight] of Object.entries(json)) {
    const address = parseIp(key);
    if (address === undefined || !isWeight(weight)) {
      const entry = `${show(key)}: ${show(weight)}`;
      problems.add(
        "InvalidWeights",
        field,
        `must map addresses to integers from 0 to ${MAX_WEIGHT}, not ${entry}`,
      );
    } else weights.set(address, weight);
  }
  return weights;
}

function isWeight(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_WEIGHT;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
