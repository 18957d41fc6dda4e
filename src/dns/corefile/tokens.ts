/**
 * Layer dns. Words of a Corefile, as the lexer that CoreDNS uses splits them: blanks separate, double quotes group (also
 * over lines, `\"` inside), `#` starts a comment, `{$NAME}` and `{%NAME%}` are taken from the environment.
 */

export interface Token {
  readonly text: string;
  readonly file: string;
  /** From 1; of the word's first character. */
  readonly line: number;
  /** True when the word is the first of its line. */
  readonly startsLine: boolean;
  readonly isQuoted: boolean;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Never fails: a quote that is not closed ends with the file, and the parser then misses its brace. Cost O(length). */
export function splitTokens(text: string, file: string, env: Environment): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  let lastLine = 0;
  let i = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  while (i < text.length) {
    const char = text[i] ?? "";
    if (char === "\n") line++;
    if (/\s/.test(char)) {
      i++;
      continue;
    }
    if (char === "#") {
      while (i < text.length && text[i] !== "\n") i++;
      continue;
    }
    const startLine = line;
    const isQuoted = char === '"';
    let word = "";
    if (isQuoted) {
      i++;
      while (i < text.length && text[i] !== '"') {
        // A backslash takes what follows with it, and stays unless that is a quote.
        if (text[i] === "\\" && i + 1 < text.length) {
          if (text[i + 1] !== '"') word += "\\";
          i++;
        }
        if (text[i] === "\n") line++;
        word += text[i];
        i++;
      }
      i++;
    } else {
      while (i < text.length && !/[\s#]/.test(text[i] ?? "")) word += text[i++];
    }
    tokens.push({
      text: substitute(word, env),
      file,
      line: startLine,
      startsLine: startLine !== lastLine,
      isQuoted,
    });
    lastLine = line;
  }
  return tokens;
}

/** Unset variables are empty, as in a shell. */
function substitute(word: string, env: Environment): string {
  if (!word.includes("{")) return word;
  return word
    .replaceAll(/\{\$([^{}\s]+)\}/g, (_, name: string) => env[name] ?? "")
    .replaceAll(/\{%([^{}%\s]+)%\}/g, (_, name: string) => env[name] ?? "");
}
