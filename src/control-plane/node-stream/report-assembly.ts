/** Layer control-plane. Puts a node's report together from its parts. Bounded; a bad part refuses the whole report. */
import type { ReportPart } from "../../codec/stream/node-message.ts";
import { malformed } from "../../codec/stream/wire.ts";

export type ReportJson = Readonly<Record<string, unknown>>;

/** What an agent says about its own node, whole. */
export interface NodeReport {
  readonly node: ReportJson;
  readonly pods: readonly ReportJson[];
  readonly events: readonly ReportJson[];
}

export const MAX_REPORT_BYTES = 8 * 1024 * 1024;

export class ReportAssembly {
  #parts: ReportPart[] = [];
  #bytes = 0;

  /** @returns the report when `part` was its last one. @throws {NodeplaneError} STREAM_MALFORMED */
  take(part: ReportPart): NodeReport | undefined {
    if (part.first) {
      this.#parts = [];
      this.#bytes = 0;
    } else if (this.#parts.length === 0) malformed("a report that does not begin");
    this.#bytes += sizeOf(part);
    if (this.#bytes > MAX_REPORT_BYTES) malformed(`a report of more than ${MAX_REPORT_BYTES} bytes`);
    this.#parts.push(part);
    if (!part.last) return undefined;
    const parts = this.#parts;
    this.#parts = [];
    return {
      node: toJson(parts[0]?.nodeJson ?? new Uint8Array(0)),
      pods: parts.flatMap(({ podJson }) => podJson.map(toJson)),
      events: parts.flatMap(({ eventJson }) => eventJson.map(toJson)),
    };
  }
}

function sizeOf(part: ReportPart): number {
  const sum = (list: readonly Uint8Array[]): number => list.reduce((bytes, json) => bytes + json.length, 0);
  return part.nodeJson.length + sum(part.podJson) + sum(part.eventJson);
}

function toJson(bytes: Uint8Array): ReportJson {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    malformed("a report that is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    malformed("a report that is no object");
  return value as ReportJson;
}
