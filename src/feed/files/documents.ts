/**
 * Layer feed. Text of an object file to documents with line numbers: YAML (several documents), JSON, JSON lines.
 * Knows nothing of kinds except Lists, which are taken apart. Bounded: size, documents, aliases. Never throws.
 */
import { type Document, isNode, LineCounter, parseAllDocuments } from "yaml";

/** One object as it stands in a file. */
export interface SourceDocument {
  readonly value: unknown;
  /** Line (from 1) of a field (`spec.ports[0].port`) of the object, or of what is nearest to it. */
  readonly lineOf: (field: string) => number;
  /** Put before the object's own field paths: `items[3].` inside a List, else empty. */
  readonly fieldPrefix: string;
}

/** A file that cannot be taken apart; none of its documents is used. */
export interface SyntaxProblem {
  readonly line: number;
  readonly message: string;
}

export type FileDocuments =
  | { readonly kind: "documents"; readonly documents: readonly SourceDocument[] }
  | { readonly kind: "broken"; readonly problem: SyntaxProblem };

export const MAX_FILE_BYTES = 64 * 1024 * 1024;
const MAX_DOCUMENTS = 200_000;
const MAX_ALIASES = 100;

/** Takes the text of a file apart; the form is told by the name's ending, else by the first character. */
export function readDocuments(fileName: string, text: string): FileDocuments {
  const found = isJson(fileName, text) ? readJson(text) : readYaml(text);
  if (found.kind === "broken") return found;
  const documents = found.documents.flatMap(expandList);
  if (documents.length <= MAX_DOCUMENTS) return { kind: "documents", documents };
  return broken(1, `must have at most ${MAX_DOCUMENTS} objects, not ${documents.length}`);
}

function isJson(fileName: string, text: string): boolean {
  if (/\.(json|jsonl|ndjson)$/.test(fileName)) return true;
  return !/\.ya?ml$/.test(fileName) && /^\s*\{/.test(text);
}

function broken(line: number, message: string): FileDocuments {
  return { kind: "broken", problem: { line, message } };
}

/** One JSON document over many lines, or one on each line. */
function readJson(text: string): FileDocuments {
  const documents: SourceDocument[] = [];
  let line = 0;
  for (const part of text.split("\n")) {
    line++;
    if (part.trim() === "") continue;
    const parsed = parseJson(part);
    if ("error" in parsed) {
      const whole = documents.length === 0 ? parseJson(text) : parsed;
      if ("error" in whole)
        return broken(line, `must be JSON, one object on each line or one in all: ${parsed.error}`);
      return { kind: "documents", documents: [atLine(whole.value, line)] };
    }
    documents.push(atLine(parsed.value, line));
  }
  return { kind: "documents", documents };
}

function atLine(value: unknown, line: number): SourceDocument {
  return { value, lineOf: () => line, fieldPrefix: "" };
}

function parseJson(text: string): { readonly value: unknown } | { readonly error: string } {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

function readYaml(text: string): FileDocuments {
  const counter = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: counter, prettyErrors: false, logLevel: "silent" });
  if (!Array.isArray(parsed)) return { kind: "documents", documents: [] };
  const documents: SourceDocument[] = [];
  for (const document of parsed as readonly Document[]) {
    const error = document.errors[0];
    if (error !== undefined)
      return broken(counter.linePos(error.pos[0]).line, `must be YAML: ${error.message}`);
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: MAX_ALIASES });
    } catch (cause) {
      const line = counter.linePos(document.range?.[0] ?? 0).line;
      return broken(line, cause instanceof Error ? cause.message : String(cause));
    }
    if (value === null || value === undefined) continue;
    documents.push({ value, lineOf: (field) => lineInYaml(document, counter, field), fieldPrefix: "" });
  }
  return { kind: "documents", documents };
}

/** Line of the deepest part of `field` that exists. */
function lineInYaml(document: Document, counter: LineCounter, field: string): number {
  const path = [...field.matchAll(/\[([^\]]+)\]|[^.[\]]+/g)].map((match) => {
    const key = match[1] ?? match[0];
    return /^\d+$/.test(key) ? Number(key) : key;
  });
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range != null) return counter.linePos(node.range[0]).line;
  }
  const start = document.contents?.range?.[0] ?? document.range?.[0] ?? 0;
  return counter.linePos(start).line;
}

/** The items of a `List` (or `ServiceList` …), each with the kind that its list has; anything else as it is. */
function expandList(document: SourceDocument): readonly SourceDocument[] {
  const value = document.value;
  if (typeof value !== "object" || value === null || !("kind" in value) || !("items" in value))
    return [document];
  const { kind, items } = value;
  if (typeof kind !== "string" || !kind.endsWith("List") || !Array.isArray(items)) return [document];
  const itemKind = kind.slice(0, -"List".length);
  const apiVersion = "apiVersion" in value ? value.apiVersion : undefined;
  return (items as readonly unknown[]).map((item, index) => {
    const fieldPrefix = `items[${index}].`;
    const typed =
      itemKind !== "" && typeof item === "object" && item !== null && !("kind" in item)
        ? { apiVersion, kind: itemKind, ...item }
        : item;
    return { value: typed, fieldPrefix, lineOf: (field) => document.lineOf(`${fieldPrefix}${field}`) };
  });
}
