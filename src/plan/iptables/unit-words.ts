/** Layer plan. The words that the iptables rules of one service port are made of. Pure. */
import { unpackIp } from "../packed.ts";
import type { Frontend, Target, Unit, UnitShape } from "../unit.ts";
import { portLabel, protocolName, serviceHash } from "./names.ts";

export function comment(text: string): string {
  return `-m comment --comment "${text}"`;
}

/** What would end a comment, or the line, is not let in, wherever the object comes from. */
function plain(text: string): string {
  return text.replace(/[^!#-[\]-~]/g, "_");
}

export class UnitWords {
  readonly shape: UnitShape;
  /** How comments call it. */
  readonly label: string;
  /** Match of its protocol. */
  readonly protocol: string;
  /** The part of its chains' names behind the prefix. */
  readonly hash: string;

  constructor(shape: UnitShape) {
    this.shape = shape;
    this.label = plain(portLabel(shape));
    this.protocol = `-m ${protocolName(shape)} -p ${protocolName(shape)}`;
    this.hash = serviceHash(shape);
  }

  /** Match of what is sent to a frontend. */
  destination(frontend: Frontend): string {
    const port = `--dport ${frontend.port}`;
    if (frontend.class === "node-port") return `-m addrtype --dst-type LOCAL ${this.protocol} ${port}`;
    return `${this.protocol} -d ${unpackIp(frontend.address)} ${port}`;
  }

  /** The chain that leads to the endpoints of a side's traffic policy. */
  policyChain(side: "internal" | "external"): string {
    const policy = side === "internal" ? this.shape.internalPolicy : this.shape.externalPolicy;
    return `${policy === "Local" ? "KUBE-SVL-" : "KUBE-SVC-"}${this.hash}`;
  }
}

/** The frontends of a unit by whose traffic policy they obey, with where that leads. */
export function frontendsOf(unit: Unit): {
  readonly internals: readonly Frontend[];
  readonly externals: readonly Frontend[];
  readonly internalTargets: readonly Target[];
  readonly externalTargets: readonly Target[];
  /** Some external frontend looks at where its clients are. */
  readonly isFirewalled: boolean;
} {
  const { shape, cluster, local, hasAny } = unit;
  const externals = shape.frontends.filter((frontend) => frontend.class !== "internal");
  return {
    internals: shape.frontends.filter((frontend) => frontend.class === "internal"),
    externals,
    internalTargets: shape.internalPolicy === "Local" ? local : cluster,
    externalTargets: shape.externalPolicy === "Local" ? local : cluster,
    isFirewalled: hasAny && externals.some((frontend) => frontend.isGuarded),
  };
}
