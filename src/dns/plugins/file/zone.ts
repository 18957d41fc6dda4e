/** Layer dns. A zone of records and how names are found in it: wildcards, aliases, delegations (RFC 1034 section 4.3.2, RFC 4592), DNAME (RFC 6672). */
import { RCODE, TYPE } from "../../../codec/dns/constants.ts";
import type { ResourceRecord } from "../../../codec/dns/message.ts";
import { isWithin, parentName, parseName } from "../../../codec/dns/name.ts";

export interface ZoneAnswer {
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
  readonly additionals: readonly ResourceRecord[];
  /** Where an alias leads outside the zone. */
  readonly leadsTo?: string;
}

const MAX_ALIASES = 10;
const NONE: readonly ResourceRecord[] = [];

export class Zone {
  readonly origin: string;
  readonly records: readonly ResourceRecord[];
  readonly soa: ResourceRecord;
  readonly #byName = new Map<string, ResourceRecord[]>();
  /** Names that exist, with those above them that have no records of their own. */
  readonly #names = new Set<string>();

  /** @param soa the zone's first record */
  constructor(origin: string, soa: ResourceRecord, records: readonly ResourceRecord[]) {
    this.origin = origin;
    this.soa = soa;
    this.records = records;
    for (const record of records) {
      const name = record.name.toLowerCase();
      const known = this.#byName.get(name);
      if (known === undefined) this.#byName.set(name, [record]);
      else known.push(record);
      for (let up = name; isWithin(up, origin) && !this.#names.has(up); up = parentName(up)) {
        this.#names.add(up);
        if (up === ".") break;
      }
    }
  }

  /** @param owner spelling of the question, for its answers */
  find(lowerName: string, type: number, owner: string): ZoneAnswer {
    const answers: ResourceRecord[] = [];
    let name = lowerName;
    let spelling = owner;
    for (let hop = 0; hop < MAX_ALIASES; hop++) {
      const referral = this.#delegation(name, type);
      if (referral !== undefined) return { ...referral, answers };
      const moved = this.#moved(name, spelling);
      if (moved !== undefined) {
        answers.push(moved.dname);
        if (moved.alias === undefined) return this.#negative(RCODE.YXDOMAIN, answers);
        answers.push(moved.alias);
        if (type === TYPE.CNAME) return this.#positive(answers);
        spelling = moved.target;
        name = spelling.toLowerCase();
        if (!isWithin(name, this.origin)) return { ...this.#positive(answers), leadsTo: spelling };
        continue;
      }
      const here = this.#at(name);
      if (here === undefined) return this.#negative(RCODE.NXDOMAIN, answers);
      const own = here.map((record) => ({ ...record, name: spelling }));
      const found = own.filter((record) => record.type === type || type === TYPE.ANY);
      const alias = own.find((record) => record.type === TYPE.CNAME);
      if (alias?.data.kind === "name" && type !== TYPE.CNAME && type !== TYPE.ANY) {
        answers.push(alias);
        spelling = alias.data.name;
        name = spelling.toLowerCase();
        if (!isWithin(name, this.origin)) return { ...this.#positive(answers), leadsTo: spelling };
        continue;
      }
      if (found.length === 0) return this.#negative(RCODE.NOERROR, answers);
      return this.#positive([...answers, ...found]);
    }
    return this.#negative(RCODE.SERVFAIL, answers);
  }

  /** A DNAME above the name, and the alias that follows from it; without one the new name would be too long (RFC 6672). */
  #moved(
    name: string,
    spelling: string,
  ):
    | { readonly dname: ResourceRecord; readonly alias: undefined }
    | { readonly dname: ResourceRecord; readonly alias: ResourceRecord; readonly target: string }
    | undefined {
    for (let up = name; up !== this.origin && isWithin(up, this.origin); ) {
      up = parentName(up);
      const dname = this.#byName.get(up)?.find((record) => record.type === TYPE.DNAME);
      if (dname?.data.kind !== "name") continue;
      const left = spelling.slice(0, spelling.length - up.length);
      const target = parseName(dname.data.name === "." ? left : `${left}${dname.data.name}`);
      if (target === undefined) return { dname, alias: undefined };
      const data = { kind: "name", name: target } as const;
      return { dname, target, alias: { ...dname, name: spelling, type: TYPE.CNAME, data } };
    }
    return undefined;
  }

  /** Records of a name or of the wildcard that stands for it; empty for a name that only has names below it. */
  #at(name: string): readonly ResourceRecord[] | undefined {
    const own = this.#byName.get(name);
    if (own !== undefined) return own;
    if (this.#names.has(name)) return NONE;
    let encloser = parentName(name);
    while (!this.#names.has(encloser) && isWithin(encloser, this.origin) && encloser !== ".") {
      encloser = parentName(encloser);
    }
    return this.#byName.get(encloser === "." ? "*." : `*.${encloser}`);
  }

  /** A cut between the zone and the name: who knows more, with the addresses that we have of them. */
  #delegation(name: string, type: number): Omit<ZoneAnswer, "answers"> | undefined {
    let cut: readonly ResourceRecord[] | undefined;
    for (let up = name; up !== this.origin && isWithin(up, this.origin); up = parentName(up)) {
      const servers = this.#byName.get(up)?.filter((record) => record.type === TYPE.NS) ?? NONE;
      // DS belongs to the zone above the cut.
      if (servers.length > 0 && !(type === TYPE.DS && up === name)) cut = servers;
    }
    if (cut === undefined) return undefined;
    return { rcode: RCODE.NOERROR, authoritative: false, authorities: cut, additionals: this.#glue(cut) };
  }

  #glue(records: readonly ResourceRecord[]): readonly ResourceRecord[] {
    const targets = records.flatMap(({ data }) =>
      data.kind === "name" || data.kind === "preference"
        ? [data.name]
        : data.kind === "srv"
          ? [data.target]
          : [],
    );
    return [...new Set(targets)].flatMap((target) =>
      (this.#byName.get(target.toLowerCase()) ?? NONE).filter(
        (record) => record.type === TYPE.A || record.type === TYPE.AAAA,
      ),
    );
  }

  #positive(answers: readonly ResourceRecord[]): ZoneAnswer {
    const additionals = this.#glue(answers.filter(({ type }) => type !== TYPE.CNAME && type !== TYPE.DNAME));
    return { rcode: RCODE.NOERROR, authoritative: true, answers, authorities: NONE, additionals };
  }

  #negative(rcode: number, answers: readonly ResourceRecord[]): ZoneAnswer {
    const { data } = this.soa;
    const ttl = data.kind === "soa" ? Math.min(this.soa.ttl, data.minimum) : this.soa.ttl;
    return { rcode, authoritative: true, answers, authorities: [{ ...this.soa, ttl }], additionals: NONE };
  }
}
