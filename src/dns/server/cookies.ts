/**
 * Layer dns. DNS cookies, server side (RFC 7873, with the interoperable cookie of RFC 9018). A client that sends a cookie gets a
 * server cookie with its reply; none is ever asked for one. The secret lives as long as the process.
 */
import { type IpAddress, ipToBytes, parseIp } from "../../model/ip.ts";
import { sipHash24 } from "./siphash.ts";

const CLIENT_BYTES = 8;
const SERVER_BYTES = 16;
const VERSION = 1;
/** RFC 9018 section 4.3: renewed after half an hour, five minutes of clock difference allowed. */
const SKEW_SECONDS = 300;
const RENEW_SECONDS = 1_800;

export class ServerCookies {
  readonly #secret: Buffer;
  readonly #nowSeconds: () => number;

  /** @param secret 16 octets that nobody can guess */
  constructor(secret: Buffer, nowSeconds: () => number) {
    this.#secret = secret;
    this.#nowSeconds = nowSeconds;
  }

  /**
   * The content of the COOKIE option of the reply: the client's cookie and a server cookie, its own one again when that is
   * valid and fresh.
   * @returns `undefined` for a malformed option, which is a FORMERR (RFC 7873 section 5.2.2)
   */
  reply(option: Uint8Array, clientAddress: string): Uint8Array | undefined {
    if (!isCookie(option)) return undefined;
    const address = parseIp(clientAddress.split("%")[0] ?? "");
    if (address === undefined) return undefined;
    const now = this.#nowSeconds();
    if (option.length === CLIENT_BYTES + SERVER_BYTES && this.#isFresh(Buffer.from(option), address, now)) {
      return option;
    }
    const cookie = Buffer.alloc(CLIENT_BYTES + SERVER_BYTES);
    cookie.set(option.subarray(0, CLIENT_BYTES));
    cookie[CLIENT_BYTES] = VERSION;
    cookie.writeUInt32BE(Math.floor(now) % 2 ** 32, CLIENT_BYTES + 4);
    this.#hash(cookie, address).copy(cookie, CLIENT_BYTES + 8);
    return cookie;
  }

  #isFresh(option: Buffer, address: IpAddress, now: number): boolean {
    if (option[CLIENT_BYTES] !== VERSION) return false;
    // Serial number arithmetic: the field runs over in 2106.
    const age = (Math.floor(now) - option.readUInt32BE(CLIENT_BYTES + 4)) | 0;
    if (age > RENEW_SECONDS || age < -SKEW_SECONDS) return false;
    return this.#hash(option, address).equals(option.subarray(CLIENT_BYTES + 8));
  }

  /** Over client cookie, version, reserved octets, time and address. */
  #hash(cookie: Buffer, address: IpAddress): Buffer {
    return sipHash24(this.#secret, Buffer.concat([cookie.subarray(0, CLIENT_BYTES + 8), ipToBytes(address)]));
  }
}

/** A client cookie of 8 octets, alone or with a server cookie of 8 to 32. */
export function isCookie(option: Uint8Array): boolean {
  return option.length === CLIENT_BYTES || (option.length >= 16 && option.length <= 40);
}
