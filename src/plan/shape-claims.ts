/**
 * Layer plan. What Services claim and get: frontends that several units ask for go to one of them (see {@link Claims}), the others
 * are planned without, and told. Pure but for its own state.
 */
import type { ObjectProblem } from "../model/objects.ts";
import { Claims, frontendKey } from "./claims.ts";
import { formatDestination, packPort } from "./packed.ts";
import type { Frontend, UnitShape } from "./unit.ts";

/** Services whose shapes have changed with somebody else's claim. */
export interface Affected {
  /** They lost a frontend: to be written before who gained it. */
  readonly losers: readonly string[];
  /** They got one back: to be written after who lost it. */
  readonly heirs: readonly string[];
}

export class ShapeClaims {
  readonly #claims = new Claims();

  /**
   * Registers what a Service asks for now and withdraws what it asked for before.
   * @param service `namespace/name`
   */
  exchange(
    service: { readonly name: string; readonly createdAtMs: number },
    before: readonly UnitShape[],
    asked: readonly UnitShape[],
  ): Affected {
    const withdrawn = new Map<string, { readonly key: string; readonly unitKey: string }>();
    for (const shape of before)
      for (const frontend of shape.frontends) {
        const key = frontendKey(shape, frontend);
        withdrawn.set(shape.key + key, { key, unitKey: shape.key });
      }
    const losers: string[] = [];
    for (const shape of asked) {
      const claimant = { unitKey: shape.key, service: service.name, createdAtMs: service.createdAtMs };
      for (const frontend of shape.frontends) {
        const key = frontendKey(shape, frontend);
        withdrawn.delete(shape.key + key);
        const owner = this.#claims.owner(key);
        if (owner?.unitKey === shape.key && owner.createdAtMs === claimant.createdAtMs) continue;
        losers.push(...this.#claims.add(key, claimant));
      }
    }
    const heirs: string[] = [];
    for (const { key, unitKey } of withdrawn.values()) heirs.push(...this.#claims.remove(key, unitKey));
    return { losers, heirs };
  }

  /** Shapes without the frontends lost to others: the very same list, or the same shape, where none are. */
  owned(asked: readonly UnitShape[]): readonly UnitShape[] {
    const ownsAll = (shape: UnitShape) => shape.frontends.every((frontend) => this.#owns(shape, frontend));
    if (asked.every(ownsAll)) return asked;
    return asked.map((shape) =>
      ownsAll(shape)
        ? shape
        : { ...shape, frontends: shape.frontends.filter((frontend) => this.#owns(shape, frontend)) },
    );
  }

  /** One problem for each frontend lost. @param owned what {@link owned} made of `asked` */
  conflicts(asked: readonly UnitShape[], owned: readonly UnitShape[] | undefined): ObjectProblem[] {
    const problems: ObjectProblem[] = [];
    for (const [i, shape] of asked.entries()) {
      if (shape === owned?.[i]) continue;
      for (const frontend of shape.frontends) {
        const owner = this.#claims.owner(frontendKey(shape, frontend));
        if (owner === undefined || owner.unitKey === shape.key) continue;
        const where =
          frontend.class === "node-port"
            ? `node port ${frontend.port}`
            : formatDestination(frontend.address + packPort(frontend.port));
        const isOwn = owner.service === `${shape.namespace}/${shape.service}`;
        const whose = isOwn ? "another port of this Service" : `the older Service ${owner.service}`;
        problems.push({
          object: { kind: "Service", namespace: shape.namespace, name: shape.service },
          reason: "FrontendConflict",
          field: frontend.field,
          message: `${where} belongs to ${whose}`,
        });
      }
    }
    return problems;
  }

  #owns(shape: UnitShape, frontend: Frontend): boolean {
    return this.#claims.owner(frontendKey(shape, frontend))?.unitKey === shape.key;
  }
}
