/** Layer dns. How rules of `rewrite` find and change names: exact, prefix, suffix, substring, regex. */
import { parseName } from "../../../codec/dns/name.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { goPattern } from "../../corefile/go-pattern.ts";
import type { Directive } from "../../corefile/parser.ts";

export const MATCHES = ["exact", "prefix", "suffix", "substring", "regex"] as const;
export type MatchKind = (typeof MATCHES)[number];

const MAX_PATTERN_LENGTH = 10_000;

/** @returns the changed name, or `undefined` when the rule does not fit (or its result is no name) */
export type NameChange = (name: string) => string | undefined;

/** @throws SyntaxError for a bad regular expression */
export function compileNameChange(kind: MatchKind, from: string, to: string): NameChange {
  const lowerFrom = from.toLowerCase();
  switch (kind) {
    case "exact": {
      const name = parseName(lowerFrom);
      const target = parseName(to);
      return (asked) => (asked.toLowerCase() === name ? target : undefined);
    }
    case "prefix":
      return (asked) =>
        asked.toLowerCase().startsWith(lowerFrom) ? parseName(to + asked.slice(from.length)) : undefined;
    case "suffix": {
      const suffix = withDot(lowerFrom);
      const target = withDot(to);
      return (asked) =>
        asked.toLowerCase().endsWith(suffix)
          ? parseName(asked.slice(0, asked.length - suffix.length) + target)
          : undefined;
    }
    case "substring":
      return (asked) =>
        asked.toLowerCase().includes(lowerFrom)
          ? parseName(asked.toLowerCase().replaceAll(lowerFrom, to))
          : undefined;
    case "regex": {
      const pattern = goPattern(from);
      return (asked) => {
        const match = pattern.exec(asked.toLowerCase());
        if (match === null) return undefined;
        return parseName(to.replaceAll(/\{(\d+)\}/g, (_, group: string) => match[Number(group)] ?? ""));
      };
    }
  }
}

function withDot(text: string): string {
  return text.endsWith(".") ? text : `${text}.`;
}

/** Takes `[exact|prefix|…]`, exact without one. */
export function takeKind(words: string[]): MatchKind {
  const kind = MATCHES.find((candidate) => candidate === words[0]?.toLowerCase());
  if (kind !== undefined) words.shift();
  return kind ?? "exact";
}

/** @throws {NodeplaneError} CONFIG_INVALID */
export function nameChangeArg(
  directive: Directive,
  kind: MatchKind,
  from: string | undefined,
  to: string | undefined,
): NameChange {
  if (from === undefined || to === undefined) throw corefileError(directive, "rewrite", "needs FROM and TO");
  if (from.length > MAX_PATTERN_LENGTH) {
    throw corefileError(directive, "rewrite", `the pattern is longer than ${MAX_PATTERN_LENGTH} characters`);
  }
  try {
    return compileNameChange(kind, from, to);
  } catch (error) {
    throw corefileError(directive, "rewrite", error instanceof Error ? error.message : "bad pattern");
  }
}
