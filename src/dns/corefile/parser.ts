/**
 * Layer dns. Corefile text to server blocks: keys, directives with arguments and nested options, snippets, imports.
 * Files are read through a function given by the caller, so that the grammar stays testable.
 * Source: the Corefile manual of CoreDNS 1.14 and its lexer's habits (one brace-less block, commas between keys).
 */
import { corefileError, type Position } from "./corefile-error.ts";
import { type Environment, splitTokens, type Token } from "./tokens.ts";

/** One line of a block: a plugin, or an option inside a plugin. */
export interface Directive extends Position {
  readonly name: string;
  readonly args: readonly string[];
  /** Lines between the braces; absent when there were none. */
  readonly options?: readonly Directive[];
}

export interface ServerBlock extends Position {
  /** As written, commas removed. */
  readonly keys: readonly string[];
  readonly directives: readonly Directive[];
}

export interface CorefileSource {
  /** Text of a file, or of every file that matches a pattern with `*`, `?` or `[`; in order of their names. */
  readonly readImport: (
    pattern: string,
    from: string,
  ) => readonly { readonly file: string; readonly text: string }[];
  readonly env: Environment;
}

const MAX_IMPORTS = 10_000;
const MAX_TOKENS = 1_000_000;
const MAX_DEPTH = 8;

/** @throws {NodeplaneError} CONFIG_INVALID with file and line */
export function parseCorefile(text: string, file: string, source: CorefileSource): readonly ServerBlock[] {
  return new Parser(splitTokens(text, file, source.env), file, source).blocks();
}

class Parser {
  readonly #source: CorefileSource;
  readonly #file: string;
  readonly #snippets = new Map<string, readonly Token[]>();
  #tokens: Token[];
  #at = 0;
  #imports = 0;

  constructor(tokens: Token[], file: string, source: CorefileSource) {
    this.#tokens = tokens;
    this.#file = file;
    this.#source = source;
  }

  blocks(): ServerBlock[] {
    const blocks: ServerBlock[] = [];
    while (this.#at < this.#tokens.length) {
      const token = this.#peek();
      if (token === undefined) break;
      if (token.text === "import" && !token.isQuoted) this.#import();
      else if (/^\(.+\)$/.test(token.text)) this.#snippet(token);
      else blocks.push(this.#block(blocks.length === 0));
    }
    return blocks;
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#at];
  }

  #position(): Position {
    const token = this.#tokens[Math.min(this.#at, this.#tokens.length - 1)];
    return { file: token?.file ?? this.#file, line: token?.line ?? 1 };
  }

  /** `(name) { … }`: the words between the braces are kept for `import name`. */
  #snippet(head: Token): void {
    this.#at++;
    if (this.#peek()?.text !== "{")
      throw corefileError(head, head.text, 'a snippet needs "{" behind its name');
    this.#at++;
    const start = this.#at;
    let depth = 1;
    for (; this.#at < this.#tokens.length; this.#at++) {
      const token = this.#tokens[this.#at];
      if (token?.isQuoted === true) continue;
      if (token?.text === "{") depth++;
      if (token?.text === "}" && --depth === 0) break;
    }
    if (depth > 0) throw corefileError(head, head.text, 'the snippet is not closed by "}"');
    const name = head.text.slice(1, -1);
    if (this.#snippets.has(name))
      throw corefileError(head, head.text, "there is already a snippet of this name");
    this.#snippets.set(name, this.#tokens.slice(start, this.#at));
    this.#at++;
  }

  /** Replaces the import line by the words of the snippet or of the files. */
  #import(): void {
    const head = this.#peek();
    const target = this.#tokens[this.#at + 1];
    if (head === undefined) return;
    if (target === undefined || target.startsLine) {
      throw corefileError(head, "import", "needs one argument: a snippet, a file or a pattern");
    }
    const behind = this.#tokens[this.#at + 2];
    if (behind !== undefined && !behind.startsLine && behind.text !== "}") {
      throw corefileError(head, "import", `takes one argument, found "${behind.text}"`);
    }
    if (++this.#imports > MAX_IMPORTS) {
      throw corefileError(head, "import", `more than ${MAX_IMPORTS} imports: is there a cycle?`);
    }
    const words = this.#snippets.get(target.text) ?? this.#readFiles(target);
    if (this.#tokens.length + words.length > MAX_TOKENS) {
      throw corefileError(head, "import", `the configuration has more than ${MAX_TOKENS} words`);
    }
    this.#tokens = [...this.#tokens.slice(0, this.#at), ...words, ...this.#tokens.slice(this.#at + 2)];
  }

  #readFiles(target: Token): readonly Token[] {
    const files = this.#source.readImport(target.text, target.file);
    if (files.length === 0 && !/[*?[]/.test(target.text)) {
      throw corefileError(target, "import", `"${target.text}" is neither a snippet nor a readable file`);
    }
    return files.flatMap(({ file, text }) => splitTokens(text, file, this.#source.env));
  }

  #block(isFirst: boolean): ServerBlock {
    const at = this.#position();
    const keys: string[] = [];
    let hasComma = true;
    for (;;) {
      const token = this.#peek();
      if (token === undefined) {
        throw corefileError(at, "", `server block "${keys.join(" ")}" has no "{"`);
      }
      if (token.text === "{" && !token.isQuoted) break;
      if (token.startsLine && !hasComma) {
        // A single block may leave its braces out: its keys are one line, the rest of the file its directives.
        if (!isFirst) throw corefileError(token, "", `expected "{" behind "${keys.join(" ")}"`);
        return { ...at, keys, directives: this.#directives(0, false) };
      }
      if (token.text === "}") throw corefileError(token, "", 'unexpected "}"');
      hasComma = token.text.endsWith(",");
      const key = hasComma ? token.text.slice(0, -1) : token.text;
      if (key !== "") keys.push(key);
      this.#at++;
    }
    if (keys.length === 0) throw corefileError(at, "", "a server block needs at least one zone before {");
    this.#at++;
    return { ...at, keys, directives: this.#directives(0, true) };
  }

  /** Lines up to the closing brace, which is consumed; without braces up to the end of the file. */
  #directives(depth: number, hasBraces: boolean): Directive[] {
    const open = this.#position();
    const directives: Directive[] = [];
    for (;;) {
      const token = this.#peek();
      if (token === undefined) {
        if (!hasBraces) return directives;
        throw corefileError(open, "", 'a block is not closed by "}"');
      }
      if (token.text === "}" && !token.isQuoted && hasBraces) {
        this.#at++;
        return directives;
      }
      if (token.text === "import" && !token.isQuoted) this.#import();
      else directives.push(this.#directive(token, depth));
    }
  }

  #directive(head: Token, depth: number): Directive {
    this.#at++;
    if (head.text === "{" || head.text === "}") throw corefileError(head, "", `unexpected "${head.text}"`);
    const args: string[] = [];
    const base = { name: head.text, file: head.file, line: head.line };
    for (;;) {
      const token = this.#peek();
      if (token === undefined || token.startsLine) return { ...base, args };
      if (token.text === "}" && !token.isQuoted) return { ...base, args };
      this.#at++;
      if (token.text === "{" && !token.isQuoted) {
        if (depth >= MAX_DEPTH) throw corefileError(token, head.text, "blocks are nested too deeply");
        return { ...base, args, options: this.#directives(depth + 1, true) };
      }
      args.push(token.text);
    }
  }
}
