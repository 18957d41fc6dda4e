/** Asks a resolver on loopback one question of a Corefile case, and writes down what came as text that can be compared. */
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { formatRcode, formatType } from "../../src/codec/dns/constants.ts";
import { decodeMessage } from "../../src/codec/dns/decode.ts";
import { encodeMessage } from "../../src/codec/dns/encode.ts";
import type { DnsMessage, ResourceRecord } from "../../src/codec/dns/message.ts";
import { formatData } from "../../src/codec/dns/text.ts";
import { queryMessage } from "../support/dns-query.ts";
import { framed, readFrames } from "../support/dns-stream.ts";

const TIMEOUT_MS = 8_000;
const SILENCE_MS = 1_500;
const NSID = 3;
let nextId = 1;

export async function askText(question: string, port: number): Promise<string> {
  const [name = "", typeText = "", ...flags] = question.split(" ");
  const source = flags.find((flag) => flag.startsWith("from="))?.slice(5) ?? "127.0.0.1";
  const packet = encode(name, typeText, flags);
  const replies = flags.includes("+tcp")
    ? await overTcp(packet, port, source, typeText === "AXFR")
    : await overUdp(packet, port, source);
  const [first] = replies;
  if (first === undefined) return "no reply";
  const isSorted = flags.includes("+sort");
  const lines = (records: readonly ResourceRecord[]): readonly string[] => {
    const texts = records.map(
      (record) => `${record.name} ${record.ttl} ${formatType(record.type)} ${formatData(record.data)}`,
    );
    return isSorted ? texts.sort() : texts;
  };
  const options = (first.edns?.options ?? []).map(
    ({ code, bytes }) =>
      `option ${code} ${Buffer.from(bytes)
        .toString("latin1")
        .replaceAll(/[^ -~]/g, ".")}`,
  );
  return [
    [
      formatRcode(first.rcode),
      first.authoritative ? "aa" : "",
      first.truncated ? "tc" : "",
      first.recursionAvailable ? "ra" : "",
    ]
      .filter((text) => text !== "")
      .join(" "),
    ...(first.truncated ? [] : lines(replies.flatMap((reply) => reply.answers))),
    ...lines(first.authorities).map((line) => `authority: ${line}`),
    ...(first.truncated ? [] : lines(first.additionals).map((line) => `additional: ${line}`)),
    ...options,
  ].join("\n");
}

function encode(name: string, type: string, flags: readonly string[]): Buffer {
  nextId = (nextId % 65_000) + 1;
  const options = flags.includes("+nsid") ? [{ code: NSID, bytes: new Uint8Array() }] : [];
  const dnssecOk = flags.includes("+do");
  return encodeMessage({
    ...queryMessage(name.endsWith(".") ? name : `${name}.`, type),
    id: nextId,
    ...(flags.includes("+noedns") ? {} : { edns: { udpBytes: 1232, version: 0, dnssecOk, options } }),
  });
}

function read(bytes: Uint8Array): DnsMessage {
  const decoded = decodeMessage(bytes);
  if (decoded.kind !== "message") throw new Error(`unreadable reply: ${decoded.reason}`);
  return decoded.message;
}

function overUdp(packet: Buffer, port: number, source: string): Promise<readonly DnsMessage[]> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    const done = (replies: readonly DnsMessage[]): void => {
      clearTimeout(timer);
      socket.close();
      resolve(replies);
    };
    const timer = setTimeout(() => done([]), SILENCE_MS);
    socket.on("error", reject);
    socket.on("message", (reply) => {
      if (reply.readUInt16BE(0) === packet.readUInt16BE(0)) done([read(reply)]);
    });
    socket.bind(0, source, () => socket.send(packet, port, "127.0.0.1"));
  });
}

function overTcp(
  packet: Buffer,
  port: number,
  source: string,
  isTransfer: boolean,
): Promise<readonly DnsMessage[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", localAddress: source });
    const replies: DnsMessage[] = [];
    const timer = setTimeout(() => socket.destroy(), TIMEOUT_MS);
    socket.on("error", reject);
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(replies);
    });
    socket.on("connect", () => socket.write(framed(packet)));
    readFrames(socket, (message) => {
      replies.push(read(message));
      const records = replies.flatMap((reply) => reply.answers);
      const isWhole =
        replies.some((reply) => reply.rcode !== 0) || records.filter((r) => r.type === 6).length > 1;
      if (!isTransfer || isWhole) socket.destroy();
    });
  });
}
