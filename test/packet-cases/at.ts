/** Packet cases: a place in a file of cases, with readers that refuse what does not fit and name file and field. */
import { parseIp } from "../../src/model/ip.ts";

export class CaseFileError extends Error {
  override readonly name = "CaseFileError";
}

/** Value and path. */
export class At {
  readonly value: unknown;
  readonly path: string;

  constructor(value: unknown, path: string) {
    this.value = value;
    this.path = path;
  }

  fail(message: string): never {
    throw new CaseFileError(`${this.path}: ${message}`);
  }

  /** The fields of a map; a field that is not in `known` is an error. */
  fields(known: readonly string[]): (name: string) => At {
    const map = this.map();
    for (const name of map.keys()) {
      if (!known.includes(name)) this.fail(`unknown key "${name}", known are ${known.join(", ")}`);
    }
    return (name) => map.get(name) ?? new At(undefined, `${this.path}.${name}`);
  }

  map(): Map<string, At> {
    if (typeof this.value !== "object" || this.value === null || Array.isArray(this.value))
      this.fail("must be a map");
    return new Map(
      Object.entries(this.value).map(([name, value]) => [name, new At(value, `${this.path}.${name}`)]),
    );
  }

  list(): readonly At[] {
    if (this.value === undefined) return [];
    if (!Array.isArray(this.value)) this.fail("must be a list");
    return this.value.map((item: unknown, index) => new At(item, `${this.path}[${index}]`));
  }

  text(): string {
    return typeof this.value === "string" ? this.value : this.fail("must be a text");
  }

  bool(fallback?: boolean): boolean {
    if (this.value === undefined && fallback !== undefined) return fallback;
    return typeof this.value === "boolean" ? this.value : this.fail("must be true or false");
  }

  int(from: number, to: number): number {
    const { value } = this;
    if (typeof value === "number" && Number.isInteger(value) && value >= from && value <= to) return value;
    return this.fail(`must be a number from ${from} to ${to}`);
  }

  address(): string {
    return parseIp(this.text()) ?? this.fail("must be an IP address");
  }

  oneOf<T extends string>(known: readonly T[]): T {
    return known.find((name) => name === this.value) ?? this.fail(`must be one of ${known.join(", ")}`);
  }

  absent(): boolean {
    return this.value === undefined;
  }
}
