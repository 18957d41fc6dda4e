/**
 * Layer control-plane. Node ports and health check node ports, from one range.
 * State: `/allocation/nodeport/<port>` -> owner. A number belongs to one Service, whatever the protocol.
 */
import type { WriteContext } from "../registry/kind.ts";
import { chooseOffset, portBandSize, type Random } from "./bands.ts";
import { Claims } from "./claims.ts";

export const NODE_PORT_PREFIX = "/allocation/nodeport/";

export class NodePortAllocator {
  readonly #claims: Claims;
  readonly #random: Random;
  readonly #from: number;
  readonly #to: number;

  constructor(context: WriteContext, owner: string, random: Random) {
    this.#claims = new Claims(context, NODE_PORT_PREFIX, owner);
    this.#random = random;
    this.#from = context.settings.nodePortRange.from;
    this.#to = context.settings.nodePortRange.to;
  }

  /** @returns why the port cannot be had, or `undefined` when it is now the owner's */
  async claim(port: number): Promise<string | undefined> {
    if (port < this.#from || port > this.#to) {
      return `provided port is not in the valid range. The range of valid ports is ${this.#from}-${this.#to}`;
    }
    return (await this.#claims.claim(String(port))) ? undefined : "provided port is already allocated";
  }

  /** A free port, now the owner's; `undefined` when the range is full. */
  async next(): Promise<number | undefined> {
    const size = this.#to - this.#from + 1;
    const offset = await chooseOffset(
      {
        size,
        bandSize: portBandSize(size),
        isTaken: (candidate) => this.#claims.isTaken(String(this.#from + candidate)),
        listTaken: async () => new Set((await this.#claims.list()).map((text) => Number(text) - this.#from)),
      },
      this.#random,
    );
    if (offset === undefined) return undefined;
    const port = this.#from + offset;
    await this.#claims.claim(String(port));
    return port;
  }

  async release(port: number): Promise<void> {
    await this.#claims.release(String(port));
  }
}
