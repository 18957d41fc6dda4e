/** Layer agent. Units that the kernel refused: reported by their Service, tried again later. */
import type { NftFailure } from "../../drivers/nftables/driver.ts";
import type { IpFamily } from "../../model/ip.ts";
import type { ObjectProblem } from "../../model/objects.ts";
import type { UnitChange, UnitShape } from "../../plan/unit.ts";

/** A unit that the kernel refused. */
export interface RefusedUnit {
  readonly change: UnitChange;
  readonly failure: NftFailure;
}

export interface WriteResult {
  readonly refused: readonly RefusedUnit[];
  /** The table is not what we believe: it must be read again. */
  readonly isDesynced: boolean;
}

export class Refusals {
  readonly #refused = new Map<string, RefusedUnit>();
  /** Units of a batch that failed while a table was taken over; written one by one once it is. */
  readonly #withheld = new Map<string, UnitChange>();
  /** Grows with every change of the list. */
  revision = 0;

  get isEmpty(): boolean {
    return this.#refused.size === 0;
  }

  /** Files what came of writing `written`. */
  settle(written: readonly UnitChange[], refused: readonly RefusedUnit[]): void {
    if (this.#refused.size > 0) for (const { key } of written) if (this.#refused.delete(key)) this.revision++;
    for (const unit of refused) {
      this.#refused.set(unit.change.key, unit);
      this.revision++;
    }
  }

  withhold(units: readonly RefusedUnit[]): void {
    for (const { change } of units) this.#withheld.set(change.key, change);
  }

  /** The changes that may be written together; those withheld are brought up to date. */
  withoutWithheld(changes: readonly UnitChange[]): UnitChange[] {
    return changes.filter((change) => {
      if (!this.#withheld.has(change.key)) return true;
      this.#withheld.set(change.key, change);
      return false;
    });
  }

  takeWithheld(family: IpFamily): readonly UnitChange[] {
    const taken = [...this.#withheld.values()].filter((change) => change.family === family);
    for (const { key } of taken) this.#withheld.delete(key);
    return taken;
  }

  /** Shapes of the units refused. */
  units(): readonly UnitShape[] {
    return [...this.#refused.values()].flatMap(({ change }) =>
      change.unit === undefined ? [] : [change.unit.shape],
    );
  }

  /** Changes of a family that were refused. */
  changes(family: IpFamily): readonly UnitChange[] {
    return [...this.#refused.values()].flatMap(({ change }) => (change.family === family ? [change] : []));
  }

  problems(): readonly ObjectProblem[] {
    return [...this.#refused.values()].flatMap(({ change, failure }): ObjectProblem[] => {
      if (change.unit === undefined) return [];
      const { namespace, service, portName, family } = change.unit.shape;
      const port = portName === "" ? "" : `port ${portName}: `;
      return [
        {
          object: { kind: "Service", namespace, name: service },
          reason: "KernelRefused",
          field: "",
          message: `${port}the kernel refused it (${family}): ${failure.code}${failure.message === undefined ? "" : `, ${failure.message}`}`,
        },
      ];
    });
  }
}
