/** Benchmarks. Queries as packets in a file, for the generator: each behind two octets of length. */
import { writeFileSync } from "node:fs";
import { reverseName } from "../src/codec/dns/address.ts";
import { TYPE } from "../src/codec/dns/constants.ts";
import { encodeMessage } from "../src/codec/dns/encode.ts";
import { benchService, benchSlice } from "./frames.ts";

export interface Question {
  readonly name: string;
  readonly type: number;
}

/** A recursive query with EDNS, as resolvers of C libraries send it. */
export function queryPacket({ name, type }: Question, id = 0): Buffer {
  return encodeMessage({
    id,
    isResponse: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [{ name, type, class: 1 }],
    answers: [],
    authorities: [],
    additionals: [],
    edns: { udpBytes: 1232, version: 0, dnssecOk: false, options: [] },
  });
}

/** Every third letter in upper case: the spelling is the client's business. */
function mixed(name: string): string {
  return name.replaceAll(/[a-z]/g, (letter, at: number) => (at % 3 === 0 ? letter.toUpperCase() : letter));
}

export function writeQueries(path: string, questions: readonly Question[]): void {
  const packets = questions.flatMap(({ name, type }) => {
    const packet = queryPacket({ name: mixed(name), type });
    return [Buffer.from([packet.length >> 8, packet.length & 255]), packet];
  });
  writeFileSync(path, Buffer.concat(packets));
}

export function serviceDomain(i: number): string {
  const { name, namespace } = benchService(i, "cluster-ip").meta;
  return `${name}.${namespace}.svc.cluster.local.`;
}

/** A and AAAA in turn, of `count` services evenly spread over all. */
export function clusterQuestions(services: number, count: number): readonly Question[] {
  const step = Math.max(1, Math.floor(services / count));
  return Array.from({ length: Math.min(services, count) }, (_, i) => ({
    name: serviceDomain(i * step),
    type: i % 2 === 0 ? TYPE.A : TYPE.AAAA,
  }));
}

/** Every service once: its address, its port, a reverse name behind it, and as many names that do not exist. */
export function allQuestions(services: number, endpoints: number): readonly Question[] {
  return Array.from({ length: services }, (_, i) => {
    const address = benchSlice(i, Math.max(1, endpoints)).endpoints[0]?.addresses[0];
    const name = serviceDomain(i);
    return [
      { name, type: TYPE.A },
      { name, type: TYPE.AAAA },
      { name: `_http._tcp.${name}`, type: TYPE.SRV },
      { name: `missing-${name}`, type: TYPE.A },
      ...(address === undefined || endpoints === 0 ? [] : [{ name: reverseName(address), type: TYPE.PTR }]),
    ];
  }).flat();
}

export function foreignQuestions(count: number, domain = "example.com."): readonly Question[] {
  return Array.from({ length: count }, (_, i) => ({ name: `www.name${i}.${domain}`, type: TYPE.A }));
}
