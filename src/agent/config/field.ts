/**
 * Layer agent. What a configuration field is: its path in the file, its flag, its type, and whether nodeplane
 * honours it. The tables of fields are data (kube-proxy-fields.ts, agent-fields.ts); the reader, the flags and
 * docs/configuration.md all follow them.
 */

/** Result of checking one value. */
export type Checked<T> = { readonly ok: true; readonly value: T } | { readonly ok: false };

/** A type of value: what a file and what a flag may say. */
export interface FieldType<T> {
  /** What is allowed, as the end of the sentence "allowed: …". */
  readonly allowed: string;
  /** Checks a value that a YAML document holds. */
  readonly check: (value: unknown) => Checked<T>;
  /** Turns a flag's text into what a document would hold; {@link check} judges it. */
  readonly fromText: (text: string) => unknown;
  /** What a document says for this value: {@link check} takes it again. Absent where that is the value itself. */
  toDocument?(value: T): unknown;
}

export interface Field<T> {
  /** Path in the document, parts joined by dots. */
  readonly path: string;
  /** Name of the flag without dashes, if there is one. */
  readonly flag?: string;
  readonly type: FieldType<T>;
  readonly fallback: T;
  /** The default as the documentation shows it. */
  readonly fallbackText: string;
  /** In a file, empty text or a zero duration means the default, as in kube-proxy; as a flag it is taken literally. */
  readonly zeroIsDefault?: boolean;
  /** Why nodeplane does not act on this field; absent when it does. */
  readonly ignored?: string;
  /** One sentence for the documentation. */
  readonly note?: string;
}

/** Values found for fields; a field without one has its fallback. */
export class FieldValues {
  readonly #values = new Map<string, unknown>();

  /** The key is the field itself by document and path, so that flags overwrite what a file said. */
  set<T>(field: Field<T>, value: T): void {
    this.#values.set(field.path, value);
  }

  has<T>(field: Field<T>): boolean {
    return this.#values.has(field.path);
  }

  get<T>(field: Field<T>): T {
    // Only set() writes, and it demands the field's own type.
    return this.has(field) ? (this.#values.get(field.path) as T) : field.fallback;
  }

  /** What was set, for `/configz`. */
  entries(): readonly (readonly [string, unknown])[] {
    return [...this.#values].toSorted(([a], [b]) => (a < b ? -1 : 1));
  }
}
