/**
 * Layer dns. Conditions of `view`: comparisons, `&&`, `||`, `!`, parentheses, lists, texts, numbers and the functions that
 * CoreDNS gives (`name()`, `type()`, `client_ip()`, `incidr()` …). Compiled once into a function; no code is evaluated.
 */
import { formatClass, formatOpcode, formatType } from "../../../codec/dns/constants.ts";
import { cidrContains, parseCidr, parseIp } from "../../../model/ip.ts";
import type { DnsQuery } from "../../query.ts";

type Value = string | number | boolean | readonly Value[];
type Node = (query: DnsQuery) => Value;

const FUNCTIONS: Readonly<Record<string, (query: DnsQuery, args: readonly Value[]) => Value>> = {
  name: (query) => query.name,
  type: (query) => formatType(query.type),
  class: (query) => formatClass(query.class),
  client_ip: (query) => query.client.address,
  server_ip: (query) => query.client.localAddress,
  proto: (query) => query.client.transport,
  port: (query) => String(query.client.port),
  server_port: (query) => String(query.client.localPort),
  do: (query) => query.message.edns?.dnssecOk ?? false,
  bufsize: (query) => query.message.edns?.udpBytes ?? 512,
  opcode: (query) => formatOpcode(query.message.opcode),
  id: (query) => query.message.id,
  incidr: (_query, [address, range]) => {
    const ip = parseIp(String(address));
    const cidr = parseCidr(String(range));
    return ip !== undefined && cidr !== undefined && cidrContains(cidr, ip);
  },
};

const TOKEN = /\s*(?:(&&|\|\||==|!=|<=|>=|[<>!(),[\]])|'([^']*)'|"([^"]*)"|(\d+)|([A-Za-z_]+))/y;
const COMPARE: Readonly<Record<string, (a: Value, b: Value) => boolean>> = {
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  "<": (a, b) => a < b,
  ">": (a, b) => a > b,
  "<=": (a, b) => a <= b,
  ">=": (a, b) => a >= b,
  in: (a, b) => Array.isArray(b) && b.includes(a),
  startsWith: (a, b) => String(a).startsWith(String(b)),
  endsWith: (a, b) => String(a).endsWith(String(b)),
  contains: (a, b) => String(a).includes(String(b)),
};
const MAX_DEPTH = 50;

class Syntax extends Error {}

/** @returns the condition, or what is wrong with the text */
export function compileExpression(
  text: string,
):
  | { readonly kind: "condition"; readonly test: (query: DnsQuery) => boolean }
  | { readonly kind: "bad"; readonly reason: string } {
  try {
    const parser = new Parser(text);
    const node = parser.all();
    return { kind: "condition", test: (query) => node(query) === true };
  } catch (error) {
    if (error instanceof Syntax) return { kind: "bad", reason: error.message };
    throw error;
  }
}

interface Token {
  readonly kind: "symbol" | "text" | "number" | "word";
  readonly text: string;
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#tokens = tokenize(text);
  }

  all(): Node {
    const node = this.#or();
    const rest = this.#tokens[this.#at];
    if (rest !== undefined) throw new Syntax(`unexpected "${rest.text}"`);
    return node;
  }

  #take(kind: Token["kind"], text: string): boolean {
    const token = this.#tokens[this.#at];
    if (token?.kind !== kind || token.text !== text) return false;
    this.#at++;
    return true;
  }

  #or(): Node {
    if (++this.#depth > MAX_DEPTH) throw new Syntax("nested too deeply");
    let left = this.#and();
    while (this.#take("symbol", "||") || this.#take("word", "or")) {
      const [a, b] = [left, this.#and()];
      left = (query) => a(query) === true || b(query) === true;
    }
    this.#depth--;
    return left;
  }

  #and(): Node {
    let left = this.#not();
    while (this.#take("symbol", "&&") || this.#take("word", "and")) {
      const [a, b] = [left, this.#not()];
      left = (query) => a(query) === true && b(query) === true;
    }
    return left;
  }

  #not(): Node {
    let isNegated = false;
    while (this.#take("symbol", "!") || this.#take("word", "not")) isNegated = !isNegated;
    const node = this.#comparison();
    return isNegated ? (query) => node(query) !== true : node;
  }

  #comparison(): Node {
    const left = this.#value();
    const token = this.#tokens[this.#at];
    const compare = token !== undefined && token.kind !== "text" ? COMPARE[token.text] : undefined;
    if (compare === undefined) return left;
    this.#at++;
    const right = this.#value();
    return (query) => compare(left(query), right(query));
  }

  #value(): Node {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw new Syntax("the expression ends too early");
    if (token.kind === "text") return () => token.text;
    if (token.kind === "number") return () => Number(token.text);
    if (token.text === "true" || token.text === "false") return () => token.text === "true";
    if (token.kind === "word") return this.#call(token.text);
    if (token.text === "(") {
      const node = this.#or();
      this.#expect(")");
      return node;
    }
    if (token.text === "[") {
      const items = this.#list("]");
      return (query) => items.map((item) => item(query));
    }
    throw new Syntax(`unexpected "${token.text}"`);
  }

  #call(name: string): Node {
    const call = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
    if (call === undefined)
      throw new Syntax(`unknown function "${name}"; allowed: ${Object.keys(FUNCTIONS).join(", ")}`);
    this.#expect("(");
    const args = this.#list(")");
    return (query) =>
      call(
        query,
        args.map((arg) => arg(query)),
      );
  }

  #list(end: string): readonly Node[] {
    const items: Node[] = [];
    if (this.#take("symbol", end)) return items;
    do items.push(this.#or());
    while (this.#take("symbol", ","));
    this.#expect(end);
    return items;
  }

  #expect(text: string): void {
    if (!this.#take("symbol", text)) throw new Syntax(`expected "${text}"`);
  }
}

function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (text.slice(TOKEN.lastIndex).trim() !== "") {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) throw new Syntax(`cannot read "${text.slice(at).trim()}"`);
    const [, symbol, single, double, number, word] = match;
    if (symbol !== undefined) tokens.push({ kind: "symbol", text: symbol });
    else if (number !== undefined) tokens.push({ kind: "number", text: number });
    else if (word !== undefined) tokens.push({ kind: "word", text: word });
    else tokens.push({ kind: "text", text: single ?? double ?? "" });
  }
  return tokens;
}
