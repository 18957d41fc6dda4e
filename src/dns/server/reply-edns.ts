/**
 * Layer dns. The OPT record of replies (RFC 6891): only for who sent one, with our own size, and of options only those that
 * we know how to answer: COOKIE (RFC 7873), TCP keepalive (RFC 7828), and what plugins put in. Nothing is echoed.
 */
import type { DnsMessage, EdnsOption } from "../../codec/dns/message.ts";
import type { Client } from "../query.ts";
import type { ServerCookies } from "./cookies.ts";

/** Option codes (IANA). */
export const OPTION = { NSID: 3, COOKIE: 10, KEEPALIVE: 11, EDE: 15 } as const;

/** What we take over UDP ourselves, said in every OPT: avoids fragments (DNS flag day 2020). */
const OWN_UDP_BYTES = 1232;
const EMPTY: readonly never[] = [];

export class ReplyEdns {
  readonly #cookies: ServerCookies;

  constructor(cookies: ServerCookies) {
    this.#cookies = cookies;
  }

  /** @param added options of plugins */
  of(
    query: DnsMessage,
    client: Client,
    added: readonly EdnsOption[] = EMPTY,
  ): Pick<DnsMessage, "edns"> | Record<string, never> {
    if (query.edns === undefined) return {};
    const { dnssecOk, options } = query.edns;
    const own = options.length === 0 ? EMPTY : this.#options(options, client);
    return {
      edns: {
        udpBytes: OWN_UDP_BYTES,
        version: 0,
        dnssecOk,
        options: added.length === 0 ? own : [...own, ...added],
      },
    };
  }

  #options(asked: readonly EdnsOption[], client: Client): readonly EdnsOption[] {
    const found: EdnsOption[] = [];
    const cookie = asked.find(({ code }) => code === OPTION.COOKIE);
    const bytes = cookie === undefined ? undefined : this.#cookies.reply(cookie.bytes, client.address);
    if (bytes !== undefined) found.push({ code: OPTION.COOKIE, bytes });
    // Over UDP it is ignored (RFC 7828 section 3.2.1); HTTP has means of its own.
    const { idleTimeoutMs } = client;
    if (idleTimeoutMs !== undefined && asked.some(({ code }) => code === OPTION.KEEPALIVE)) {
      const tenths = Buffer.alloc(2);
      tenths.writeUInt16BE(Math.min(0xffff, Math.floor(idleTimeoutMs / 100)));
      found.push({ code: OPTION.KEEPALIVE, bytes: tenths });
    }
    return found;
  }
}
