/** Layer control-plane. Request bodies: bounded reading, JSON, YAML and protobuf to objects of a schema. */
import type { IncomingMessage } from "node:http";
import { parseDocument } from "yaml";
import { ApiError, badRequest } from "../registry/api-error.ts";
import { isJsonObject, type Json, type JsonObject } from "../registry/json.ts";
import { parseJson } from "../registry/json-parser.ts";
import { decodeMessage, openEnvelope } from "../registry/protobuf.ts";
import { ProtobufError } from "../registry/protobuf-wire.ts";
import type { Message } from "../registry/schema.ts";
import { readShape, ShapeError } from "../registry/shape.ts";

const MAX_BODY_BYTES = 3 * 1024 * 1024;
/** YAML takes many times longer to read than JSON, which clients send. */
const MAX_YAML_BYTES = 512 * 1024;
const TYPES = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

export type FieldValidation = "Strict" | "Warn" | "Ignore";

/** What a body should be. */
export interface Expected {
  readonly apiVersion: string;
  readonly kind: string;
  readonly schema: Message;
  /** Other apiVersions that are taken too (DeleteOptions). */
  readonly anyVersion?: boolean;
}

export interface Decoded {
  readonly value: JsonObject;
  readonly warnings: readonly string[];
}

/** @throws {ApiError} 413; 400 when the client goes away */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  return await new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_BODY_BYTES) chunks.push(chunk);
      else {
        request.pause();
        const message = `Request entity too large: limit is ${MAX_BODY_BYTES}`;
        reject(new ApiError(413, "RequestEntityTooLarge", message));
      }
    });
    request.on("end", () => resolve(Buffer.concat(chunks)));
    request.on("close", () => reject(badRequest("the request ended early")));
    request.on("error", () => reject(badRequest("the request ended early")));
  });
}

/** @throws {ApiError} 400 for text that cannot be read, and for unknown or duplicate fields when Strict; 415 */
export function decodeBody(
  body: Buffer,
  contentType: string | undefined,
  expected: Expected,
  validation: FieldValidation,
): Decoded {
  const type = mediaType(contentType);
  if (type === "application/vnd.kubernetes.protobuf") return decodeProtobuf(body, expected);
  const { value, duplicates } = type === "application/yaml" ? parseYaml(body) : parseJsonBody(body, type);
  if (!isJsonObject(value)) throw badRequest(`the body must be an object of kind ${expected.kind}`);
  checkType(value, expected);
  return shape(
    { ...value, apiVersion: expected.apiVersion, kind: expected.kind },
    expected,
    duplicates,
    validation,
  );
}

/** Checks fields of a value against the schema. Also run over the result of a patch. @throws {ApiError} 400 */
export function shape(
  value: JsonObject,
  expected: Expected,
  duplicates: readonly string[],
  validation: FieldValidation,
): Decoded {
  const version = expected.apiVersion.split("/").at(-1) ?? "";
  const cannot = `${expected.kind} in version ${JSON.stringify(version)} cannot be handled as a ${expected.kind}: `;
  try {
    const shaped = readShape(expected.schema, value);
    const problems = [
      ...shaped.unknown.map((path) => `unknown field ${JSON.stringify(path)}`),
      ...duplicates.map((path) => `duplicate field ${JSON.stringify(path)}`),
    ];
    if (problems.length > 0 && validation === "Strict") {
      throw badRequest(`${cannot}strict decoding error: ${problems.slice(0, 100).join(", ")}`);
    }
    return { value: shaped.value, warnings: validation === "Warn" ? problems.slice(0, 100) : [] };
  } catch (error) {
    if (error instanceof ShapeError) throw badRequest(`${cannot}${error.message}`);
    throw error;
  }
}

/** The JSON of a patch, whatever it is. @throws {ApiError} 400 */
export function decodeJson(body: Buffer): Json {
  return parseJsonBody(body, "application/json").value;
}

export function mediaType(contentType: string | undefined): string {
  const type = (contentType ?? "application/json").split(";")[0]?.trim().toLowerCase() ?? "";
  return type === "" || type === "*/*" ? "application/json" : type;
}

function parseJsonBody(body: Buffer, type: string): { value: Json; duplicates: readonly string[] } {
  if (type !== "application/json") {
    const message = `the body of the request was in an unknown format - accepted media types include: ${TYPES.join(", ")}`;
    throw new ApiError(415, "UnsupportedMediaType", message);
  }
  const parsed = parseJson(body.toString("utf8"));
  if (!parsed.ok) throw badRequest(`couldn't get version/kind; json parse error: ${parsed.message}`);
  return parsed;
}

function parseYaml(body: Buffer): { value: Json; duplicates: readonly string[] } {
  if (body.length > MAX_YAML_BYTES) {
    const message = `Request entity too large: limit is ${MAX_YAML_BYTES} for YAML`;
    throw new ApiError(413, "RequestEntityTooLarge", message);
  }
  const text = body.toString("utf8");
  const strict = parseDocument(text, { version: "1.2", uniqueKeys: true });
  const duplicates = strict.errors
    .filter(({ code }) => code === "DUPLICATE_KEY")
    .map(({ linePos }) => `line ${linePos?.[0]?.line ?? 0}`);
  const wrong = strict.errors.find(({ code }) => code !== "DUPLICATE_KEY");
  if (wrong !== undefined)
    throw badRequest(`error converting YAML to JSON: ${wrong.message.split("\n")[0] ?? ""}`);
  let value: unknown;
  try {
    value = strict.toJS({ maxAliasCount: 100 });
  } catch {
    throw badRequest("error converting YAML to JSON: too many aliases");
  }
  // Back through JSON: dates, bigints and shared nodes become plain values, and depth is bounded in one place.
  return { ...parseJsonBody(Buffer.from(JSON.stringify(value ?? null)), "application/json"), duplicates };
}

function decodeProtobuf(body: Buffer, expected: Expected): Decoded {
  try {
    const envelope = openEnvelope(body);
    checkType(envelope, expected);
    const value = decodeMessage(expected.schema, envelope.raw);
    const head = { apiVersion: expected.apiVersion, kind: expected.kind };
    return shape({ ...value, ...head }, expected, [], "Ignore");
  } catch (error) {
    if (error instanceof ProtobufError)
      throw badRequest(`cannot read protobuf ${expected.kind}: ${error.message}`);
    throw error;
  }
}

function checkType(
  given: { apiVersion?: Json | undefined; kind?: Json | undefined },
  expected: Expected,
): void {
  const { apiVersion = "", kind = "" } = given;
  const versionFits = apiVersion === "" || apiVersion === expected.apiVersion || expected.anyVersion === true;
  if (!versionFits) {
    throw badRequest(
      `the API version in the data (${String(apiVersion)}) does not match the expected API version (${expected.apiVersion})`,
    );
  }
  if (kind !== "" && kind !== expected.kind) {
    throw badRequest(
      `the object provided is unrecognized (must be of type ${expected.kind}): it is of kind ${JSON.stringify(kind)}`,
    );
  }
}
