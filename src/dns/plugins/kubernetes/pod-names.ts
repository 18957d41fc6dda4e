/** Layer dns. `a-b-c-d.NAMESPACE.pod.ZONE`: addresses written as names, made up (insecure) or looked up (verified). */
import { parentName } from "../../../codec/dns/name.ts";
import { type ClusterView, undashed } from "./cluster-view.ts";
import { type Asked, type Finding, MISSING, NODATA } from "./finding.ts";
import { addressRecords } from "./records.ts";

/** @param rest what stands before `.pod.ZONE`, lower case, without a final dot; empty for `pod.ZONE` itself */
export function findPodName(view: ClusterView, asked: Asked, rest: string): Finding {
  if (rest === "") return NODATA;
  const { pods, ttlSeconds } = view.options;
  if (pods === "disabled") return MISSING;
  const dot = rest.lastIndexOf(".");
  const namespace = rest.slice(dot + 1);
  if (!view.hasNamespace(namespace)) return MISSING;
  if (dot < 0) return NODATA;
  const label = rest.slice(0, dot);
  const address = parentName(`${label}.`) === "." ? undashed(label) : undefined;
  if (address === undefined) return MISSING;
  if (pods === "verified" && !view.hasPod(address, namespace)) return MISSING;
  return { kind: "exists", answers: addressRecords(asked.owner, asked.type, ttlSeconds, [address]) };
}
