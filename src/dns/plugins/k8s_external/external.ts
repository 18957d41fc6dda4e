/**
 * Layer dns. The `k8s_external` plugin: services by the addresses that the outside reaches them with (externalIPs and those
 * of the load balancer), as `SERVICE.NAMESPACE.ZONE`. Uses the view of the block's `kubernetes` plugin.
 */
import { CLASS, RCODE, TYPE } from "../../../codec/dns/constants.ts";
import type { ResourceRecord } from "../../../codec/dns/message.ts";
import { isWithin, longestZone } from "../../../codec/dns/name.ts";
import { NEXT, type Outcome, type Plugin, type SetupContext } from "../../plugin.ts";
import { type DnsQuery, record, replyTo } from "../../query.ts";
import { soaRecord } from "../kubernetes/apex.ts";
import { ClusterView } from "../kubernetes/cluster-view.ts";
import { type Asked, type Finding, MISSING, NODATA } from "../kubernetes/finding.ts";
import { KubernetesPlugin } from "../kubernetes/kubernetes.ts";
import { addressRecords } from "../kubernetes/records.ts";
import { findInService } from "../kubernetes/service-names.ts";

export interface ExternalOptions {
  readonly zones: readonly string[];
  /** Label of the server's own names: `ns1.APEX.ZONE`. */
  readonly apex: string;
  readonly ttlSeconds: number;
  readonly hasHeadless: boolean;
  readonly fallthrough?: readonly string[];
}

export class ExternalPlugin implements Plugin {
  readonly name = "k8s_external";
  readonly #options: ExternalOptions;
  readonly #context: SetupContext;
  #view: ClusterView | undefined;

  constructor(options: ExternalOptions, context: SetupContext) {
    this.#options = options;
    this.#context = context;
  }

  handle(query: DnsQuery): Outcome | Promise<Outcome> {
    const zone = longestZone(query.lowerName, this.#options.zones);
    const view = this.#clusterView();
    if (zone === undefined || query.class !== CLASS.IN || view === undefined) return NEXT;
    const asked: Asked = {
      owner: query.name,
      name: query.lowerName,
      type: query.type,
      zone,
      zoneSpelling: query.name.slice(query.name.length - zone.length),
    };
    const finding = this.#find(view, asked);
    const authorities = [this.#soa(view, asked)];
    switch (finding.kind) {
      case "missing":
        if (!this.#context.runtime.cluster.synced)
          return this.#answer(query, { rcode: RCODE.SERVFAIL, authorities });
        if (this.#options.fallthrough?.some((from) => isWithin(asked.name, from)) === true) return NEXT;
        return this.#answer(query, { rcode: RCODE.NXDOMAIN, authoritative: true, authorities });
      case "alias": {
        const data = { kind: "name", name: finding.target } as const;
        const answers = [record(query.name, TYPE.CNAME, this.#options.ttlSeconds, data)];
        return this.#answer(query, { authoritative: true, answers });
      }
      case "exists":
        return this.#answer(query, {
          authoritative: true,
          answers: finding.answers,
          additionals: finding.additionals ?? [],
          ...(finding.answers.length === 0 ? { authorities } : {}),
        });
    }
  }

  /** The cluster as the block's kubernetes plugin shows it, with our TTL. */
  #clusterView(): ClusterView | undefined {
    if (this.#view !== undefined) return this.#view;
    const plugin = this.#context.plugins().find((other) => other instanceof KubernetesPlugin);
    if (plugin === undefined) return undefined;
    const options = { ...plugin.options, ttlSeconds: this.#options.ttlSeconds, ignoreEmptyService: false };
    this.#view = new ClusterView(this.#context.runtime.cluster, options);
    return this.#view;
  }

  #find(view: ClusterView, asked: Asked): Finding {
    if (asked.name === asked.zone) return this.#apex(view, asked);
    const rest = asked.name.slice(0, asked.name.length - asked.zone.length - 1);
    const namespaceDot = rest.lastIndexOf(".");
    const namespace = rest.slice(namespaceDot + 1);
    if (namespace === this.#options.apex) return this.#ownName(asked, rest);
    if (namespaceDot < 0) return view.hasNamespace(namespace) ? NODATA : MISSING;
    const serviceDot = rest.lastIndexOf(".", namespaceDot - 1);
    const entry = view.service(rest.slice(serviceDot + 1));
    if (entry === undefined || entry.service.kind === "external-name") return MISSING;
    const isHeadless = entry.service.kind === "headless";
    const addresses = entry.service.externalIPs;
    const below = serviceDot < 0 ? "" : rest.slice(0, serviceDot);
    if (!isHeadless && addresses.length === 0) {
      const { ingressHostname } = entry.service;
      return ingressHostname === "" || below !== ""
        ? MISSING
        : { kind: "alias", target: `${ingressHostname}.` };
    }
    if (isHeadless && !this.#options.hasHeadless) return MISSING;
    // Endpoints of a service with addresses of its own are not reachable from outside.
    if (!isHeadless && below !== "" && !below.includes("_")) return MISSING;
    const serviceName = `${entry.name}.${entry.namespace}.${asked.zoneSpelling}`;
    return findInService({ view, asked, entry, addresses, serviceName }, below);
  }

  #apex(view: ClusterView, asked: Asked): Finding {
    if (asked.type === TYPE.SOA) return { kind: "exists", answers: [this.#soa(view, asked)] };
    if (asked.type !== TYPE.NS) return NODATA;
    const name = `ns1.${this.#options.apex}.${asked.zoneSpelling}`;
    const ttl = this.#options.ttlSeconds;
    return {
      kind: "exists",
      answers: [record(asked.owner, TYPE.NS, ttl, { kind: "name", name })],
      additionals: [TYPE.A, TYPE.AAAA].flatMap((type) => this.#ownAddresses(name, type)),
    };
  }

  #ownName(asked: Asked, rest: string): Finding {
    if (rest === this.#options.apex) return NODATA;
    if (rest !== `ns1.${this.#options.apex}`) return MISSING;
    return { kind: "exists", answers: this.#ownAddresses(asked.owner, asked.type) };
  }

  #ownAddresses(owner: string, type: number): readonly ResourceRecord[] {
    return addressRecords(owner, type, this.#options.ttlSeconds, this.#context.runtime.localAddresses());
  }

  #soa(view: ClusterView, asked: Asked): ResourceRecord {
    const soa = soaRecord(view, asked.zoneSpelling);
    if (soa.data.kind !== "soa") return soa;
    const suffix = `${this.#options.apex}.${asked.zoneSpelling}`;
    return { ...soa, data: { ...soa.data, primary: `ns1.${suffix}`, mailbox: `hostmaster.${suffix}` } };
  }

  #answer(query: DnsQuery, parts: Parameters<typeof replyTo>[1]): Outcome {
    return { kind: "answer", message: replyTo(query, parts), by: this.name };
  }
}
