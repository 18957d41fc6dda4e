/**
 * Layer lab. A connection generator for echo servers with exact counts: every TCP connection or UDP question is one attempt, ended by
 * the answer line, an error or a timeout. Runs inside a namespace as its own process; bounded in rate, number and parallelism.
 */
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface TrafficPlan {
  readonly protocol: "tcp" | "udp";
  /** Tried in turn. */
  readonly targets: readonly { readonly host: string; readonly port: number }[];
  /** Ends after so many attempts; 0: goes on until stopped. */
  readonly count: number;
  /** Attempts under way at once. */
  readonly parallel: number;
  /** Attempts a second at most; 0: as fast as it goes. */
  readonly perSecond: number;
  readonly timeoutMs: number;
}

export interface TrafficFailure {
  /** `ECONNREFUSED`, `ETIMEDOUT`, `ECONNRESET`, `EMPTY` … */
  readonly code: string;
  /** Milliseconds since the epoch when the attempt began. */
  readonly beganMs: number;
  readonly target: string;
}

export interface TrafficResult {
  readonly attempts: number;
  readonly answered: number;
  /** Per endpoint (first word of the answer): answers, and when the last of these attempts began. */
  readonly endpoints: Readonly<Record<string, { readonly count: number; readonly lastBeganMs: number }>>;
  /** Client addresses that endpoints saw (third word), with counts. */
  readonly clients: Readonly<Record<string, number>>;
  /** All of them counted, the first hundred told. */
  readonly failed: number;
  readonly failures: readonly TrafficFailure[];
  /** Answers that took longer than 900 ms: a first packet was lost and sent again. */
  readonly slow: number;
  readonly slowestMs: number;
  readonly beganMs: number;
  readonly endedMs: number;
}

const SLOW_MS = 900;
const MAX_FAILURES_TOLD = 100;
const MAX_LINE = 512;

type Answer = { readonly line: string } | { readonly code: string };

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}

function askTcp(host: string, port: number, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    let text = "";
    let answer: Answer = { code: "EMPTY" };
    const timer = setTimeout(() => {
      answer = { code: "ETIMEDOUT" };
      socket.destroy();
    }, timeoutMs);
    socket.on("connect", () => socket.write("\n"));
    socket.on("data", (bytes) => {
      if (text.length < MAX_LINE) text += bytes.toString("latin1");
      if (text.includes("\n")) answer = { line: text };
    });
    socket.on("error", (error) => {
      if ("code" in answer) answer = { code: codeOf(error) };
    });
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(answer);
    });
  });
}

function askUdp(host: string, port: number, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
    const finish = (answer: Answer): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on("error", () => {});
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => finish({ code: "ETIMEDOUT" }), timeoutMs);
    socket.on("error", (error) => finish({ code: codeOf(error) }));
    socket.on("message", (bytes) => finish({ line: bytes.toString("latin1") }));
    // Connected, so that an ICMP error is told as ECONNREFUSED.
    socket.connect(port, host, () => socket.send("\n"));
  });
}

class Tally {
  readonly beganMs = Date.now();
  attempts = 0;
  answered = 0;
  failed = 0;
  slow = 0;
  slowestMs = 0;
  readonly endpoints = new Map<string, { count: number; lastBeganMs: number }>();
  readonly clients = new Map<string, number>();
  readonly failures: TrafficFailure[] = [];

  add(answer: Answer, beganMs: number, tookMs: number, target: string): void {
    if ("code" in answer) {
      this.failed++;
      if (this.failures.length < MAX_FAILURES_TOLD)
        this.failures.push({ code: answer.code, beganMs, target });
      return;
    }
    this.answered++;
    if (tookMs > SLOW_MS) this.slow++;
    this.slowestMs = Math.max(this.slowestMs, Math.round(tookMs));
    const [name = "", , client = ""] = answer.line.trim().split(" ");
    const seen = this.endpoints.get(name) ?? { count: 0, lastBeganMs: 0 };
    seen.count++;
    seen.lastBeganMs = Math.max(seen.lastBeganMs, beganMs);
    this.endpoints.set(name, seen);
    this.clients.set(client, (this.clients.get(client) ?? 0) + 1);
  }

  result(): TrafficResult {
    const { attempts, answered, failed, slow, slowestMs, beganMs, failures } = this;
    const endpoints = Object.fromEntries([...this.endpoints].toSorted(([a], [b]) => (a < b ? -1 : 1)));
    const clients = Object.fromEntries(this.clients);
    return {
      attempts,
      answered,
      endpoints,
      clients,
      failed,
      failures,
      slow,
      slowestMs,
      beganMs,
      endedMs: Date.now(),
    };
  }
}

/** Makes attempts until the plan's count is reached or `signal` aborts; attempts under way are finished and counted. */
export async function generateTraffic(plan: TrafficPlan, signal: AbortSignal): Promise<TrafficResult> {
  const tally = new Tally();
  const ask = plan.protocol === "tcp" ? askTcp : askUdp;
  const begun = performance.now();
  const worker = async (): Promise<void> => {
    while (!signal.aborted && (plan.count === 0 || tally.attempts < plan.count)) {
      const number = tally.attempts++;
      if (plan.perSecond > 0) {
        const dueMs = begun + (number * 1000) / plan.perSecond - performance.now();
        if (dueMs > 0) await sleep(dueMs);
      }
      const target = plan.targets[number % plan.targets.length];
      if (target === undefined) return;
      const beganMs = Date.now();
      const start = performance.now();
      const answer = await ask(target.host, target.port, plan.timeoutMs);
      tally.add(answer, beganMs, performance.now() - start, `${target.host}:${target.port}`);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, plan.parallel) }, worker));
  return tally.result();
}

/** The generator as a program: `plan` is a {@link TrafficPlan} as JSON; says that it began, and at the end its result as JSON. */
export async function runTrafficProgram(
  plan: string,
  out: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  out("begun\n");
  out(`${JSON.stringify(await generateTraffic(JSON.parse(plan) as TrafficPlan, signal))}\n`);
}
