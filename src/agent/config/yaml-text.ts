/** Layer agent. YAML text to plain values, for configuration and manifests: bounded, keys once, errors in one line. */
import { parseAllDocuments, stringify } from "yaml";

/** Enough for anchors in a hand-written file, too few to blow one up. */
const MAX_ALIASES = 20;

/**
 * @returns the value of each document; `null` for an empty one
 * @throws {Error} with one line that says what is wrong and where
 */
export function parseYaml(text: string): readonly unknown[] {
  const documents = parseAllDocuments(text, { uniqueKeys: true });
  if ("empty" in documents) return [];
  return documents.map((document) => {
    const [problem] = document.errors;
    if (problem !== undefined) throw new Error(oneLine(problem.message));
    try {
      return document.toJS({ maxAliasCount: MAX_ALIASES }) as unknown;
    } catch (error) {
      throw new Error(oneLine((error as Error).message), { cause: error });
    }
  });
}

/** @returns one text of all documents */
export function formatYaml(documents: readonly unknown[]): string {
  return documents.map((document) => stringify(document, { aliasDuplicateObjects: false })).join("---\n");
}

function oneLine(message: string): string {
  return (message.split("\n")[0] ?? "").replace(/:$/, "");
}
