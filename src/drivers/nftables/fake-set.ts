/**
 * Layer drivers. One set of the fake nf_tables: elements by key, with the kernel's answers to equal keys, overlapping
 * ranges and full sets. Keys are byte strings (one character a byte), which compare as the bytes do.
 */
import { checkElements } from "../../codec/netlink/nftables/elements.ts";
import { fieldInfo } from "../../codec/netlink/nftables/fields.ts";
import { type ElementShape, elementShape } from "../../codec/netlink/nftables/sets.ts";
import type { NftElements, NftSet, NftVerdict } from "../../model/nftables.ts";

export interface FakeElement {
  /** Key, and for ranges the end behind it. */
  readonly key: string;
  readonly data: string;
  readonly verdict?: NftVerdict;
}

function bytesOf(bytes: Uint8Array | undefined, index: number, length: number): string {
  if (bytes === undefined) return "";
  return String.fromCharCode(...bytes.subarray(index * length, (index + 1) * length));
}

function fill(into: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) into[at + i] = text.charCodeAt(i);
}

function verdictText(verdict: NftVerdict): string {
  return verdict.kind === "jump" || verdict.kind === "goto"
    ? `${verdict.kind} ${verdict.chain}`
    : verdict.kind;
}

export class FakeSet {
  readonly set: NftSet;
  readonly #shape: ElementShape;
  readonly #elements = new Map<string, FakeElement>();
  /** Elements of a verdict map by the chain they name. */
  readonly #references = new Map<string, number>();

  constructor(set: NftSet) {
    this.set = set;
    this.#shape = elementShape(set);
  }

  sameDeclaration(set: NftSet): boolean {
    const text = (value: NftSet): string =>
      JSON.stringify([
        value.key,
        value.data,
        value.flags.toSorted(),
        value.size ?? 0,
        value.counter ?? false,
      ]);
    return text(set) === text(this.set);
  }

  refersTo(chain: string): boolean {
    return (this.#references.get(chain) ?? 0) > 0;
  }

  /** Element `index` of the packed form. @throws {RangeError} when the arrays do not fit the declaration */
  element(elements: NftElements, index: number): FakeElement {
    if (index === 0) checkElements(this.#shape, elements);
    const { keyBytes, dataBytes } = this.#shape;
    const start = bytesOf(elements.keys, index, keyBytes);
    const end =
      this.#shape.interval === "none" ? "" : bytesOf(elements.keyEnds ?? elements.keys, index, keyBytes);
    const verdict = elements.verdicts?.[index];
    return {
      key: start + end,
      data: bytesOf(elements.data, index, dataBytes),
      ...(verdict === undefined ? {} : { verdict }),
    };
  }

  add(element: FakeElement): "added" | "same" | "exists" | "full" {
    const held = this.#elements.get(element.key);
    if (held !== undefined) {
      const same = held.data === element.data && sameVerdict(held.verdict, element.verdict);
      return same ? "same" : "exists";
    }
    if (this.#shape.interval !== "none" && this.#overlaps(element.key)) return "exists";
    if (this.set.size !== undefined && this.#elements.size >= this.set.size) return "full";
    this.#elements.set(element.key, element);
    this.#count(element, 1);
    return "added";
  }

  delete(key: string): FakeElement | undefined {
    const held = this.#elements.get(key);
    if (held === undefined) return undefined;
    this.#elements.delete(key);
    this.#count(held, -1);
    return held;
  }

  #count(element: FakeElement, by: number): void {
    const { verdict } = element;
    if (verdict === undefined || !("chain" in verdict)) return;
    this.#references.set(verdict.chain, (this.#references.get(verdict.chain) ?? 0) + by);
  }

  #overlaps(key: string): boolean {
    const parts = this.set.key.map((field) => fieldInfo(field).bytes);
    const width = this.#shape.keyBytes;
    for (const other of this.#elements.keys()) {
      let at = 0;
      let meet = true;
      for (const bytes of parts) {
        const from = key.slice(at, at + bytes);
        const to = key.slice(width + at, width + at + bytes);
        meet &&= from <= other.slice(width + at, width + at + bytes) && other.slice(at, at + bytes) <= to;
        at += (bytes + 3) & ~3;
      }
      if (meet) return true;
    }
    return false;
  }

  /** All elements, packed, by ascending key. */
  elements(): NftElements {
    const { keyBytes, dataBytes, interval, verdicts } = this.#shape;
    const sorted = [...this.#elements.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    const keys = new Uint8Array(sorted.length * keyBytes);
    const keyEnds = interval === "none" ? undefined : new Uint8Array(sorted.length * keyBytes);
    const data = dataBytes === 0 ? undefined : new Uint8Array(sorted.length * dataBytes);
    sorted.forEach((element, index) => {
      fill(keys, index * keyBytes, element.key.slice(0, keyBytes));
      if (keyEnds !== undefined) fill(keyEnds, index * keyBytes, element.key.slice(keyBytes));
      if (data !== undefined) fill(data, index * dataBytes, element.data);
    });
    return {
      count: sorted.length,
      keys,
      ...(keyEnds === undefined ? {} : { keyEnds }),
      ...(data === undefined ? {} : { data }),
      ...(verdicts ? { verdicts: sorted.flatMap((element) => element.verdict ?? []) } : {}),
    };
  }

  /** Declaration and elements as text. */
  lines(): readonly string[] {
    const { name, flags, key } = this.set;
    const hex = (text: string): string => Buffer.from(text, "latin1").toString("hex");
    const elements = [...this.#elements.values()].map((element) => {
      const value = element.verdict === undefined ? hex(element.data) : verdictText(element.verdict);
      return `element ${name} ${hex(element.key)}${value === "" ? "" : ` : ${value}`}`;
    });
    return [
      `set ${name} ${JSON.stringify(key)} ${JSON.stringify(this.set.data)} ${flags.join(",")}${this.set.counter === undefined ? "" : " counter"}`,
      ...elements,
    ];
  }
}

function sameVerdict(a: NftVerdict | undefined, b: NftVerdict | undefined): boolean {
  return (a === undefined ? "" : verdictText(a)) === (b === undefined ? "" : verdictText(b));
}
