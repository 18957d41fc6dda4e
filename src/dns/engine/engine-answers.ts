/**
 * Layer dns. Teaches the native engine: each answer that the chain gave and that may be given again is published as it is,
 * with what voids it. Nothing of a zone is known to the engine, so both paths answer alike by construction.
 */
import { CLASS, TYPE } from "../../codec/dns/constants.ts";
import type { DnsMessage } from "../../codec/dns/message.ts";
import { isWithin, longestZone } from "../../codec/dns/name.ts";
import {
  type EngineAnswer,
  KEY_FLAG,
  MAX_IMAGE_BYTES,
  MAX_TAGS,
  MAX_TTLS,
} from "../../drivers/udp-engine/driver.ts";
import type { ClusterState } from "../cluster/cluster-state.ts";
import type { DnsQuery } from "../query.ts";
import type { Block } from "../server/block.ts";
import type { Answered } from "../server/responder.ts";
import type { EngineBlock } from "./engine-blocks.ts";
import type { CounterSlots } from "./engine-metrics.ts";
import { agreeBehindName, encodeImage, type Image, rotation, serialOffset } from "./image.ts";
import type { NameTags, Tag } from "./name-tags.ts";

const OPT_BYTES = 11;
/** Not learned: transfers, what the any plugin answers, and what belongs to the zone above. */
const SKIPPED_TYPES: ReadonlySet<number> = new Set([TYPE.ANY, TYPE.AXFR, TYPE.IXFR, TYPE.DS, TYPE.OPT]);

export interface Teaching {
  readonly cluster: ClusterState;
  readonly tags: NameTags;
  readonly slots: CounterSlots;
  readonly publish: (answer: EngineAnswer) => void;
}

export class EngineAnswers {
  readonly #teaching: Teaching;
  #blocks: ReadonlyMap<Block, EngineBlock> = new Map();

  constructor(teaching: Teaching) {
    this.#teaching = teaching;
  }

  /** From now on answers of these blocks are learned, those of others no more. The caller flushes the engine. */
  use(blocks: ReadonlyMap<Block, EngineBlock>): void {
    this.#blocks = blocks;
  }

  learn(answered: Answered): void {
    const { query, message, outcome } = answered;
    const block = this.#blocks.get(answered.block);
    if (block === undefined || !isLearnable(query, message)) return;
    const isCluster = outcome.by === "kubernetes";
    if (isCluster ? !this.#teaching.cluster.synced : outcome.cached === undefined) return;
    const tags = isCluster ? this.#clusterTags(answered, block) : this.#ownTags(query.lowerName, block);
    if (tags === undefined || tags.length > MAX_TAGS) return;
    const image = encodeImage(message);
    if (
      image === undefined ||
      image.bytes.length + OPT_BYTES > Math.min(MAX_IMAGE_BYTES, query.udpLimitBytes)
    )
      return;
    const rotate = block.shuffles ? rotation(image) : "none";
    const serialAt = isCluster ? serialOffset(image) : 0;
    if (rotate === undefined || serialAt === undefined) return;
    const counter = this.#teaching.slots.slot(answered, block);
    if (counter === undefined) return;
    const ttlOffsets = image.records.map((record) => record.ttlAt);
    if (outcome.cached !== undefined && ttlOffsets.length > MAX_TTLS) return;
    this.#teaching.publish({
      listener: answered.target.engineId ?? 0,
      keyFlags: keyFlags(query) | (isAnySpelling(query, image, answered, block) ? 0 : KEY_FLAG.exact),
      type: query.type,
      counter,
      image: image.bytes,
      tags,
      ...(serialAt === 0 ? {} : { serialAt }),
      ...(rotate === "none" ? {} : { rotate }),
      ...(outcome.cached === undefined
        ? {}
        : { ageing: { baseMs: outcome.cached.baseMs, ttlOffsets }, expiresMs: outcome.cached.expiresMs }),
    });
  }

  /** A name that falls through may become one of the cluster's later. */
  #ownTags(name: string, block: EngineBlock): readonly Tag[] | undefined {
    return block.kubernetes === undefined ? [] : this.#teaching.tags.of(name, block.kubernetes.options);
  }

  /** Of the name and of all aliases behind it, which must be answered by the same block, or by nobody. */
  #clusterTags({ query, message, block, target }: Answered, engine: EngineBlock): readonly Tag[] | undefined {
    const own = this.#ownTags(query.lowerName, engine);
    if (own === undefined || query.type === TYPE.CNAME) return own;
    const tags = [...own];
    for (const { data, type } of message.answers) {
      if (type !== TYPE.CNAME || data.kind !== "name") continue;
      const name = data.name.toLowerCase();
      if (target.zones.find(name, query.type, () => true) !== block || engine.kubernetes === undefined)
        return undefined;
      const { zones, fallthrough } = engine.kubernetes.options;
      const isOurs =
        longestZone(name, zones) !== undefined && fallthrough?.some((zone) => isWithin(name, zone)) !== true;
      if (!isOurs && !engine.isClosed) return undefined;
      const more = this.#ownTags(name, engine);
      if (more === undefined) return undefined;
      tags.push(...more);
    }
    return tags;
  }
}

function isLearnable(query: DnsQuery, message: DnsMessage): boolean {
  return (
    query.class === CLASS.IN &&
    query.depth === 0 &&
    query.client.transport === "udp" &&
    !SKIPPED_TYPES.has(query.type) &&
    // Name servers are this machine's addresses, which no tag follows.
    !(query.type === TYPE.NS && message.answers.length > 0) &&
    !query.name.includes("\\") &&
    !message.truncated &&
    message.rcode <= 15
  );
}

function keyFlags({ message }: DnsQuery): number {
  return (
    (message.recursionDesired ? KEY_FLAG.recursion : 0) |
    (message.checkingDisabled ? KEY_FLAG.checking : 0) |
    (message.authenticData ? KEY_FLAG.authentic : 0) |
    (message.edns?.dnssecOk === true ? KEY_FLAG.dnssec : 0)
  );
}

/** True when the reply to another spelling of the name is the same but for the question. */
function isAnySpelling(
  query: DnsQuery,
  image: Image,
  { message, outcome }: Answered,
  block: EngineBlock,
): boolean {
  const spelled = [query.name.toLowerCase(), query.name.toUpperCase()].map((name) => {
    if (outcome.by !== "kubernetes") return encodeImage(respell(message, query.name, name));
    const { type } = query;
    const other = block.kubernetes?.handle(query.with({ question: { name, type, class: query.class } }));
    return other === undefined || other instanceof Promise || other.kind !== "answer"
      ? undefined
      : encodeImage(other.message);
  });
  const [lower, upper] = spelled;
  if (lower === undefined || upper === undefined || !agreeBehindName(lower, upper)) return false;
  return lower.bytes.length === image.bytes.length;
}

/** As the cache does: owners that are the name asked for take its spelling. */
function respell(message: DnsMessage, asked: string, name: string): DnsMessage {
  const change = (record: DnsMessage["answers"][number]) =>
    record.name === asked ? { ...record, name } : record;
  return {
    ...message,
    questions: message.questions.map((question) => ({ ...question, name })),
    answers: message.answers.map(change),
    authorities: message.authorities.map(change),
    additionals: message.additionals.map(change),
  };
}
