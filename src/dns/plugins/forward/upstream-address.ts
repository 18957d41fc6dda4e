/**
 * Layer dns. Where `forward` sends queries: `IP`, `IP:PORT`, `dns://…`, `tls://IP[%NAME][:PORT]`, `https://…`, a host name in the
 * place of the address, or a resolv.conf file.
 */
import { existsSync, readFileSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { parseName } from "../../../codec/dns/name.ts";
import { type IpAddress, parseIp } from "../../../model/ip.ts";

export type UpstreamTransport = "dns" | "tls" | "https";

export interface UpstreamAddress {
  readonly transport: UpstreamTransport;
  readonly address: IpAddress;
  readonly port: number;
  /** Zone of a link-local address (`eth0`), else empty. */
  readonly scope: string;
  /** Name that the certificate must carry, with `tls://IP%NAME` or where a host name stood. */
  readonly serverName: string;
}

/** An upstream whose address is looked up at start. */
export interface UpstreamHost {
  readonly name: string;
  readonly rest: Omit<UpstreamAddress, "address">;
}

export type ParsedUpstreams =
  | {
      readonly kind: "upstreams";
      readonly addresses: readonly UpstreamAddress[];
      readonly hosts: readonly UpstreamHost[];
    }
  | { readonly kind: "bad"; readonly reason: string };

const PORTS = { dns: 53, tls: 853, https: 443 } as const;
const HOST = /^([A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?\.?)(?::(\d{1,5}))?$/;

/** @param folder relative file names start there */
export function parseUpstreams(text: string, folder: string): ParsedUpstreams {
  const match = /^(?:([a-z0-9]+):\/\/)?(.+)$/.exec(text);
  const scheme = match?.[1] ?? "dns";
  if (scheme !== "dns" && scheme !== "tls" && scheme !== "https") {
    return { kind: "bad", reason: `${scheme}:// is not supported; allowed: dns://, tls://, https://` };
  }
  // The path of `https://` is fixed; some write it.
  const rest = scheme === "https" ? (match?.[2] ?? "").replace(/\/dns-query$/, "") : (match?.[2] ?? "");
  const single = parseOne(rest, scheme);
  if (single !== undefined) return { kind: "upstreams", addresses: [single], hosts: [] };
  if (match?.[1] === undefined && (rest.includes("/") || existsSync(resolve(folder, rest))))
    return readResolvConf(rest, folder);
  const host = parseHost(rest, scheme);
  if (host !== undefined) return { kind: "upstreams", addresses: [], hosts: [host] };
  return {
    kind: "bad",
    reason: `"${text}" is no upstream; allowed: IP[:PORT], [IPV6]:PORT, HOST[:PORT], a resolv.conf file`,
  };
}

function parseHost(text: string, transport: UpstreamTransport): UpstreamHost | undefined {
  const [, name = "", digits] = HOST.exec(text) ?? [];
  const port = digits === undefined ? PORTS[transport] : Number(digits);
  // A last label of digits alone is a mistyped address.
  if (name === "" || parseName(name) === undefined || /(^|\.)\d+\.?$/.test(name)) return undefined;
  if (port < 1 || port > 65_535) return undefined;
  const serverName = transport === "dns" ? "" : name.replace(/\.$/, "");
  return { name, rest: { transport, port, scope: "", serverName } };
}

function parseOne(text: string, transport: UpstreamTransport): UpstreamAddress | undefined {
  const bracketed = /^\[([^\]%]+)(?:%([^\]]+))?\](?::(\d{1,5}))?$/.exec(text);
  const v4 = /^([\d.]+)(?:%([^:]+))?(?::(\d{1,5}))?$/.exec(text);
  const v6 = /^([0-9a-fA-F:]+:[0-9a-fA-F:.]*)(?:%(.+))?$/.exec(text);
  const found = bracketed ?? v4 ?? v6;
  const address = parseIp(found?.[1] ?? "");
  if (found === null || address === undefined) return undefined;
  const port = found[3] === undefined ? PORTS[transport] : Number(found[3]);
  if (port < 1 || port > 65_535) return undefined;
  const suffix = found[2] ?? "";
  const isTls = transport !== "dns";
  return { transport, address, port, scope: isTls ? "" : suffix, serverName: isTls ? suffix : "" };
}

function readResolvConf(path: string, folder: string): ParsedUpstreams {
  const file = isAbsolute(path) ? path : resolve(folder, path);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    return { kind: "bad", reason: error instanceof Error ? error.message : `cannot read ${file}` };
  }
  const upstreams = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].flatMap((match) => {
    const server = match[1] ?? "";
    const parsed = parseOne(server.includes(":") ? `[${server}]` : server, "dns");
    return parsed === undefined ? [] : [parsed];
  });
  return upstreams.length === 0
    ? { kind: "bad", reason: `${file} names no nameserver` }
    : { kind: "upstreams", addresses: upstreams, hosts: [] };
}

/** As metrics and messages show it: `10.0.0.1:53`, `[::1]:53`. */
export function formatUpstream(upstream: UpstreamAddress): string {
  const { address, port } = upstream;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
