/** Layer dns. A server block ready to answer, and the choice of the block that a name belongs to. */
import { TYPE } from "../../codec/dns/constants.ts";
import { parentName } from "../../codec/dns/name.ts";
import type { Directive } from "../corefile/parser.ts";
import type { Scheme, ServerKey } from "../corefile/zones.ts";
import type { Observer, Plugin, ReplyFlags, Rest } from "../plugin.ts";
import type { DnsQuery } from "../query.ts";

/** Decides whether a block with a `view` takes a query. */
export type ViewFilter = (query: DnsQuery) => boolean;

export interface Block {
  readonly keys: readonly ServerKey[];
  /** Hosts to listen on; empty: all addresses. */
  readonly hosts: readonly string[];
  readonly chain: Rest;
  readonly observers: readonly Observer[];
  readonly isRecursive: boolean;
  /** Of all its answers, whatever plugins and clients say. */
  readonly flags: ReplyFlags;
  /** Lines of the block and the plugins that they made, for the native engine. */
  readonly directives: readonly Directive[];
  readonly plugins: readonly Plugin[];
  readonly view: string;
  readonly viewFilter?: ViewFilter;
  /** Lets plugins read what is known of a query; before the filter of the view. */
  readonly collectMetadata?: (query: DnsQuery) => void;
}

/** Blocks that share a listener, by zone; blocks of one zone in the order of their views. */
export class ZoneTable {
  readonly #zones = new Map<string, Block[]>();

  /** @returns false when the zone is taken (without a view to tell the blocks apart) */
  add(zone: string, block: Block): boolean {
    const known = this.#zones.get(zone);
    if (known === undefined) {
      this.#zones.set(zone, [block]);
      return true;
    }
    if (known.some((other) => other.viewFilter === undefined) && block.viewFilter === undefined) return false;
    known.push(block);
    return true;
  }

  /** Zones with their blocks, for the native engine. */
  entries(): IterableIterator<[string, readonly Block[]]> {
    return this.#zones.entries();
  }

  /**
   * Candidates with the longest zone that holds the name, then those of the zones above it.
   * A question for DS belongs to the parent's zone; where only the child is served, it says what it knows (RFC 4035
   * section 3.1.4.1).
   */
  find(lowerName: string, type: number, accepts: (block: Block, zone: string) => boolean): Block | undefined {
    const isAbove = type === TYPE.DS && lowerName !== ".";
    const above = isAbove ? this.#findFrom(parentName(lowerName), accepts) : undefined;
    return above ?? this.#findFrom(lowerName, accepts);
  }

  #findFrom(start: string, accepts: (block: Block, zone: string) => boolean): Block | undefined {
    let name = start;
    for (;;) {
      for (const block of this.#zones.get(name) ?? []) if (accepts(block, name)) return block;
      if (name === ".") return undefined;
      name = parentName(name);
    }
  }
}

/** One address and port to listen on. */
export interface ListenerSpec {
  readonly scheme: Scheme;
  /** Empty: all addresses. */
  readonly host: string;
  readonly port: number;
}

/** `dns://:53`, `tls://[::1]:853`: the label of metrics and the name in messages. */
export function formatListener(spec: ListenerSpec): string {
  const host = spec.host.includes(":") ? `[${spec.host}]` : spec.host;
  return `${spec.scheme}://${host}:${spec.port}`;
}
