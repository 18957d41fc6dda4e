/**
 * Layer feed. Sends a node's reports in parts of less than 256 KiB, one report at a time: the next goes when the server
 * has taken the last. The newest report wins; events are kept until a report with them was taken.
 */
import type { ReportPart } from "../../codec/stream/node-message.ts";
import type { NodeReport } from "../feed.ts";

const PART_BYTES = 200 * 1024;
const MAX_EVENTS = 1000;
const NO_BYTES = new Uint8Array(0);

export interface ReportSenderOptions {
  /** Only called while connected. */
  readonly send: (part: ReportPart) => void;
  /** Something is too large to be reported. */
  readonly onProblem: (message: string) => void;
}

export class ReportSender {
  readonly #options: ReportSenderOptions;
  #latest: NodeReport | undefined;
  #events: NodeReport["events"][number][] = [];
  #isConnected = false;
  #sequence = 0;
  /** Sequence and number of events of the report that is under way. */
  #sent: { readonly sequence: number; readonly events: number } | undefined;
  #isChanged = false;

  constructor(options: ReportSenderOptions) {
    this.#options = options;
  }

  set(report: NodeReport): void {
    this.#events.push(...report.events);
    const excess = this.#events.length - MAX_EVENTS;
    if (excess > 0) {
      this.#events.splice(0, excess);
      this.#options.onProblem(`${excess} events were dropped: the control plane did not take them`);
      if (this.#sent !== undefined)
        this.#sent = { ...this.#sent, events: Math.max(0, this.#sent.events - excess) };
    }
    this.#latest = report;
    this.#isChanged = true;
    this.#sendNext();
  }

  connected(): void {
    this.#isConnected = true;
    this.#sent = undefined;
    this.#isChanged = this.#latest !== undefined;
    this.#sendNext();
  }

  disconnected(): void {
    this.#isConnected = false;
    this.#sent = undefined;
  }

  taken(sequence: number): void {
    if (this.#sent?.sequence !== sequence) return;
    this.#events.splice(0, this.#sent.events);
    this.#sent = undefined;
    this.#sendNext();
  }

  /** The newest report is to be sent once more. */
  again(): void {
    this.#isChanged = this.#latest !== undefined;
    this.#sendNext();
  }

  #sendNext(): void {
    if (!this.#isConnected || this.#sent !== undefined || !this.#isChanged || this.#latest === undefined)
      return;
    this.#isChanged = false;
    this.#sequence++;
    this.#sent = { sequence: this.#sequence, events: this.#events.length };
    for (const part of this.#parts(this.#latest)) this.#options.send(part);
  }

  #parts(report: NodeReport): readonly ReportPart[] {
    const encode = (what: string, value: object): Uint8Array[] => {
      const json = Buffer.from(JSON.stringify(value));
      if (json.length <= PART_BYTES) return [json];
      this.#options.onProblem(`${what} has ${json.length} bytes, more than can be reported (${PART_BYTES})`);
      return [];
    };
    const parts: { nodeJson: Uint8Array; podJson: Uint8Array[]; eventJson: Uint8Array[] }[] = [
      { nodeJson: encode("the Node", report.node)[0] ?? NO_BYTES, podJson: [], eventJson: [] },
    ];
    let size = parts[0]?.nodeJson.length ?? 0;
    const add = (list: "podJson" | "eventJson", json: Uint8Array): void => {
      if (size + json.length > PART_BYTES) {
        parts.push({ nodeJson: NO_BYTES, podJson: [], eventJson: [] });
        size = 0;
      }
      size += json.length + 8;
      parts.at(-1)?.[list].push(json);
    };
    for (const pod of report.pods) for (const json of encode("a Pod", pod)) add("podJson", json);
    for (const event of this.#events) for (const json of encode("an Event", event)) add("eventJson", json);
    const last = parts.length - 1;
    return parts.map((part, index) => ({
      ...part,
      first: index === 0,
      last: index === last,
      sequence: this.#sequence,
    }));
  }
}
