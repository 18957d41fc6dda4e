/** Layer dns. What a name of the cluster turned out to be. */
import type { ResourceRecord } from "../../../codec/dns/message.ts";

export type Finding =
  /** The name exists; without answers it has nothing of the type asked for. */
  | {
      readonly kind: "exists";
      readonly answers: readonly ResourceRecord[];
      readonly additionals?: readonly ResourceRecord[];
    }
  /** ExternalName: absolute target. */
  | { readonly kind: "alias"; readonly target: string }
  | { readonly kind: "missing" };

export const NODATA: Finding = { kind: "exists", answers: [] };
export const MISSING: Finding = { kind: "missing" };

/** A name and type below a zone. */
export interface Asked {
  /** As the client spelled it: owner of the answers. */
  readonly owner: string;
  /** Lower case. */
  readonly name: string;
  readonly type: number;
  /** The zone that matched, lower case, and as the client spelled it. */
  readonly zone: string;
  readonly zoneSpelling: string;
}
