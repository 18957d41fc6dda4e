/**
 * Layer control-plane. The paths of the OpenAPI v2 document, as far as kubectl before 1.27 reads them: that an object
 * can be patched with `dryRun`, without which `diff` and `--dry-run=server` refuse to work there. Pure.
 * Field numbers: github.com/google/gnostic-models openapiv2/OpenAPIv2.proto.
 */
import { apiVersionOf, type Kind } from "../registry/kind.ts";
import { WireWriter } from "../registry/protobuf-wire.ts";

const text = (value: string): Uint8Array => Buffer.from(value, "utf8");

/** A message made of parts: field number and content. */
function message(...parts: readonly (readonly [number, Uint8Array])[]): Uint8Array {
  const writer = new WireWriter();
  for (const [number, content] of parts) writer.bytes(number, content);
  return writer.finish();
}

/** ParametersItem{1 parameter: Parameter{2 nonBody: {3 query: {2 in, 4 name}}}}. */
function queryParameter(name: string): Uint8Array {
  return message([1, message([2, message([3, message([2, text("query")], [4, text(name)])])])]);
}

/** NamedAny{1 name, 2 value: Any{2 yaml}}; JSON is YAML. */
function extension(name: string, value: Readonly<Record<string, string>>): Uint8Array {
  return message([1, text(name)], [2, message([2, text(JSON.stringify(value))])]);
}

/** Operation{8 parameters, 13 vendorExtension}. */
function patchOperation({ group, version, kind }: Kind): Uint8Array {
  return message(...["dryRun", "fieldManager"].map((name) => [8, queryParameter(name)] as const), [
    13,
    extension("x-kubernetes-group-version-kind", { group, version, kind }),
  ]);
}

/** Paths{2 path: NamedPathItem{1 name, 2 value: PathItem{8 patch}}}. */
export function openApiV2Paths(kinds: readonly Kind[]): Uint8Array {
  const paths = kinds
    .filter(({ verbs }) => verbs === undefined || verbs.includes("patch"))
    .map((kind) => {
      const root = `/${kind.group === "" ? "api" : "apis"}/${apiVersionOf(kind)}`;
      const place = kind.namespaced ? "/namespaces/{namespace}" : "";
      const name = text(`${root}${place}/${kind.plural}/{name}`);
      return [2, message([1, name], [2, message([8, patchOperation(kind)])])] as const;
    });
  return message(...paths);
}
