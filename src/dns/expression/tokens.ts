/** Layer dns. Words of an expression: symbols, texts, numbers, names. */

export class Syntax extends Error {}

export interface Token {
  readonly kind: "symbol" | "text" | "number" | "word";
  readonly text: string;
}

const TOKEN =
  /\s*(?:(&&|\|\||\?\?|==|!=|<=|>=|[<>!(),[\]?:+\-*/%#{}])|'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`([^`]*)`|(\d+(?:\.\d+)?)|([A-Za-z_]\w*))/y;
const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r" };

/** @throws {Syntax} naming what cannot be read */
export function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (text.slice(TOKEN.lastIndex).trim() !== "") {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) throw new Syntax(`cannot read "${text.slice(at).trim()}"`);
    const [, symbol, single, double, raw, number, word] = match;
    if (symbol !== undefined) tokens.push({ kind: "symbol", text: symbol });
    else if (number !== undefined) tokens.push({ kind: "number", text: number });
    else if (word !== undefined) tokens.push({ kind: "word", text: word });
    else tokens.push({ kind: "text", text: raw ?? unescapeText(single ?? double ?? "") });
  }
  return tokens;
}

function unescapeText(text: string): string {
  return text.replaceAll(/\\(.)/g, (_, char: string) => ESCAPES[char] ?? char);
}
