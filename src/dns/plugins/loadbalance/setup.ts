/** Layer dns. The `loadbalance` plugin: addresses and mail servers in random order, aliases first. */
import { resolve } from "node:path";
import { TYPE } from "../../../codec/dns/constants.ts";
import type { DnsMessage, ResourceRecord } from "../../../codec/dns/message.ts";
import { type Cidr, cidrContains } from "../../../model/ip.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { durationArg, expectArgs, parseRange, readOptions } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import { type PluginDefinition, type SetupContext, whenDone } from "../../plugin.ts";
import { drawFirst, readWeights, type Weights } from "./weights.ts";

const FORM = "loadbalance [round_robin | weighted FILE]";

export const loadbalance: PluginDefinition = {
  name: "loadbalance",
  setup: ([directive], context) => {
    if (directive === undefined) return [];
    expectArgs(directive, 0, 2, FORM);
    const [policy = "round_robin", file] = directive.args;
    if (policy !== "round_robin" && policy !== "weighted") {
      throw corefileError(
        directive,
        "loadbalance",
        `policy "${policy}" is not allowed; allowed: round_robin, weighted`,
      );
    }
    if ((policy === "weighted") !== (file !== undefined))
      throw corefileError(directive, "loadbalance", `the form is: ${FORM}`);
    let reloadMs = 30_000;
    const preferred: Cidr[] = [];
    readOptions(directive, {
      ...(file === undefined
        ? {}
        : {
            reload: (option: Directive) => {
              expectArgs(option, 1, 1, "reload DURATION");
              reloadMs = durationArg(option, 0);
            },
          }),
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
    const order =
      file === undefined
        ? (message: DnsMessage) => shuffleMessage(message, preferred, random)
        : weighted(directive, { path: resolve(context.folder, file), reloadMs, preferred }, context);
    return [
      {
        name: "loadbalance",
        handle: (query, rest) =>
          whenDone(rest(query), (outcome) =>
            outcome.kind === "answer" ? { ...outcome, message: order(outcome.message) } : outcome,
          ),
      },
    ];
  },
};

/** Reads the file now, and again while the configuration lives; a bad one leaves the old weights. */
function weighted(
  directive: Directive,
  options: { readonly path: string; readonly reloadMs: number; readonly preferred: readonly Cidr[] },
  context: SetupContext,
): (message: DnsMessage) => DnsMessage {
  const { path, reloadMs, preferred } = options;
  const { random, log } = context.runtime;
  let weights: Weights;
  try {
    weights = readWeights(path);
  } catch (error) {
    throw corefileError(
      directive,
      "loadbalance",
      `${path}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  context.onStart((signal) => {
    if (reloadMs === 0) return;
    const timer = setInterval(() => {
      try {
        weights = readWeights(path);
      } catch (error) {
        log.error(
          `plugin/loadbalance: ${path}: ${error instanceof Error ? error.message : String(error)}; the old weights go on`,
        );
      }
    }, reloadMs);
    timer.unref();
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  });
  return (message) => {
    const answers = drawFirst(message.answers, weights, random);
    return { ...message, answers: preferred.length === 0 ? answers : preferFirst(answers, preferred) };
  };
}

function preferFirst(
  records: readonly ResourceRecord[],
  preferred: readonly Cidr[],
): readonly ResourceRecord[] {
  const moved = records.filter(isShuffled).sort((a, b) => rank(a, preferred) - rank(b, preferred));
  return [...records.filter((record) => !isShuffled(record)), ...moved];
}

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
