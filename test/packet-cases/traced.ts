/**
 * Packet cases: the packet of a case, led through the kernel's own listing by the tracers of the random walks. What the rules say and
 * what real packets met must be the same. Pings are left out: the tracers know packets with ports.
 */
import type { Trace } from "../walk/branches.ts";
import { traceText, verdictOf } from "../walk/check.ts";
import type { KernelRules } from "../walk/kernel.ts";
import type { Case, Expectation } from "./case-file.ts";
import { expectationText } from "./judge.ts";

function differs(expect: Expectation, trace: Trace): string | undefined {
  const found = verdictOf(trace);
  const wanted = expect.result === "BACKENDS" ? "BACKEND" : expect.result;
  if (found.length !== 1 || found[0] !== wanted) return `outcome ${found.join(", ")}`;
  const missing = expect.backends.filter((backend) => !trace.endpoints.has(backend));
  if (missing.length > 0) return `never reaches ${missing.join(", ")}`;
  for (const [backend, { share, masqueraded }] of trace.endpoints) {
    if (!expect.backends.includes(backend)) return `reaches ${backend}`;
    if (expect.masq !== undefined && Math.abs(masqueraded - (expect.masq ? share : 0)) > 1e-9)
      return `${backend} is ${expect.masq ? "not " : ""}masqueraded`;
  }
  return undefined;
}

/** @param source of the packet @returns why the rules do not do what the case expects */
export function tracedFailure(
  rules: KernelRules,
  { packet, expect }: Case & { readonly expect: Expectation },
  source: string,
): string | undefined {
  const { proto: protocol, dst: destination, port, from } = packet;
  if (protocol === "ICMP") return undefined;
  const trace = rules.trace({
    device: "",
    from: from.startsWith("node") ? "node" : from.startsWith("ext") ? "ext" : "pod",
    family: destination.includes(":") ? "ip6" : "ip",
    source,
    destination,
    protocol,
    port,
  });
  // From outside to a loopback address: the IP stack drops it before any rule but a guard sees it.
  if (destination.startsWith("127.") && !from.startsWith("node") && expect.result === "DROP")
    return undefined;
  const why = differs(expect, trace);
  return why === undefined
    ? undefined
    : `expected ${expectationText(expect)}\n  traced   ${traceText(trace)}\n  ${why}`;
}
