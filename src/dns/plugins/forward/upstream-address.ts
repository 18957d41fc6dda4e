/** Layer dns. Where `forward` sends queries: `IP`, `IP:PORT`, `dns://…`, `tls://IP[%NAME][:PORT]`, or a resolv.conf file. */
import { readFileSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { type IpAddress, parseIp } from "../../../model/ip.ts";

export interface UpstreamAddress {
  readonly transport: "dns" | "tls";
  readonly address: IpAddress;
  readonly port: number;
  /** Zone of a link-local address (`eth0`), else empty. */
  readonly scope: string;
  /** Name that the certificate must carry, with `tls://IP%NAME`. */
  readonly serverName: string;
}

export type ParsedUpstreams =
  | { readonly kind: "upstreams"; readonly upstreams: readonly UpstreamAddress[] }
  | { readonly kind: "bad"; readonly reason: string };

const PORTS = { dns: 53, tls: 853 } as const;

/** @param folder relative file names start there */
export function parseUpstreams(text: string, folder: string): ParsedUpstreams {
  const match = /^(?:([a-z0-9]+):\/\/)?(.+)$/.exec(text);
  const scheme = match?.[1] ?? "dns";
  if (scheme !== "dns" && scheme !== "tls") {
    return { kind: "bad", reason: `${scheme}:// is not supported; allowed: dns://, tls://` };
  }
  const rest = match?.[2] ?? "";
  const single = parseOne(rest, scheme);
  if (single !== undefined) return { kind: "upstreams", upstreams: [single] };
  if (match?.[1] === undefined && (rest.includes("/") || rest.includes(".")))
    return readResolvConf(rest, folder);
  return {
    kind: "bad",
    reason: `"${text}" is no address; allowed: IP[:PORT], [IPV6]:PORT, a resolv.conf file`,
  };
}

function parseOne(text: string, transport: "dns" | "tls"): UpstreamAddress | undefined {
  const bracketed = /^\[([^\]%]+)(?:%([^\]]+))?\](?::(\d{1,5}))?$/.exec(text);
  const v4 = /^([\d.]+)(?:%([^:]+))?(?::(\d{1,5}))?$/.exec(text);
  const v6 = /^([0-9a-fA-F:]+:[0-9a-fA-F:.]*)(?:%(.+))?$/.exec(text);
  const found = bracketed ?? v4 ?? v6;
  const address = parseIp(found?.[1] ?? "");
  if (found === null || address === undefined) return undefined;
  const port = found[3] === undefined ? PORTS[transport] : Number(found[3]);
  if (port < 1 || port > 65_535) return undefined;
  const suffix = found[2] ?? "";
  const isTls = transport === "tls";
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
    : { kind: "upstreams", upstreams };
}

/** As metrics and messages show it: `10.0.0.1:53`, `[::1]:53`. */
export function formatUpstream(upstream: UpstreamAddress): string {
  const { address, port } = upstream;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
