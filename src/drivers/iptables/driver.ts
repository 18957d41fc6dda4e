/**
 * Layer drivers. The door to iptables-save and iptables-restore of one family.
 * Implementations: `LinuxIptables` (the installed commands) and `FakeIptables` (memory); both pass
 * test/kernel/iptables-conformance. Knows nothing of Services.
 */
import type { IpFamily } from "../../model/ip.ts";

/** Which kernel interface the commands write to. Rules of one are not seen by the other. */
export type IptablesVariant = "legacy" | "nft";

export type RestoreResult =
  | { readonly kind: "restored" }
  | {
      readonly kind: "failed";
      /** Line of the input, from 1, where the command named one. */
      readonly line?: number;
      /** The command's own words, one line, at most 500 characters. */
      readonly message: string;
    };

export interface IptablesDriver {
  readonly family: IpFamily;
  readonly variant: IptablesVariant;
  readonly version: string;
  /** `MASQUERADE --random-fully` is understood. */
  readonly hasRandomFully: boolean;
  /**
   * Text of iptables-save, all tables.
   * @throws {NodeplaneError} IPTABLES_FAILED
   */
  save(): Promise<string>;
  /**
   * `iptables-restore --noflush`. Each table of the input is replaced as a whole or not at all; a failed input may have
   * written its first tables. Waits for the lock that other users of iptables hold, and holds it while a table's lines are read.
   * `text` is whole lines, some at a time, without the last one's end; it is asked for as the command reads. Nothing is done when
   * there is none.
   * @throws {NodeplaneError} IPTABLES_FAILED when the command cannot be run or does not get the lock
   */
  restore(text: Iterable<string>): Promise<RestoreResult>;
  /** Whether a chain exists: cheap, for canaries. @throws {NodeplaneError} IPTABLES_FAILED */
  hasChain(table: "filter" | "nat" | "mangle", chain: string): Promise<boolean>;
}
