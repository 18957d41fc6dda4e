/**
 * Layer dns. Weight file of `loadbalance weighted`: a name on a line of its own, then lines `ADDRESS WEIGHT` (1 to 255). The first
 * address of an answer is drawn by weight; addresses that are not in the file weigh 1.
 */
import { readFileSync } from "node:fs";
import { TYPE } from "../../../codec/dns/constants.ts";
import type { ResourceRecord } from "../../../codec/dns/message.ts";
import { parseName } from "../../../codec/dns/name.ts";
import { parseIp } from "../../../model/ip.ts";

const MAX_FILE_BYTES = 16 * 1024 * 1024;

/** By name in lower case, then by address. */
export type Weights = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** @throws Error naming the line */
export function parseWeights(text: string): Weights {
  const weights = new Map<string, Map<string, number>>();
  let current: Map<string, number> | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const words = line.replace(/#.*/, "").trim().split(/\s+/);
    if (words[0] === "") continue;
    const [first = "", second] = words;
    if (words.length === 1) {
      const name = parseName(first)?.toLowerCase();
      if (name === undefined || parseIp(first) !== undefined)
        throw new Error(`line ${index + 1}: "${first}" is no name`);
      current = weights.get(name) ?? new Map<string, number>();
      weights.set(name, current);
      continue;
    }
    const address = parseIp(first);
    const weight = Number(second);
    if (
      words.length !== 2 ||
      address === undefined ||
      !Number.isInteger(weight) ||
      weight < 1 ||
      weight > 255
    ) {
      throw new Error(`line ${index + 1}: expected ADDRESS WEIGHT (1 to 255)`);
    }
    if (current === undefined) throw new Error(`line ${index + 1}: an address before any name`);
    current.set(address, weight);
  }
  return weights;
}

/** @throws Error when it cannot be read or is not right */
export function readWeights(path: string): Weights {
  const bytes = readFileSync(path);
  if (bytes.length > MAX_FILE_BYTES) throw new Error(`${path} is larger than ${MAX_FILE_BYTES} bytes`);
  return parseWeights(bytes.toString("utf8"));
}

/** One address drawn by weight comes before the others, which keep their order. */
export function drawFirst(
  records: readonly ResourceRecord[],
  weights: Weights,
  random: () => number,
): readonly ResourceRecord[] {
  const addresses = records.filter(({ type }) => type === TYPE.A || type === TYPE.AAAA);
  const [first] = addresses;
  const own = first === undefined ? undefined : weights.get(first.name.toLowerCase());
  if (first === undefined || own === undefined || addresses.length < 2) return records;
  const weightOf = ({ data }: ResourceRecord): number =>
    data.kind === "address" ? (own.get(data.address) ?? 1) : 0;
  let left = random() * addresses.reduce((sum, record) => sum + weightOf(record), 0);
  const drawn =
    addresses.find((record) => {
      left -= weightOf(record);
      return left < 0;
    }) ?? first;
  const at = records.indexOf(first);
  const others = records.filter((record) => record !== drawn);
  return [...others.slice(0, at), drawn, ...others.slice(at)];
}
