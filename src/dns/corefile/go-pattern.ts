/**
 * Layer dns. Regular expressions as Corefiles write them (Go's syntax) for JavaScript's engine: named groups `(?P<n>…)`, flags in
 * front `(?i)`, `\A`, `\z`, classes as `[[:digit:]]`. Names are at most 255 octets, so that backtracking stays bounded in practice.
 */
import { corefileError } from "./corefile-error.ts";
import type { Directive } from "./parser.ts";

const MAX_LENGTH = 10_000;
const CLASSES: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  digit: "0-9",
  lower: "a-z",
  upper: "A-Z",
  xdigit: "0-9A-Fa-f",
  word: "0-9A-Za-z_",
  space: "\\s",
  punct: "!-\\/:-@[-`{-~",
};

/** @throws SyntaxError for a bad pattern */
export function goPattern(text: string): RegExp {
  const [, flags = "", rest = text] = /^\(\?([imsU]+)\)(.*)$/s.exec(text) ?? [];
  const source = rest
    .replaceAll("(?P<", "(?<")
    .replaceAll(/\\A/g, "^")
    .replaceAll(/\\z/g, "$")
    .replaceAll(/\[:([a-z]+):\]/g, (whole, name: string) => CLASSES[name] ?? whole);
  return new RegExp(source, flags.replaceAll("U", ""));
}

/** A regular expression of bounded length. @throws {NodeplaneError} CONFIG_INVALID */
export function patternArg(option: Directive, text: string): RegExp {
  if (text.length > MAX_LENGTH) {
    throw corefileError(option, option.name, `the pattern is longer than ${MAX_LENGTH} characters`);
  }
  try {
    return goPattern(text);
  } catch (error) {
    const detail = error instanceof Error ? error.message : `"${text}" is no pattern`;
    throw corefileError(option, option.name, detail);
  }
}
