/**
 * Layer dns. Expressions of `view` and `template` (the expr language of CoreDNS): compiled once into functions. `||`, `&&`, `!`
 * and their words, `? :`, `??`, comparisons, `in`, `matches`, `contains`, `startsWith`, `endsWith`, `+ - * / %`, parentheses, lists,
 * an index in brackets, texts in either quotes or backticks, numbers, variables, calls, and `any all none one count filter` with `#`.
 */

import { goPattern } from "../corefile/go-pattern.ts";
import { Syntax, type Token, tokenize } from "./tokens.ts";
import { BUILTINS, ExpressionError, OPERATORS, type Value } from "./values.ts";

/** What a call or a variable means; `Scope` is what an expression is evaluated in. */
export interface Language<Scope> {
  readonly functions: Readonly<Record<string, (scope: Scope, args: readonly Value[]) => Value>>;
  /** @returns undefined when there is no variable of this name */
  readonly variable: (name: string) => ((scope: Scope) => Value) | undefined;
}

export type Compiled<Scope> =
  | { readonly kind: "expression"; readonly evaluate: (scope: Scope) => Value }
  | { readonly kind: "bad"; readonly reason: string };

const MAX_DEPTH = 50;

/** @returns the expression, or what is wrong with the text. Evaluating may throw {@link ExpressionError}. */
export function compileExpression<Scope>(text: string, language: Language<Scope>): Compiled<Scope> {
  try {
    return { kind: "expression", evaluate: new Parser(tokenize(text), language).all() };
  } catch (error) {
    if (error instanceof Syntax) return { kind: "bad", reason: error.message };
    throw error;
  }
}

/** @param fitting elements for which the condition is true, of `total` */
type Predicate = (fitting: readonly Value[], total: number) => Value;

const PREDICATES: Readonly<Record<string, Predicate>> = {
  any: (fitting) => fitting.length > 0,
  all: (fitting, total) => fitting.length === total,
  none: (fitting) => fitting.length === 0,
  one: (fitting) => fitting.length === 1,
  count: (fitting) => fitting.length,
  filter: (fitting) => fitting,
};

type Node<Scope> = (scope: Scope) => Value;

class Parser<Scope> {
  readonly #tokens: readonly Token[];
  readonly #language: Language<Scope>;
  /** What `#` stands for in the predicates around, the innermost last. Evaluation never waits, so one list is enough. */
  readonly #elements: Value[] = [];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[], language: Language<Scope>) {
    this.#tokens = tokens;
    this.#language = language;
  }

  all(): Node<Scope> {
    const node = this.#choice();
    const rest = this.#tokens[this.#at];
    if (rest !== undefined) throw new Syntax(`unexpected "${rest.text}"`);
    return node;
  }

  /** Takes a symbol or word that reads so. */
  #take(...texts: readonly string[]): boolean {
    const token = this.#tokens[this.#at];
    if (token === undefined || (token.kind !== "symbol" && token.kind !== "word")) return false;
    if (!texts.includes(token.text)) return false;
    this.#at++;
    return true;
  }

  #choice(): Node<Scope> {
    if (++this.#depth > MAX_DEPTH) throw new Syntax("nested too deeply");
    const test = this.#or();
    if (!this.#take("?")) {
      this.#depth--;
      return test;
    }
    const yes = this.#choice();
    this.#expect(":");
    const no = this.#choice();
    this.#depth--;
    return (scope) => (truth(test(scope)) ? yes(scope) : no(scope));
  }

  #or(): Node<Scope> {
    let left = this.#and();
    for (;;) {
      const a = left;
      if (this.#take("||", "or")) {
        const b = this.#and();
        left = (scope) => truth(a(scope)) || truth(b(scope));
      } else if (this.#take("??")) {
        const b = this.#and();
        left = (scope) => a(scope) ?? b(scope);
      } else return left;
    }
  }

  #and(): Node<Scope> {
    let left = this.#binary(0);
    while (this.#take("&&", "and")) {
      const [a, b] = [left, this.#binary(0)];
      left = (scope) => truth(a(scope)) && truth(b(scope));
    }
    return left;
  }

  #binary(level: number): Node<Scope> {
    const operators = OPERATORS[level];
    if (operators === undefined) return this.#unary();
    let left = this.#binary(level + 1);
    for (;;) {
      const name = this.#operator(operators);
      if (name === undefined) return left;
      const [a, at, b] = [left, this.#tokens[this.#at], this.#binary(level + 1)];
      const apply = operators[name];
      if (apply === undefined) return left;
      left =
        name === "matches" && at?.kind === "text"
          ? matching(a, at.text)
          : (scope) => apply(a(scope), b(scope));
    }
  }

  #operator(operators: Readonly<Record<string, unknown>>): string | undefined {
    const token = this.#tokens[this.#at];
    if (token === undefined || (token.kind !== "symbol" && token.kind !== "word")) return undefined;
    const isNegated = token.text === "not" && this.#tokens[this.#at + 1]?.text === "in";
    const name = isNegated ? "not in" : token.text;
    if (!Object.hasOwn(operators, name)) return undefined;
    this.#at += isNegated ? 2 : 1;
    return name;
  }

  #unary(): Node<Scope> {
    if (++this.#depth > MAX_DEPTH) throw new Syntax("nested too deeply");
    const node = this.#signed();
    this.#depth--;
    return node;
  }

  #signed(): Node<Scope> {
    if (this.#take("!", "not")) {
      const value = this.#unary();
      return (scope) => !truth(value(scope));
    }
    if (this.#take("-")) {
      const value = this.#unary();
      return (scope) => OPERATORS[1]?.["-"]?.(0, value(scope)) ?? null;
    }
    let node = this.#value();
    while (this.#take("[")) {
      const [list, index] = [node, this.#choice()];
      this.#expect("]");
      node = (scope) => element(list(scope), index(scope));
    }
    return node;
  }

  #value(): Node<Scope> {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw new Syntax("the expression ends too early");
    const { kind, text } = token;
    if (kind === "text") return () => text;
    if (kind === "number") return () => Number(text);
    if (kind === "word") return this.#word(text);
    if (text === "#") return () => this.#elements.at(-1) ?? null;
    if (text === "(") {
      const node = this.#choice();
      this.#expect(")");
      return node;
    }
    if (text === "[") {
      const items = this.#list("]");
      return (scope) => items.map((item) => item(scope));
    }
    throw new Syntax(`unexpected "${text}"`);
  }

  #word(name: string): Node<Scope> {
    if (name === "true" || name === "false") return () => name === "true";
    if (name === "nil") return () => null;
    if (this.#take("(")) return this.#call(name);
    const variable = this.#language.variable(name);
    if (variable === undefined) throw new Syntax(`unknown name "${name}"`);
    return variable;
  }

  #call(name: string): Node<Scope> {
    const { functions } = this.#language;
    const predicate = Object.hasOwn(PREDICATES, name) ? PREDICATES[name] : undefined;
    if (predicate !== undefined) return this.#predicate(predicate);
    const args = this.#list(")");
    const own = Object.hasOwn(functions, name) ? functions[name] : undefined;
    if (own !== undefined) {
      return (scope) =>
        own(
          scope,
          args.map((arg) => arg(scope)),
        );
    }
    const builtin = Object.hasOwn(BUILTINS, name) ? BUILTINS[name] : undefined;
    if (builtin !== undefined) return (scope) => builtin(args.map((arg) => arg(scope)));
    const allowed = [...Object.keys(functions), ...Object.keys(BUILTINS)].join(", ");
    throw new Syntax(`unknown function "${name}"; allowed: ${allowed}`);
  }

  /** `any(LIST, CONDITION)`, the condition in braces or not; `#` is the element. */
  #predicate(decide: Predicate): Node<Scope> {
    const list = this.#choice();
    this.#expect(",");
    const hasBraces = this.#take("{");
    const test = this.#choice();
    if (hasBraces) this.#expect("}");
    this.#expect(")");
    return (scope) => {
      const items = list(scope);
      if (!Array.isArray(items)) throw new ExpressionError("a predicate needs a list");
      const fitting = items.filter((item: Value) => {
        this.#elements.push(item);
        try {
          return truth(test(scope));
        } finally {
          this.#elements.pop();
        }
      });
      return decide(fitting, items.length);
    };
  }

  #list(end: string): readonly Node<Scope>[] {
    const items: Node<Scope>[] = [];
    if (this.#take(end)) return items;
    do items.push(this.#choice());
    while (this.#take(","));
    this.#expect(end);
    return items;
  }

  #expect(text: string): void {
    if (!this.#take(text)) throw new Syntax(`expected "${text}"`);
  }
}

/** A pattern that stands in the text is compiled once, and complained about at once. */
function matching<Scope>(value: Node<Scope>, pattern: string): Node<Scope> {
  let compiled: RegExp;
  try {
    compiled = goPattern(pattern);
  } catch (error) {
    throw new Syntax(error instanceof Error ? error.message : "bad pattern");
  }
  return (scope) => {
    const text = value(scope);
    if (typeof text !== "string") throw new ExpressionError("matches needs a text");
    return compiled.test(text);
  };
}

function truth(value: Value): boolean {
  if (typeof value !== "boolean") throw new ExpressionError("a condition must be true or false");
  return value;
}

function element(list: Value, index: Value): Value {
  if (!Array.isArray(list) || typeof index !== "number")
    throw new ExpressionError("an index needs a list and a number");
  return (list.at(index) as Value | undefined) ?? null;
}
