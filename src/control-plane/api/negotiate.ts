/** Layer control-plane. Content negotiation: the first clause of Accept that can be served. JSON, YAML, Tables, metadata alone. */

export interface Offer {
  readonly format: "json" | "yaml";
  /** How objects are shown: whole, as rows of a table, or their metadata alone. */
  readonly as: "object" | "table" | "metadata";
  /** apiVersion of the Table or PartialObjectMetadata: `meta.k8s.io/v1` or `…/v1beta1`. */
  readonly metaVersion: string;
}

interface Clause {
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
}

const AS: Readonly<Record<string, Offer["as"]>> = {
  Table: "table",
  PartialObjectMetadata: "metadata",
  PartialObjectMetadataList: "metadata",
};

/** Clauses in the order of preference: by q, then as written. At most 32 are looked at. */
export function parseAccept(header: string | undefined): readonly Clause[] {
  const clauses = (header === undefined || header.trim() === "" ? "*/*" : header).split(",", 32);
  const read = clauses.map((text) => {
    const [type = "", ...rest] = text.split(";").map((part) => part.trim());
    const parameters: Record<string, string> = Object.create(null) as Record<string, string>;
    for (const part of rest) {
      const at = part.indexOf("=");
      if (at > 0) parameters[part.slice(0, at).toLowerCase()] = part.slice(at + 1);
    }
    return { type: type.toLowerCase(), parameters };
  });
  return read.toSorted((a, b) => quality(b) - quality(a));
}

const quality = ({ parameters }: Clause): number => {
  const q = Number(parameters["q"] ?? "1");
  return Number.isNaN(q) ? 1 : q;
};

/** @returns `undefined` when nothing acceptable can be served (406) */
export function negotiate(header: string | undefined): Offer | undefined {
  for (const { type, parameters } of parseAccept(header)) {
    const format = formatOf(type);
    if (format === undefined) continue;
    const wanted = parameters["as"];
    if (wanted === undefined) return { format, as: "object", metaVersion: "" };
    const as = Object.hasOwn(AS, wanted) ? AS[wanted] : undefined;
    const version = parameters["v"] ?? "";
    const known = parameters["g"] === "meta.k8s.io" && (version === "v1" || version === "v1beta1");
    if (as !== undefined && known) return { format, as, metaVersion: `meta.k8s.io/${version}` };
  }
  return undefined;
}

function formatOf(type: string): Offer["format"] | undefined {
  if (type === "application/json" || type === "*/*" || type === "application/*") return "json";
  return type === "application/yaml" ? "yaml" : undefined;
}
