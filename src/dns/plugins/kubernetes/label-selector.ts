/**
 * Layer dns. Label selectors as kubectl writes them: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
 */
import type { Labels } from "../../cluster/service-entry.ts";

export type LabelSelector = (labels: Labels) => boolean;

const KEY = "[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?";
const VALUE = "(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?";
const FORMS: readonly { readonly form: RegExp; readonly make: (match: RegExpExecArray) => LabelSelector }[] =
  [
    {
      form: new RegExp(`^(${KEY})\\s*(?:==|=)\\s*(${VALUE})$`),
      make:
        ([, key = "", value = ""]) =>
        (labels) =>
          labels[key] === value,
    },
    {
      form: new RegExp(`^(${KEY})\\s*!=\\s*(${VALUE})$`),
      make:
        ([, key = "", value = ""]) =>
        (labels) =>
          labels[key] !== value,
    },
    {
      form: new RegExp(`^(${KEY})\\s+(in|notin)\\s*\\(([^()]*)\\)$`),
      make: ([, key = "", verb = "", list = ""]) => {
        const values = new Set(list.split(",").map((value) => value.trim()));
        return (labels) => {
          const value = labels[key];
          return (value !== undefined && values.has(value)) === (verb === "in");
        };
      },
    },
    {
      form: new RegExp(`^!\\s*(${KEY})$`),
      make:
        ([, key = ""]) =>
        (labels) =>
          labels[key] === undefined,
    },
    {
      form: new RegExp(`^(${KEY})$`),
      make:
        ([, key = ""]) =>
        (labels) =>
          labels[key] !== undefined,
    },
  ];

/** @returns `undefined` when the text is no selector */
export function parseLabelSelector(text: string): LabelSelector | undefined {
  const parts = text.split(/,(?![^(]*\))/).map((part) => part.trim());
  const selectors = parts.map((part) => {
    for (const { form, make } of FORMS) {
      const match = form.exec(part);
      if (match !== null) return make(match);
    }
    return undefined;
  });
  const usable = selectors.filter((selector) => selector !== undefined);
  if (usable.length !== selectors.length) return undefined;
  return (labels) => usable.every((selector) => selector(labels));
}
