/**
 * Layer control-plane. OpenAPI v3, one document a group-version with a hash that makes it cacheable for ever, and v2
 * as the protobuf document that older clients ask for. All from the schemas; made when first asked for.
 */
import { createHash } from "node:crypto";
import type { JsonObject } from "../registry/json.ts";
import { apiVersionOf } from "../registry/kind.ts";
import type { Registry } from "../registry/registry.ts";
import { pathsOf } from "./openapi-paths.ts";
import { schemasOf } from "./openapi-schemas.ts";
import { openApiV2 } from "./openapi-v2.ts";

export interface OpenApiDocument {
  readonly body: string | Buffer;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
}

interface Hashed {
  readonly text: string;
  readonly hash: string;
}

const ONE_YEAR = "public, immutable, max-age=31536000";

export class OpenApi {
  readonly #registry: Registry;
  readonly #documents = new Map<string, Hashed>();
  #second: Buffer | undefined;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** @returns `undefined` for a path that is none of ours */
  find(path: string, hash: string, accept: string | undefined): OpenApiDocument | undefined {
    if (path === "/openapi/v3") return json(JSON.stringify(this.#index()));
    if (path === "/openapi/v2") return this.#v2(accept);
    const name = path.slice("/openapi/v3/".length);
    if (!path.startsWith("/openapi/v3/") || !this.#names().includes(name)) return undefined;
    const document = this.#document(name);
    const headers: Record<string, string> = { ETag: `"${document.hash}"`, Vary: "Accept" };
    if (hash === document.hash) headers["Cache-Control"] = ONE_YEAR;
    return { ...json(document.text), headers };
  }

  #names(): readonly string[] {
    return [...new Set(this.#registry.kinds.map((kind) => nameOf(kind)))];
  }

  #index(): JsonObject {
    const paths: JsonObject = {};
    for (const name of this.#names()) {
      paths[name] = { serverRelativeURL: `/openapi/v3/${name}?hash=${this.#document(name).hash}` };
    }
    return { paths };
  }

  #document(name: string): Hashed {
    const known = this.#documents.get(name);
    if (known !== undefined) return known;
    const kinds = this.#registry.kinds.filter((kind) => nameOf(kind) === name);
    const document: JsonObject = {
      openapi: "3.0.0",
      info: { title: "Kubernetes", version: "v1.33.0" },
      paths: pathsOf(kinds),
      components: { schemas: schemasOf(kinds, "#/components/schemas/") },
    };
    const text = JSON.stringify(document);
    const hash = createHash("sha256").update(text).digest("hex").toUpperCase();
    const hashed = { text, hash };
    this.#documents.set(name, hashed);
    return hashed;
  }

  #v2(accept: string | undefined): OpenApiDocument {
    this.#second ??= openApiV2(this.#registry.kinds);
    // Clients of this form cannot read a type with "@" in a reply, whatever they ask for.
    const contentType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    void accept;
    return { body: this.#second, contentType, headers: {} };
  }
}

function nameOf(kind: { readonly group: string; readonly version: string }): string {
  return `${kind.group === "" ? "api" : "apis"}/${apiVersionOf(kind)}`;
}

const json = (body: string): OpenApiDocument => ({ body, contentType: "application/json", headers: {} });
