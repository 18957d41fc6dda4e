/** Layer dns. How rules of `rewrite` find and change names: exact, prefix, suffix, substring, regex. */
import { parseName } from "../../../codec/dns/name.ts";

export const MATCHES = ["exact", "prefix", "suffix", "substring", "regex"] as const;
export type MatchKind = (typeof MATCHES)[number];

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
      const pattern = new RegExp(from, "i");
      return (asked) => {
        const match = pattern.exec(asked);
        if (match === null) return undefined;
        return parseName(to.replaceAll(/\{(\d+)\}/g, (_, group: string) => match[Number(group)] ?? ""));
      };
    }
  }
}

function withDot(text: string): string {
  return text.endsWith(".") ? text : `${text}.`;
}
