/**
 * Layer dns. The `kubernetes` plugin: names of the cluster from the state that the feed keeps. Right by RFC where CoreDNS
 * is not (docs/dns.md lists the differences); a name that may yet come is SERVFAIL, never NXDOMAIN.
 */
import { CLASS, RCODE, TYPE } from "../../../codec/dns/constants.ts";
import type { ResourceRecord } from "../../../codec/dns/message.ts";
import { isWithin, longestZone } from "../../../codec/dns/name.ts";
import { NEXT, type Outcome, type Plugin, whenDone } from "../../plugin.ts";
import { type DnsQuery, record, replyTo } from "../../query.ts";
import type { Runtime } from "../../runtime.ts";
import { nameServers, nsRecords, soaRecord } from "./apex.ts";
import { ClusterView } from "./cluster-view.ts";
import { type Asked, type Finding, MISSING, NODATA } from "./finding.ts";
import { isReverseZone, type KubernetesOptions } from "./options.ts";
import { findPodName } from "./pod-names.ts";
import { addressRecords } from "./records.ts";
import { findReverseName } from "./reverse-names.ts";
import { findServiceName } from "./service-names.ts";
import { zoneRecords } from "./zone-records.ts";

const SCHEMA_VERSION = "1.1.0";
const SCHEMA_VERSION_TTL_SECONDS = 28_800;

export class KubernetesPlugin implements Plugin {
  readonly name = "kubernetes";
  readonly options: KubernetesOptions;
  readonly view: ClusterView;
  readonly #runtime: Runtime;

  constructor(options: KubernetesOptions, runtime: Runtime) {
    this.options = options;
    this.#runtime = runtime;
    this.view = new ClusterView(runtime.cluster, options);
  }

  handle(query: DnsQuery): Outcome | Promise<Outcome> {
    const zone = longestZone(query.lowerName, this.options.zones);
    if (zone === undefined) return NEXT;
    if (query.class !== CLASS.IN || query.type === TYPE.AXFR || query.type === TYPE.IXFR) {
      return this.#answer(query, { rcode: RCODE.REFUSED });
    }
    const asked: Asked = {
      owner: query.name,
      name: query.lowerName,
      type: query.type,
      zone,
      zoneSpelling: query.name.slice(query.name.length - zone.length),
    };
    const finding = this.find(asked);
    switch (finding.kind) {
      case "missing":
        return this.#missing(query, asked);
      case "alias":
        return this.#alias(query, finding.target);
      case "exists":
        return this.#answer(query, {
          authoritative: true,
          answers: finding.answers,
          ...(finding.additionals === undefined ? {} : { additionals: finding.additionals }),
          ...(finding.answers.length === 0 ? { authorities: [this.#soa(asked)] } : {}),
        });
    }
  }

  /** All records of a forward zone of ours for a zone transfer, SOA first and last. */
  transfer(zone: string): readonly ResourceRecord[] | undefined {
    if (!this.options.zones.includes(zone) || isReverseZone(zone) || !this.#runtime.cluster.synced)
      return undefined;
    const servers = nameServers(this.view, zone, this.#runtime.localAddresses());
    return zoneRecords(this.view, zone, servers);
  }

  /** What the name is, whatever becomes of it: the same for the native engine. */
  find(asked: Asked): Finding {
    if (asked.name === asked.zone) return this.#apex(asked);
    if (isReverseZone(asked.zone)) return findReverseName(this.view, asked);
    const end = asked.zone === "." ? asked.name.length - 1 : asked.name.length - asked.zone.length - 1;
    const dot = asked.name.lastIndexOf(".", end - 1);
    const rest = dot < 0 ? "" : asked.name.slice(0, dot);
    switch (asked.name.slice(dot + 1, end)) {
      case "svc":
        return findServiceName(this.view, asked, rest);
      case "pod":
        return findPodName(this.view, asked, rest);
      case "dns":
        return this.#ownName(asked, rest);
      case "dns-version":
        return rest === "" ? versionFinding(asked) : MISSING;
      default:
        return MISSING;
    }
  }

  #apex(asked: Asked): Finding {
    if (asked.type === TYPE.SOA) return { kind: "exists", answers: [this.#soa(asked)] };
    if (asked.type !== TYPE.NS) return NODATA;
    const zone = isReverseZone(asked.zone) ? this.options.primaryZone : asked.zoneSpelling;
    const servers = nameServers(this.view, zone, this.#runtime.localAddresses());
    return { kind: "exists", ...nsRecords(asked.owner, this.options.ttlSeconds, servers) };
  }

  /** `ns.dns.ZONE`, and `dns.ZONE` above it. */
  #ownName(asked: Asked, rest: string): Finding {
    if (rest === "") return NODATA;
    if (rest !== "ns") return MISSING;
    const servers = nameServers(this.view, asked.zoneSpelling, this.#runtime.localAddresses());
    const addresses = servers.map((server) => server.address);
    return {
      kind: "exists",
      answers: addressRecords(asked.owner, asked.type, this.options.ttlSeconds, addresses),
    };
  }

  #missing(query: DnsQuery, asked: Asked): Outcome {
    if (!this.#runtime.cluster.synced) {
      return this.#answer(query, { rcode: RCODE.SERVFAIL, authorities: [this.#soa(asked)] });
    }
    if (this.options.fallthrough?.some((zone) => isWithin(asked.name, zone)) === true) return NEXT;
    return this.#answer(query, {
      rcode: RCODE.NXDOMAIN,
      authoritative: true,
      authorities: [this.#soa(asked)],
    });
  }

  /** CNAME, and what the whole server says about its target. Its rcode is that of the last name (RFC 6604). */
  #alias(query: DnsQuery, target: string): Outcome | Promise<Outcome> {
    const cname = record(query.name, TYPE.CNAME, this.options.ttlSeconds, { kind: "name", name: target });
    if (query.type === TYPE.CNAME || query.type === TYPE.ANY) {
      return this.#answer(query, { authoritative: true, answers: [cname] });
    }
    return whenDone(query.resolve(query, target, query.type), (outcome): Outcome => {
      if (outcome.kind === "answer" && outcome.message.rcode !== RCODE.REFUSED) {
        const { message } = outcome;
        return this.#answer(query, {
          authoritative: true,
          rcode: message.rcode,
          truncated: message.truncated,
          answers: [cname, ...message.answers],
          authorities: message.authorities,
        });
      }
      // Nobody here resolves foreign names: the alias is all we know, as an authoritative server says it.
      if (outcome.kind !== "failed" || outcome.by === "") {
        return this.#answer(query, { authoritative: true, answers: [cname] });
      }
      return outcome;
    });
  }

  #soa(asked: Asked): ReturnType<typeof soaRecord> {
    return soaRecord(this.view, asked.zoneSpelling);
  }

  #answer(query: DnsQuery, parts: Parameters<typeof replyTo>[1]): Outcome {
    return { kind: "answer", message: replyTo(query, parts), by: this.name };
  }
}

function versionFinding(asked: Asked): Finding {
  if (asked.type !== TYPE.TXT) return NODATA;
  const data = { kind: "texts", texts: [SCHEMA_VERSION] } as const;
  return { kind: "exists", answers: [record(asked.owner, TYPE.TXT, SCHEMA_VERSION_TTL_SECONDS, data)] };
}
