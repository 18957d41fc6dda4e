/** Sends one question of a case over UDP or TCP and gives back what came, or that nothing did. */
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { OPCODE, parseClass, parseType } from "../../src/codec/dns/constants.ts";
import { decodeMessage } from "../../src/codec/dns/decode.ts";
import { encodeMessage } from "../../src/codec/dns/encode.ts";
import type { DnsMessage } from "../../src/codec/dns/message.ts";
import { framed, readFrames } from "../support/dns-stream.ts";
import type { CaseEdns, DnsCase } from "./case-file.ts";

export type Transport = "udp" | "tcp";

export interface Seen {
  /** Several for a zone transfer. */
  readonly messages: readonly DnsMessage[];
  readonly bytes: number;
}

const TIMEOUT_MS = 7_000;
/** How long silence lasts before it counts as "no reply". */
const SILENCE_MS = 700;
const DEFAULT_UDP_BYTES = 4096;
let nextId = 1;

/** @returns `undefined` when there was no reply */
export async function ask(entry: DnsCase, transport: Transport, port: number): Promise<Seen | undefined> {
  const packet = encodeCase(entry, transport);
  const waitMs = entry.rcode === "NONE" ? SILENCE_MS : TIMEOUT_MS;
  return transport === "udp"
    ? askUdp(packet, port, waitMs)
    : askTcp(packet, port, waitMs, entry.qtype === "AXFR");
}

function encodeCase(entry: DnsCase, transport: Transport): Buffer {
  const query = entry.opts?.query ?? {};
  const type = parseType(entry.qtype);
  const questionClass = parseClass(query.class ?? "IN");
  const opcode = Object.entries(OPCODE).find(([name]) => name === (query.opcode ?? "QUERY"))?.[1];
  if (type === undefined || questionClass === undefined || opcode === undefined) {
    throw new Error(`${entry.name}: unknown type, class or opcode`);
  }
  const question = { name: entry.qname, type, class: questionClass };
  const edns = ednsOf(entry, transport);
  nextId = (nextId % 65_000) + 1;
  return encodeMessage({
    id: nextId,
    isResponse: query.qr ?? false,
    opcode,
    authoritative: false,
    truncated: false,
    recursionDesired: query.rd ?? true,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: query.cd ?? false,
    rcode: 0,
    questions: Array.from({ length: query.qdcount ?? 1 }, () => question),
    answers: [],
    authorities: [],
    additionals: [],
    ...(edns === undefined ? {} : { edns }),
  });
}

function ednsOf(entry: DnsCase, transport: Transport): DnsMessage["edns"] {
  const given: CaseEdns | null | undefined = entry.opts?.edns;
  if (given === null) return undefined;
  if (given === undefined) {
    if (transport === "tcp") return undefined;
    return { udpBytes: DEFAULT_UDP_BYTES, version: 0, dnssecOk: false, options: [] };
  }
  return {
    udpBytes: given.size ?? DEFAULT_UDP_BYTES,
    version: given.version ?? 0,
    dnssecOk: given.do ?? false,
    options: (given.options ?? []).map(({ code, hex }) => ({ code, bytes: Buffer.from(hex, "hex") })),
  };
}

function askUdp(packet: Buffer, port: number, waitMs: number): Promise<Seen | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    const timer = setTimeout(() => {
      socket.close();
      resolve(undefined);
    }, waitMs);
    socket.on("error", reject);
    socket.on("message", (reply) => {
      const decoded = decodeMessage(reply);
      if (decoded.kind === "message" && decoded.message.id !== packet.readUInt16BE(0)) return;
      clearTimeout(timer);
      socket.close();
      if (decoded.kind === "message") resolve({ messages: [decoded.message], bytes: reply.length });
      else reject(new Error(`unreadable reply: ${decoded.reason}`));
    });
    socket.send(packet, port, "127.0.0.1");
  });
}

function askTcp(
  packet: Buffer,
  port: number,
  waitMs: number,
  isTransfer: boolean,
): Promise<Seen | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const messages: DnsMessage[] = [];
    let bytes = 0;
    const end = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(messages.length === 0 ? undefined : { messages, bytes });
    };
    const timer = setTimeout(end, waitMs);
    socket.on("error", reject);
    socket.on("close", end);
    socket.on("connect", () => socket.write(framed(packet)));
    readFrames(socket, (message) => {
      const decoded = decodeMessage(message);
      bytes += message.length;
      if (decoded.kind !== "message") {
        reject(new Error(`unreadable reply: ${decoded.reason}`));
        return;
      }
      messages.push(decoded.message);
      if (!isTransfer || isComplete(messages)) end();
    });
  });
}

/** A transfer ends with its second SOA, or with a refusal. */
function isComplete(messages: readonly DnsMessage[]): boolean {
  const records = messages.flatMap((message) => message.answers);
  return messages.some((message) => message.rcode !== 0) || records.filter((r) => r.type === 6).length >= 2;
}
