/**
 * Layer control-plane. JSON text to values, noticing duplicate keys, with a bound on nesting. RFC 8259, nothing more.
 * Paths of duplicates are written as field paths: `spec.ports[0].name`.
 */
import type { Json, JsonObject } from "./json.ts";

const MAX_DEPTH = 200;

export type ParsedJson =
  | { readonly ok: true; readonly value: Json; readonly duplicates: readonly string[] }
  /** `message` reads as a sentence after "the body is no JSON: ". */
  | { readonly ok: false; readonly message: string };

class Problem extends Error {}

/** Never throws on bad text. */
export function parseJson(text: string): ParsedJson {
  const parser = new Parser(text);
  try {
    return { ok: true, value: parser.document(), duplicates: parser.duplicates };
  } catch (error) {
    if (error instanceof Problem) return { ok: false, message: error.message };
    throw error;
  }
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const WORD = /true|false|null/y;

class Parser {
  readonly duplicates: string[] = [];
  readonly #text: string;
  readonly #path: (string | number)[] = [];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): Json {
    const value = this.#value(0);
    this.#take(SPACE);
    if (this.#at < this.#text.length) this.#fail("unexpected text after the value");
    return value;
  }

  #value(depth: number): Json {
    if (depth > MAX_DEPTH) this.#fail(`nested deeper than ${MAX_DEPTH} levels`);
    this.#take(SPACE);
    switch (this.#text[this.#at]) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case '"':
        return this.#string();
      case undefined:
        return this.#fail("unexpected end of text");
      default:
        return this.#scalar();
    }
  }

  #object(depth: number): JsonObject {
    const object: JsonObject = {};
    this.#at += 1;
    if (this.#skip("}")) return object;
    do {
      this.#take(SPACE);
      const key = this.#string();
      if (!this.#skip(":")) this.#fail("expected ':' after a key");
      // Assigning this key would set the prototype instead.
      if (key === "__proto__") this.#fail('the key "__proto__" is not allowed');
      this.#path.push(key);
      if (Object.hasOwn(object, key)) this.duplicates.push(formatPath(this.#path));
      object[key] = this.#value(depth + 1);
      this.#path.pop();
    } while (this.#skip(","));
    if (!this.#skip("}")) this.#fail("expected ',' or '}' in an object");
    return object;
  }

  #array(depth: number): Json[] {
    const array: Json[] = [];
    this.#at += 1;
    if (this.#skip("]")) return array;
    do {
      this.#path.push(array.length);
      array.push(this.#value(depth + 1));
      this.#path.pop();
    } while (this.#skip(","));
    if (!this.#skip("]")) this.#fail("expected ',' or ']' in an array");
    return array;
  }

  #string(): string {
    const start = this.#at;
    if (this.#text[start] !== '"') this.#fail("expected a string");
    let at = start + 1;
    let escaped = false;
    for (let code = this.#text.charCodeAt(at); code !== 34; code = this.#text.charCodeAt(at)) {
      if (Number.isNaN(code)) this.#fail("unterminated string");
      if (code < 32) this.#fail("control character in a string");
      escaped ||= code === 92;
      at += code === 92 ? 2 : 1;
    }
    this.#at = at + 1;
    if (!escaped) return this.#text.slice(start + 1, at);
    try {
      return JSON.parse(this.#text.slice(start, at + 1)) as string;
    } catch {
      return this.#fail("illegal escape in a string");
    }
  }

  #scalar(): Json {
    const word = this.#take(WORD);
    if (word !== undefined) return word === "null" ? null : word === "true";
    const number = this.#take(NUMBER);
    if (number === undefined) return this.#fail("expected a value");
    return Number(number);
  }

  #skip(character: string): boolean {
    this.#take(SPACE);
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #fail(why: string): never {
    throw new Problem(`${why} at offset ${this.#at}`);
  }
}

/** `spec.ports[0].name`. */
export function formatPath(path: readonly (string | number)[]): string {
  return path
    .map((part, index) => (typeof part === "number" ? `[${part}]` : index === 0 ? part : `.${part}`))
    .join("");
}
