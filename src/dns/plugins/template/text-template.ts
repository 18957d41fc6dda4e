/**
 * Layer dns. The part of Go's templates that answers of names are made with: `{{ .Name }}`, `{{ .Group.x }}`,
 * `{{ index .Match 1 }}`, `{{ index .Group "x" }}`, `{{ .Zone }}`, `{{ .Type }}`, `{{ .Class }}`, `{{ .Remote }}`.
 */

export interface TemplateValues {
  readonly Name: string;
  readonly Zone: string;
  readonly Type: string;
  readonly Class: string;
  readonly Remote: string;
  readonly Match: readonly string[];
  readonly Group: Readonly<Record<string, string>>;
}

type Part = (values: TemplateValues) => string;

const SIMPLE = ["Name", "Zone", "Type", "Class", "Remote"] as const;

/** @returns the template, or the action that is not understood */
export function compileTemplate(
  text: string,
):
  | { readonly kind: "template"; readonly fill: Part }
  | { readonly kind: "unknown"; readonly action: string } {
  const parts: Part[] = [];
  for (const piece of text.split(/(\{\{-?.*?-?\}\})/)) {
    const action = /^\{\{-?\s*(.*?)\s*-?\}\}$/.exec(piece)?.[1];
    if (action === undefined) {
      if (piece !== "") parts.push(() => piece);
      continue;
    }
    const part = compileAction(action);
    if (part === undefined) return { kind: "unknown", action: piece };
    parts.push(part);
  }
  return { kind: "template", fill: (values) => parts.map((part) => part(values)).join("") };
}

function compileAction(action: string): Part | undefined {
  const simple = SIMPLE.find((name) => action === `.${name}`);
  if (simple !== undefined) return (values) => values[simple];
  const group =
    /^\.Group\.([A-Za-z_]\w*)$/.exec(action)?.[1] ?? /^index \.Group "([^"]+)"$/.exec(action)?.[1];
  if (group !== undefined) return (values) => values.Group[group] ?? "";
  const match = /^index \.Match (\d+)$/.exec(action)?.[1];
  return match === undefined ? undefined : (values) => values.Match[Number(match)] ?? "";
}
