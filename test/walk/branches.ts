/**
 * Random walks, tracers: a packet under way. Where a rule leaves something to chance, the packet goes on as several branches,
 * each with its share; branches that look the same are one.
 */
import type { Packet, Verdict } from "./oracle.ts";

export interface Branch {
  readonly destination: string;
  readonly port: number;
  readonly mark: number;
  readonly isDnated: boolean;
  readonly isMasqueraded: boolean;
  /** Set or list of clients that it was entered into. */
  readonly remembered: string;
  /** Probability that a packet takes this branch. */
  readonly share: number;
}

export interface TracedEndpoint {
  share: number;
  masqueraded: number;
}

/** Everything that can become of a packet. */
export interface Trace {
  /** Shares of outcomes that are not an endpoint. */
  readonly verdicts: Map<Exclude<Verdict, "BACKEND">, number>;
  readonly endpoints: Map<string, TracedEndpoint>;
  /** Where clients are remembered, with the endpoint that they are remembered for. */
  readonly remembered: Map<string, string>;
}

/** What the tracer takes for granted about the client. */
export interface Memory {
  /** The set or list that has the client; absent: it was never here. */
  readonly knownIn?: string;
  /** Sets of clients take nobody. */
  readonly isFull?: boolean;
}

/** A rule, match or target that a tracer has not been taught. */
export class UnknownRule extends Error {
  override readonly name = "UnknownRule";
}

export function unknown(what: string, where: unknown): never {
  throw new UnknownRule(`${what}: ${typeof where === "string" ? where : JSON.stringify(where)}`);
}

export function startOf(packet: Packet): Branch {
  return {
    destination: packet.destination,
    port: packet.port,
    mark: 0,
    isDnated: false,
    isMasqueraded: false,
    remembered: "",
    share: 1,
  };
}

/** Appends a branch, or adds its share to one that looks the same. */
export function addBranch(to: Branch[], branch: Branch): void {
  const at = to.findIndex(
    (one) =>
      one.destination === branch.destination &&
      one.port === branch.port &&
      one.mark === branch.mark &&
      one.isDnated === branch.isDnated &&
      one.isMasqueraded === branch.isMasqueraded &&
      one.remembered === branch.remembered,
  );
  const same = to[at];
  if (same === undefined) to.push(branch);
  else to[at] = { ...same, share: same.share + branch.share };
}

export function emptyTrace(): Trace {
  return { verdicts: new Map(), endpoints: new Map(), remembered: new Map() };
}

export function endAs(trace: Trace, verdict: Exclude<Verdict, "BACKEND">, share: number): void {
  trace.verdicts.set(verdict, (trace.verdicts.get(verdict) ?? 0) + share);
}

/** Files a branch that went all the way. @param isAccepted a rule let it in by name */
export function arrive(trace: Trace, branch: Branch, isAccepted: boolean): void {
  if (!branch.isDnated) {
    endAs(
      trace,
      branch.isMasqueraded
        ? unknown("traffic of others is masqueraded", branch)
        : isAccepted
          ? "ACCEPT"
          : "NONE",
      branch.share,
    );
    return;
  }
  const { destination, port } = branch;
  const text = destination.includes(":") ? `[${destination}]:${port}` : `${destination}:${port}`;
  const endpoint = trace.endpoints.get(text) ?? { share: 0, masqueraded: 0 };
  trace.endpoints.set(text, endpoint);
  endpoint.share += branch.share;
  if (branch.isMasqueraded) endpoint.masqueraded += branch.share;
  if (branch.remembered !== "") trace.remembered.set(branch.remembered, text);
}
