/**
 * Layer control-plane. Runs something while this process holds a Lease (coordination.k8s.io): optimistic updates, the
 * usual durations. Whoever cannot renew in time stops before another may start.
 */
import { ApiError } from "../../registry/api-error.ts";
import type { ObjectClient } from "../../registry/client.ts";
import type { ApiObject, JsonObject } from "../../registry/json.ts";
import type { ControllerClock, ControllerLog } from "../controller.ts";

export interface ElectionOptions {
  readonly client: ObjectClient;
  readonly clock: ControllerClock;
  readonly log: ControllerLog;
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
}

const LEASES = "leases.coordination.k8s.io";
const DURATION_SECONDS = 15;
const RENEW_MS = 4_000;
const RETRY_MS = 2_000;
/** The holder gives up this long after its last renewal, before the lease ends for others. */
const GIVE_UP_MS = 10_000;

/** Runs `lead` whenever the Lease is held, until `signal` aborts; then lets it go. */
export async function runWhileLeading(
  options: ElectionOptions,
  lead: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    if (await tryAcquire(options)) {
      options.log.info({ lease: options.name, identity: options.identity }, "lease acquired");
      await holdAndLead(options, lead, signal);
    } else await options.clock.sleep(RETRY_MS, signal);
  }
}

async function holdAndLead(
  options: ElectionOptions,
  lead: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const term = new AbortController();
  const stop = (): void => term.abort();
  signal.addEventListener("abort", stop, { once: true });
  const work = lead(term.signal);
  let renewedMs = options.clock.monotonicMs();
  while (!term.signal.aborted) {
    await options.clock.sleep(RENEW_MS, term.signal);
    if (term.signal.aborted) break;
    if (await tryAcquire(options)) renewedMs = options.clock.monotonicMs();
    else if (options.clock.monotonicMs() - renewedMs > GIVE_UP_MS) {
      options.log.warn({ lease: options.name }, "lease lost");
      term.abort();
    }
  }
  await work;
  signal.removeEventListener("abort", stop);
  if (signal.aborted) await release(options);
}

/** Takes or renews the Lease. Failures of the store count as "not now". */
async function tryAcquire(options: ElectionOptions): Promise<boolean> {
  try {
    const now = options.clock.nowMs();
    const lease = await options.client.get(LEASES, options.namespace, options.name);
    if (lease === undefined) {
      await options.client.create(LEASES, newLease(options, now));
      return true;
    }
    const spec = (lease["spec"] ?? {}) as JsonObject;
    const mine = spec["holderIdentity"] === options.identity;
    if (!mine && !hasEnded(spec, now)) return false;
    const transitions = typeof spec["leaseTransitions"] === "number" ? spec["leaseTransitions"] : 0;
    const next: ApiObject = structuredClone(lease);
    next["spec"] = {
      ...spec,
      holderIdentity: options.identity,
      leaseDurationSeconds: DURATION_SECONDS,
      renewTime: microTime(now),
      ...(mine ? {} : { acquireTime: microTime(now), leaseTransitions: transitions + 1 }),
    };
    await options.client.update(LEASES, next);
    return true;
  } catch (error) {
    const conflict = error instanceof ApiError && error.code === 409;
    if (!conflict) options.log.warn({ lease: options.name, error: String(error) }, "lease not renewed");
    return false;
  }
}

function hasEnded(spec: JsonObject, nowMs: number): boolean {
  const holder = spec["holderIdentity"];
  const renewTime = spec["renewTime"];
  if (typeof holder !== "string" || holder === "" || typeof renewTime !== "string") return true;
  const seconds =
    typeof spec["leaseDurationSeconds"] === "number" ? spec["leaseDurationSeconds"] : DURATION_SECONDS;
  return Date.parse(renewTime) + seconds * 1000 <= nowMs;
}

function newLease(options: ElectionOptions, nowMs: number): ApiObject {
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { namespace: options.namespace, name: options.name },
    spec: {
      holderIdentity: options.identity,
      leaseDurationSeconds: DURATION_SECONDS,
      acquireTime: microTime(nowMs),
      renewTime: microTime(nowMs),
      leaseTransitions: 0,
    },
  };
}

/** So that another need not wait for the end of the lease. */
async function release(options: ElectionOptions): Promise<void> {
  try {
    const lease = await options.client.get(LEASES, options.namespace, options.name);
    const spec = (lease?.["spec"] ?? {}) as JsonObject;
    if (lease === undefined || spec["holderIdentity"] !== options.identity) return;
    const next: ApiObject = structuredClone(lease);
    next["spec"] = { ...spec, holderIdentity: "" };
    await options.client.update(LEASES, next);
  } catch (error) {
    options.log.warn({ lease: options.name, error: String(error) }, "lease not released");
  }
}

/** RFC 3339 with microseconds. */
export function microTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000Z`;
}
