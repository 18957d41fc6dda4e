/** A resolver that knows exactly the records given: any other name is NXDOMAIN, a known name without the type is empty. */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { CLASS, parseType, RCODE, TYPE } from "../../src/codec/dns/constants.ts";
import { decodeMessage } from "../../src/codec/dns/decode.ts";
import { encodeMessage } from "../../src/codec/dns/encode.ts";
import type { ResourceRecord } from "../../src/codec/dns/message.ts";
import { parseData, splitWords } from "../../src/codec/dns/text.ts";
import { framed, readFrames } from "../support/dns-stream.ts";
import { listenOnBoth } from "../support/listen-both.ts";
import type { CaseRecord } from "./case-file.ts";

export interface UpstreamStub {
  readonly port: number;
  close(): void;
}

export function toRecord(entry: CaseRecord): ResourceRecord {
  const type = parseType(entry.type);
  const words = splitWords(entry.data);
  const data = type === undefined || words === undefined ? undefined : parseData(type, words);
  if (type === undefined || data === undefined) throw new Error(`bad record: ${entry.type} ${entry.data}`);
  return { name: entry.name, type, class: CLASS.IN, ttl: entry.ttl ?? 0, data };
}

export async function startUpstream(content: readonly CaseRecord[]): Promise<UpstreamStub> {
  const records = content.map(toRecord);
  const udp = createSocket("udp4");
  udp.on("message", (packet, remote) => {
    const reply = answer(records, packet);
    if (reply !== undefined) udp.send(reply, remote.port, remote.address);
  });
  const tcp = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    readFrames(socket, (message) => {
      const reply = answer(records, message);
      if (reply !== undefined) socket.write(framed(reply));
    });
  });
  return {
    port: await listenOnBoth(udp, tcp),
    close: () => {
      udp.close();
      tcp.close();
    },
  };
}

function answer(records: readonly ResourceRecord[], packet: Uint8Array): Buffer | undefined {
  const decoded = decodeMessage(packet);
  if (decoded.kind !== "message") return undefined;
  const [question] = decoded.message.questions;
  if (question === undefined) return undefined;
  const answers: ResourceRecord[] = [];
  let name = question.name.toLowerCase();
  let isKnown = false;
  for (let hop = 0; hop < 10; hop++) {
    const here = records.filter((entry) => entry.name.toLowerCase() === name);
    isKnown = here.length > 0;
    answers.push(...here.filter((entry) => entry.type === question.type));
    const alias = here.find((entry) => entry.type === TYPE.CNAME);
    if (alias === undefined || question.type === TYPE.CNAME || alias.data.kind !== "name") break;
    answers.push(alias);
    name = alias.data.name.toLowerCase();
  }
  return encodeMessage({
    ...decoded.message,
    isResponse: true,
    recursionAvailable: true,
    rcode: isKnown ? RCODE.NOERROR : RCODE.NXDOMAIN,
    answers,
  });
}
