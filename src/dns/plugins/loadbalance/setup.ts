/** Layer dns. The `loadbalance` plugin: addresses and mail servers in random order, aliases first. */
import { TYPE } from "../../../codec/dns/constants.ts";
import type { DnsMessage, ResourceRecord } from "../../../codec/dns/message.ts";
import { type Cidr, cidrContains } from "../../../model/ip.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { expectArgs, parseRange, readOptions } from "../../corefile/options.ts";
import { type PluginDefinition, whenDone } from "../../plugin.ts";

export const loadbalance: PluginDefinition = {
  name: "loadbalance",
  setup: ([directive], context) => {
    if (directive === undefined) return [];
    expectArgs(directive, 0, 1, "loadbalance [round_robin]");
    const policy = directive.args[0] ?? "round_robin";
    if (policy !== "round_robin") {
      throw corefileError(
        directive,
        "loadbalance",
        `policy "${policy}" is not supported; allowed: round_robin`,
      );
    }
    const preferred: Cidr[] = [];
    readOptions(directive, {
      prefer: (option) => {
        expectArgs(option, 1, 1000, "prefer CIDR…");
        for (const text of option.args) {
          const range = parseRange(text);
          if (range === undefined) throw corefileError(option, "prefer", `"${text}" is no address range`);
          preferred.push(range);
        }
      },
    });
    const { random } = context.runtime;
    return [
      {
        name: "loadbalance",
        handle: (query, rest) =>
          whenDone(rest(query), (outcome) =>
            outcome.kind === "answer"
              ? { ...outcome, message: shuffleMessage(outcome.message, preferred, random) }
              : outcome,
          ),
      },
    ];
  },
};

function shuffleMessage(message: DnsMessage, preferred: readonly Cidr[], random: () => number): DnsMessage {
  if (message.answers.length < 2 && message.additionals.length < 2) return message;
  const first = message.answers[0]?.type;
  if (first === TYPE.SOA) return message;
  return {
    ...message,
    answers: shuffle(message.answers, preferred, random),
    additionals: shuffle(message.additionals, preferred, random),
  };
}

/** CNAMEs keep their order in front, other types their place behind; preferred ranges come before the rest. */
function shuffle(
  records: readonly ResourceRecord[],
  preferred: readonly Cidr[],
  random: () => number,
): readonly ResourceRecord[] {
  if (records.length < 2) return records;
  const aliases = records.filter((record) => record.type === TYPE.CNAME);
  const moved = records.filter((record) => isShuffled(record));
  if (moved.length < 2) return records;
  const others = records.filter((record) => record.type !== TYPE.CNAME && !isShuffled(record));
  for (let i = moved.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const a = moved[i];
    const b = moved[j];
    if (a === undefined || b === undefined) continue;
    moved[i] = b;
    moved[j] = a;
  }
  if (preferred.length > 0) moved.sort((a, b) => rank(a, preferred) - rank(b, preferred));
  return [...aliases, ...others, ...moved];
}

function isShuffled(record: ResourceRecord): boolean {
  return record.type === TYPE.A || record.type === TYPE.AAAA || record.type === TYPE.MX;
}

function rank(record: ResourceRecord, preferred: readonly Cidr[]): number {
  const { data } = record;
  if (data.kind !== "address") return preferred.length;
  const index = preferred.findIndex((range) => cidrContains(range, data.address));
  return index < 0 ? preferred.length : index;
}
