/**
 * Random walks: real connections through the node's namespace, to listeners at every endpoint that they may reach. Says what became
 * of them that the oracle did not expect.
 */
import type { Answer } from "../packet-cases/judge.ts";
import { answersIn, outcomesText } from "../packet-cases/judge.ts";
import type { NetProbe, Outcomes } from "../packet-cases/netprobe.ts";
import { expectedText } from "./check.ts";
import type { WalkNetwork } from "./network.ts";
import type { Expected, Oracle, Packet } from "./oracle.ts";
import { type Destination, packetsTo } from "./packets.ts";
import { DEVICES, NODE } from "./pools.ts";
import type { Random } from "./random.ts";

/** Packets of each kind that one check sends. */
const MOST = { BACKEND: 90, REJECT: 20, DROP: 10 } as const;
const CONNECTIONS = 6;
/** For those that must be answered, on a machine that has other things to do. */
const PATIENT_MS = 8_000;
/** For those that must not be. */
const SILENCE_MS = 500;
const AT_ONCE = 10;

interface Wanted {
  readonly packet: Packet;
  readonly expected: Expected;
  /** From the endpoint itself, which is its only choice. */
  readonly isHairpin: boolean;
}

export class RealPackets {
  connections = 0;
  readonly #network: WalkNetwork;
  readonly #probe: NetProbe;
  readonly #nodeAddresses: readonly string[];
  readonly #listeners = new Map<string, string>();

  constructor(network: WalkNetwork, probe: NetProbe, nodeAddresses: readonly string[]) {
    this.#network = network;
    this.#probe = probe;
    this.#nodeAddresses = nodeAddresses;
  }

  /** @returns what is wrong, one line a packet */
  async confirm(oracle: Oracle, to: readonly Destination[], random: Random): Promise<readonly string[]> {
    const wanted = to.flatMap((one) => this.#wanted(oracle, one));
    const chosen = (["BACKEND", "REJECT", "DROP"] as const).flatMap((verdict) =>
      random.take(
        wanted.filter(({ expected }) => expected.verdicts.length === 1 && expected.verdicts[0] === verdict),
        MOST[verdict],
      ),
    );
    for (const { expected, packet } of chosen)
      for (const text of expected.endpoints.keys()) await this.#listen(text, packet);
    const wrong: string[] = [];
    // The kernel tells a raw socket of refusals by address alone, so those of SCTP would hear of each other's.
    const isAlone = ({ packet }: Wanted) => packet.protocol === "SCTP";
    const others = chosen.filter((one) => !isAlone(one));
    for (let at = 0; at < others.length; at += AT_ONCE) {
      const found = await Promise.all(others.slice(at, at + AT_ONCE).map((one) => this.#try(one)));
      wrong.push(...found.filter((text) => text !== undefined));
    }
    for (const one of chosen.filter(isAlone)) {
      const why = await this.#try(one);
      if (why !== undefined) wrong.push(why);
    }
    for (const id of this.#listeners.values()) await this.#probe.close(id);
    this.#listeners.clear();
    return wrong;
  }

  #wanted(oracle: Oracle, to: Destination): Wanted[] {
    if (to.address === "127.0.0.1" || to.address === "::1") return [];
    // A client outside of the node cannot have the address that it asks for.
    const packets = packetsTo(to, []).filter(({ source, from }) => from === "node" || source !== to.address);
    const all = packets.map((packet) => ({ packet, expected: oracle.expect(packet), isHairpin: false }));
    const alone = all.find(({ packet, expected }) => packet.from === "pod" && expected.endpoints.size === 1);
    const [text] = alone?.expected.endpoints.keys() ?? [];
    const address = text === undefined ? undefined : addressOf(text);
    if (address === undefined || address === NODE.ip || address === NODE.ip6) return all;
    if (this.#network.placeOf(address) !== this.#network.nearby) return all;
    const packet: Packet = {
      ...to,
      destination: to.address,
      from: "pod",
      device: DEVICES.endpoints,
      source: address,
    };
    const expected = oracle.expect(packet);
    // Slices that have it on another node do not ask for masquerading here, and then it cannot answer itself.
    if ([...expected.endpoints.values()].some(({ masquerade }) => masquerade !== true)) return all;
    return [...all, { packet, expected, isHairpin: true }];
  }

  async #listen(text: string, { protocol }: Packet): Promise<void> {
    const address = addressOf(text);
    const netns = this.#network.placeOf(address);
    const key = `${netns} ${protocol} ${text}`;
    if (this.#listeners.has(key)) return;
    const port = Number(text.slice(text.lastIndexOf(":") + 1));
    this.#listeners.set(key, await this.#probe.listen(netns, protocol, address, port, "backend"));
  }

  async #try({ packet, expected, isHairpin }: Wanted): Promise<string | undefined> {
    const { protocol, destination, port, source, from } = packet;
    const isSilent = expected.verdicts[0] === "DROP";
    const count = isSilent ? 1 : CONNECTIONS;
    this.connections += count;
    const outcomes = await this.#probe.probe({
      netns: isHairpin ? this.#network.nearby : this.#network.netns(from),
      proto: protocol,
      // On the node too: what the kernel chooses there may be outside of source ranges.
      source,
      destination,
      port,
      count,
      timeoutMs: isSilent ? SILENCE_MS : PATIENT_MS,
    });
    const why = this.#judge(packet, expected, outcomes);
    if (why === undefined) return undefined;
    return `${packetText(packet)}: ${why}; expected ${expectedText(expected)}; became ${outcomesText(outcomes)}`;
  }

  #judge(packet: Packet, expected: Expected, outcomes: Outcomes): string | undefined {
    const kinds = Object.keys(outcomes);
    const [verdict] = expected.verdicts;
    // A process on the node learns from its own send that the packet was held back.
    const isHeldBack = (kind: string) =>
      packet.from === "node" && packet.protocol !== "TCP" && kind === "EPERM";
    const became = (wanted: string) => kinds.every((kind) => kind === wanted || isHeldBack(kind));
    if (verdict === "REJECT") return became("refused") ? undefined : "not refused";
    if (verdict === "DROP") return became("timeout") ? undefined : "not dropped";
    const answers = answersIn(outcomes);
    if (answers.length !== kinds.length) return "not always answered";
    for (const answer of answers) {
      const why = this.#judgeAnswer(packet, expected, answer);
      if (why !== undefined) return why;
    }
    return undefined;
  }

  #judgeAnswer(packet: Packet, expected: Expected, { own, peer }: Answer): string | undefined {
    const wanted = expected.endpoints.get(own) ?? expected.endpoints.get(bracketed(own));
    if (wanted === undefined) return `answered by ${own}`;
    const isNode = this.#nodeAddresses.includes(peer);
    if (wanted.masquerade === true && !isNode) return `${own} saw ${peer}, no address of the node`;
    if (wanted.masquerade === false && packet.from !== "node" && peer !== packet.source)
      return `${own} saw ${peer}, not the client`;
    return undefined;
  }
}

/** `address:port`, IPv6 with brackets or without, as a text with brackets. */
function bracketed(text: string): string {
  const at = text.lastIndexOf(":");
  return text.includes("[") || text.indexOf(":") === at ? text : `[${text.slice(0, at)}]${text.slice(at)}`;
}

function addressOf(text: string): string {
  return text.slice(0, text.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
}

export function packetText({ from, source, destination, protocol, port }: Packet): string {
  return `${from} ${source} -> ${destination} ${protocol} ${port}`;
}
