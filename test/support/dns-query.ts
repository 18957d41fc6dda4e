/** Test code. A recursive query without EDNS. */
import { CLASS, parseType } from "../../src/codec/dns/constants.ts";
import type { DnsMessage } from "../../src/codec/dns/message.ts";

/** @param name with the dot at its end */
export function queryMessage(name: string, type = "A"): DnsMessage {
  const number = parseType(type);
  if (number === undefined) throw new Error(`unknown type ${type}`);
  return {
    id: 77,
    isResponse: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [{ name, type: number, class: CLASS.IN }],
    answers: [],
    authorities: [],
    additionals: [],
  };
}
