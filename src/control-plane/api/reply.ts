/** Layer control-plane. Answers: JSON or YAML with truthful types, warnings, Status objects for errors. */
import type { ServerResponse } from "node:http";
import { stringify } from "yaml";
import { NodeplaneError } from "../../model/errors.ts";
import { ApiError, internalError } from "../registry/api-error.ts";
import type { JsonObject } from "../registry/json.ts";

const MAX_WARNINGS = 20;

export class Reply {
  readonly raw: ServerResponse;
  readonly #warnings: string[] = [];
  readonly #format: () => "json" | "yaml";

  constructor(raw: ServerResponse, format: () => "json" | "yaml") {
    this.raw = raw;
    this.#format = format;
  }

  warn(texts: readonly string[]): void {
    this.#warnings.push(...texts);
  }

  /** An API object. */
  send(code: number, value: JsonObject): void {
    if (this.#format() === "yaml") this.text(code, stringify(value), "application/yaml");
    else this.text(code, JSON.stringify(value), "application/json");
  }

  text(code: number, body: string | Buffer, type = "text/plain; charset=utf-8"): void {
    this.head(code, type, Buffer.byteLength(body));
    this.raw.end(this.raw.req.method === "HEAD" ? undefined : body);
  }

  /** Headers alone; without a length the body follows in chunks. */
  head(code: number, type: string, length?: number): void {
    this.raw.statusCode = code;
    this.raw.setHeader("Content-Type", type);
    if (length !== undefined) this.raw.setHeader("Content-Length", length);
    if (!this.raw.hasHeader("Cache-Control")) this.raw.setHeader("Cache-Control", "no-cache, private");
    const warnings = [...new Set(this.#warnings)].slice(0, MAX_WARNINGS);
    if (warnings.length > 0) this.raw.setHeader("Warning", warnings.map(formatWarning));
  }

  /** @returns the error as the client sees it */
  fail(error: unknown): ApiError {
    const shown = toApiError(error);
    if (this.raw.headersSent) this.raw.destroy();
    else {
      const retry = shown.details?.retryAfterSeconds;
      if (retry !== undefined) this.raw.setHeader("Retry-After", String(retry));
      this.send(shown.code, shown.toStatus());
    }
    return shown;
  }
}

/** `299 - "text"`; line breaks and characters that headers cannot carry are left out. */
function formatWarning(text: string): string {
  const plain = text.replace(/[^\u0020-\u007e]/g, "?").slice(0, 1_000);
  return `299 - "${plain.replace(/[\\"]/g, (character) => `\\${character}`)}"`;
}

function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof NodeplaneError && error.code === "STORE_FAILED") return internalError(error.message);
  return internalError("the request failed inside the server; its log says more");
}
