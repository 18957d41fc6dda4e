/**
 * Layer feed. Reads a file or a folder of object files into one set of objects, remembering each file, so that the
 * next reading parses only what changed and a file that became broken keeps its old objects. Does not watch.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseKubernetesObject } from "../../model/kubernetes/parse-object.ts";
import { type FeedObject, formatKey, keyOf, type ObjectProblem } from "../../model/objects.ts";
import { MAX_FILE_BYTES, readDocuments } from "./documents.ts";

/** Something in an object file that is not used, with the place to correct. */
export interface FileProblem {
  readonly file: string;
  /** From 1; 0 when it is about the file as a whole. */
  readonly line: number;
  readonly field: string;
  readonly message: string;
  /** Absent when the file could not be read or taken apart. */
  readonly problem?: ObjectProblem;
}

/** `file:line: field: message`, one line. */
export function formatFileProblem(problem: FileProblem): string {
  const place = problem.line > 0 ? `${problem.file}:${problem.line}` : problem.file;
  const object = problem.problem?.object;
  const who = object === undefined || object.name === "" ? "" : `${formatKey(object)}: `;
  return `${place}: ${who}${problem.field === "" ? "" : `${problem.field}: `}${problem.message}`;
}

interface FileState {
  readonly stamp: string;
  readonly mtimeMs: number;
  readonly objects: ReadonlyMap<string, FeedObject>;
  readonly lines: ReadonlyMap<string, number>;
  readonly problems: readonly FileProblem[];
}

export interface FolderState {
  readonly objects: ReadonlyMap<string, FeedObject>;
  readonly problems: readonly FileProblem[];
  /** Newest modification time of the files, milliseconds since the epoch. */
  readonly changedAtMs: number;
}

const MAX_FILES = 10_000;
/** A slice that names no Service (any more) is a good slice of nobody: what it said before must not stay. */
const NOBODYS = "MissingServiceName";
const OBJECT_FILE = /^[^.].*\.(ya?ml|json|jsonl|ndjson)$/;

export class ObjectFolder {
  readonly #path: string;
  #files = new Map<string, FileState>();

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * The objects as they are now. Of two of one key the first wins, by file name, then by line; the other is a problem.
   * @throws when the path itself cannot be read
   */
  async read(): Promise<FolderState> {
    const { names, tooMany } = await this.#list();
    const files = new Map<string, FileState>();
    for (const name of names) {
      const state = await this.#readFile(name, this.#files.get(name));
      if (state !== undefined) files.set(name, state);
    }
    this.#files = files;
    return merge(files, tooMany);
  }

  /** Full paths of the object files, sorted. */
  async #list(): Promise<{ readonly names: readonly string[]; readonly tooMany: readonly FileProblem[] }> {
    if (!(await stat(this.#path)).isDirectory()) return { names: [this.#path], tooMany: [] };
    const names = (await readdir(this.#path)).filter((name) => OBJECT_FILE.test(name)).sort();
    const message = `must have at most ${MAX_FILES} object files, not ${names.length}; the rest is left out`;
    return {
      names: names.slice(0, MAX_FILES).map((name) => join(this.#path, name)),
      tooMany: names.length > MAX_FILES ? [{ file: this.#path, line: 0, field: "", message }] : [],
    };
  }

  /** `undefined` when the file is gone. */
  async #readFile(file: string, before: FileState | undefined): Promise<FileState | undefined> {
    try {
      const info = await stat(file, { bigint: true });
      if (!info.isFile()) return undefined;
      const stamp = `${info.dev}/${info.ino}/${info.size}/${info.mtimeNs}/${info.ctimeNs}`;
      if (before?.stamp === stamp) return before;
      const seen = { stamp, mtimeMs: Number(info.mtimeMs) };
      if (info.size > BigInt(MAX_FILE_BYTES))
        return keepOld(before, seen, {
          file,
          line: 0,
          field: "",
          message: `must have at most ${MAX_FILE_BYTES} bytes`,
        });
      return parseFile(file, await readFile(file, "utf8"), seen, before);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      const message = error instanceof Error ? error.message : String(error);
      return keepOld(before, { stamp: "", mtimeMs: 0 }, { file, line: 0, field: "", message });
    }
  }
}

interface Seen {
  readonly stamp: string;
  readonly mtimeMs: number;
}

/** The state of a file that cannot be used: its old objects with one problem. */
function keepOld(before: FileState | undefined, seen: Seen, problem: FileProblem): FileState {
  return {
    ...seen,
    objects: before?.objects ?? new Map(),
    lines: before?.lines ?? new Map(),
    problems: [problem],
  };
}

function parseFile(file: string, text: string, seen: Seen, before: FileState | undefined): FileState {
  const found = readDocuments(basename(file), text);
  if (found.kind === "broken") return keepOld(before, seen, { file, field: "", ...found.problem });
  const objects = new Map<string, FeedObject>();
  const lines = new Map<string, number>();
  const problems: FileProblem[] = [];
  for (const document of found.documents) {
    const parsed = parseKubernetesObject(document.value);
    for (const problem of parsed.problems) {
      const { field, message } = problem;
      problems.push({
        file,
        line: document.lineOf(field),
        field: `${document.fieldPrefix}${field}`,
        message,
        problem,
      });
    }
    const line = document.lineOf("");
    const refused = parsed.objects.length === 0 ? parsed.problems[0] : undefined;
    const old =
      refused === undefined || refused.reason === NOBODYS
        ? undefined
        : before?.objects.get(formatKey(refused.object));
    for (const object of old === undefined ? parsed.objects : [old]) {
      const key = formatKey(keyOf(object));
      if (objects.has(key)) problems.push(duplicate(object, file, line, `${file}:${lines.get(key) ?? 0}`));
      else {
        objects.set(key, object);
        lines.set(key, line);
      }
    }
  }
  return { ...seen, objects, lines, problems };
}

function duplicate(object: FeedObject, file: string, line: number, first: string): FileProblem {
  const message = `is there already, in ${first}; this one is not used`;
  const problem = { object: keyOf(object), reason: "DuplicateObject", field: "metadata.name", message };
  return { file, line, field: "metadata.name", message, problem };
}

function merge(files: ReadonlyMap<string, FileState>, first: readonly FileProblem[]): FolderState {
  const objects = new Map<string, FeedObject>();
  const places = new Map<string, string>();
  const problems: FileProblem[] = [...first];
  let changedAtMs = 0;
  for (const [file, state] of files) {
    changedAtMs = Math.max(changedAtMs, state.mtimeMs);
    problems.push(...state.problems);
    for (const [key, object] of state.objects) {
      const line = state.lines.get(key) ?? 0;
      const taken = places.get(key);
      if (taken !== undefined) problems.push(duplicate(object, file, line, taken));
      else {
        objects.set(key, object);
        places.set(key, `${file}:${line}`);
      }
    }
  }
  return { objects, problems, changedAtMs };
}
