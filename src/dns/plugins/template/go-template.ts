/**
 * Layer dns. Go's text/template as far as DNS templates use it: fields, variables, pipelines, functions, `if`, `with`,
 * `range`, `else`, `end`, comments and trimming. Compiled once.
 * Source: the documentation of Go's text/template.
 */
import { type Data, FUNCTIONS, isMap, isTrue, print, TemplateError } from "./go-functions.ts";

/** What is being filled in: `.` and the variables. */
interface Scope {
  readonly dot: Data;
  readonly variables: Map<string, Data>;
}

type Value = (scope: Scope) => Data;
type Part = (scope: Scope) => string;

export type CompiledTemplate =
  | { readonly kind: "template"; readonly fill: (dot: ReadonlyMap<string, Data>) => string }
  | { readonly kind: "bad"; readonly reason: string };

const MAX_DEPTH = 30;
const PIECES = /(\{\{-?(?:"(?:[^"\\]|\\.)*"|`[^`]*`|(?!\}\}).)*\}\})/s;
const WORDS =
  /\s*(?:(:=|[|(),=])|"((?:[^"\\]|\\.)*)"|`([^`]*)`|(-?\d+)(?![\w.])|(\$\w*(?:\.\w+)*|(?:\.\w+)+|\.)|([A-Za-z_]\w*))/y;

class Bad extends Error {}

interface Word {
  readonly kind: "symbol" | "text" | "number" | "path" | "name";
  readonly text: string;
}

/** @param fields names that `.NAME` may have at the top @returns a template whose filling may throw {@link TemplateError} */
export function compileTemplate(text: string, fields: readonly string[]): CompiledTemplate {
  try {
    const part = new Parser(text, fields).all();
    return { kind: "template", fill: (dot) => part({ dot, variables: new Map([["$", dot]]) }) };
  } catch (error) {
    if (error instanceof Bad) return { kind: "bad", reason: error.message };
    throw error;
  }
}

class Parser {
  readonly #pieces: readonly string[];
  readonly #fields: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(text: string, fields: readonly string[]) {
    this.#pieces = trimmed(text.split(PIECES));
    this.#fields = fields;
  }

  all(): Part {
    const { part, ending } = this.#body();
    if (ending !== "") throw new Bad(`unexpected {{ ${ending} }}`);
    return part;
  }

  /** Up to `else`, `end` or the end of the text. */
  #body(): { readonly part: Part; readonly ending: string } {
    if (++this.#depth > MAX_DEPTH) throw new Bad("nested too deeply");
    const parts: Part[] = [];
    let ending = "";
    while (this.#at < this.#pieces.length && ending === "") {
      const piece = this.#pieces[this.#at++] ?? "";
      const action = actionOf(piece);
      if (action === undefined) {
        if (piece.includes("{{")) throw new Bad(`"{{" is not closed: ${piece}`);
        parts.push(() => piece);
      } else if (action === "end" || /^else\b/.test(action)) ending = action;
      else if (!action.startsWith("/*")) parts.push(this.#action(action));
    }
    this.#depth--;
    return { part: (scope) => parts.map((part) => part(scope)).join(""), ending };
  }

  #action(action: string): Part {
    const [, keyword, rest = ""] = /^(if|with|range)\b(.*)$/s.exec(action) ?? [];
    if (keyword !== undefined) return this.#block(keyword, rest);
    const assigned = /^\$(\w+)\s*:?=(?!=)(.*)$/s.exec(action);
    if (assigned !== null) {
      const value = this.#pipeline(assigned[2] ?? "");
      return (scope) => {
        scope.variables.set(`$${assigned[1] ?? ""}`, value(scope));
        return "";
      };
    }
    const value = this.#pipeline(action);
    return (scope) => print(value(scope));
  }

  #block(keyword: string, condition: string): Part {
    const [, key, item, list] =
      /^\s*(?:\$(\w+)\s*,\s*)?\$(\w+)\s*:=(.*)$/s.exec(keyword === "range" ? condition : "") ?? [];
    const value = this.#pipeline(list ?? condition);
    const { part: yes, ending } = this.#body();
    const no = this.#otherwise(ending);
    if (keyword === "if") return (scope) => (isTrue(value(scope)) ? yes(scope) : no(scope));
    if (keyword === "with") {
      return (scope) => {
        const dot = value(scope);
        return isTrue(dot) ? yes({ ...scope, dot }) : no(scope);
      };
    }
    return (scope) => {
      const items = value(scope);
      const entries: readonly (readonly [Data, Data])[] = isMap(items)
        ? [...items]
        : Array.isArray(items)
          ? [...items.entries()]
          : [];
      if (entries.length === 0) return no(scope);
      return entries
        .map(([index, dot]) => {
          const variables = new Map(scope.variables);
          if (key !== undefined) variables.set(`$${key}`, index);
          if (item !== undefined) variables.set(`$${item}`, dot);
          return yes({ dot, variables });
        })
        .join("");
    };
  }

  #otherwise(ending: string): Part {
    if (ending === "end") return () => "";
    if (ending === "") throw new Bad("{{ end }} is missing");
    const nested = /^else\s+if\b(.*)$/s.exec(ending)?.[1];
    if (nested !== undefined) return this.#block("if", nested);
    const { part, ending: last } = this.#body();
    if (last !== "end") throw new Bad("{{ end }} is missing");
    return part;
  }

  #pipeline(text: string): Value {
    const words = wordsOf(text);
    const value = this.#commands(words, { at: 0 }, "");
    return value;
  }

  /** `command | command …`, up to `closing`. */
  #commands(words: readonly Word[], cursor: { at: number }, closing: string): Value {
    let value: Value | undefined;
    for (;;) {
      const operands: Value[] = [];
      let name = "";
      for (;;) {
        const word = words[cursor.at];
        if (word === undefined || (word.kind === "symbol" && word.text !== "(")) break;
        cursor.at++;
        if (word.kind === "name" && operands.length === 0 && name === "" && !isLiteral(word))
          name = word.text;
        else operands.push(this.#operand(word, words, cursor));
      }
      value = call(name, operands, value);
      const end = words[cursor.at];
      if (end?.text === "|" && end.kind === "symbol") {
        cursor.at++;
        continue;
      }
      if ((end?.text ?? "") !== closing) throw new Bad(`unexpected "${end?.text ?? "end"}"`);
      cursor.at++;
      return value;
    }
  }

  #operand(word: Word, words: readonly Word[], cursor: { at: number }): Value {
    switch (word.kind) {
      case "text":
        return () => word.text;
      case "number":
        return () => Number(word.text);
      case "name":
        if (isLiteral(word)) return () => (word.text === "nil" ? null : word.text === "true");
        return call(word.text, [], undefined);
      case "symbol":
        return this.#commands(words, cursor, ")");
      case "path":
        return this.#path(word.text);
    }
  }

  #path(text: string): Value {
    const [start = "", ...names] = text.split(".");
    const path = text === "." ? [] : names;
    const [first] = path;
    if (start === "" && this.#depth === 1 && first !== undefined && !this.#fields.includes(first)) {
      throw new Bad(`.${first} is not known; allowed: ${this.#fields.map((name) => `.${name}`).join(" ")}`);
    }
    return (scope) => {
      const base = start === "" ? scope.dot : scope.variables.get(start);
      if (base === undefined) throw new TemplateError(`${start} was never set`);
      return path.reduce<Data>((value, name) => (isMap(value) ? (value.get(name) ?? "") : ""), base);
    };
  }
}

/** A function with its arguments, or a value; what comes through a pipe is the last argument. */
function call(name: string, operands: readonly Value[], piped: Value | undefined): Value {
  const args = piped === undefined ? operands : [...operands, piped];
  if (name !== "") {
    const own = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
    if (own === undefined)
      throw new Bad(`unknown function "${name}"; allowed: ${Object.keys(FUNCTIONS).join(", ")}`);
    return (scope) => own(args.map((arg) => arg(scope)));
  }
  const [head, ...rest] = args;
  if (head === undefined) throw new Bad("an action is empty");
  if (rest.length === 0) return head;
  return (scope) => {
    const value = head(scope);
    if (typeof value !== "function") throw new TemplateError("a value was given arguments");
    return value(rest.map((arg) => arg(scope)));
  };
}

function isLiteral(word: Word): boolean {
  return word.text === "true" || word.text === "false" || word.text === "nil";
}

function actionOf(piece: string): string | undefined {
  return /^\{\{-?(.*?)-?\}\}$/s.exec(piece)?.[1]?.trim();
}

/** `{{-` and `-}}` take the blanks beside them. */
function trimmed(pieces: readonly string[]): readonly string[] {
  return pieces
    .map((piece, i) => {
      if (actionOf(piece) !== undefined) return piece;
      const start = pieces[i - 1]?.endsWith("-}}") === true ? piece.trimStart() : piece;
      return pieces[i + 1]?.startsWith("{{-") === true ? start.trimEnd() : start;
    })
    .filter((piece) => piece !== "");
}

function wordsOf(text: string): readonly Word[] {
  const words: Word[] = [];
  WORDS.lastIndex = 0;
  while (text.slice(WORDS.lastIndex).trim() !== "") {
    const at = WORDS.lastIndex;
    const match = WORDS.exec(text);
    if (match === null) throw new Bad(`cannot read "${text.slice(at).trim()}"`);
    const [, symbol, quoted, raw, number, path, name] = match;
    if (symbol !== undefined) words.push({ kind: "symbol", text: symbol });
    else if (number !== undefined) words.push({ kind: "number", text: number });
    else if (path !== undefined) words.push({ kind: "path", text: path });
    else if (name !== undefined) words.push({ kind: "name", text: name });
    else words.push({ kind: "text", text: raw ?? (quoted ?? "").replaceAll(/\\(.)/g, "$1") });
  }
  return words;
}
