/** Starts what Corefile cases ask: the upstream, our resolver, and another one beside it where its program is given. */
import { type ResolverProcess, startResolver } from "../dns-cases/resolver-process.ts";
import { askText } from "./ask.ts";
import type { CorefileCase } from "./corefile-case.ts";
import { UPSTREAM_ZONES } from "./zone-texts.ts";

/** The zones of the cases, served by our own `file` plugin. */
export async function startUpstream(): Promise<ResolverProcess> {
  const zones = Object.entries(UPSTREAM_ZONES);
  const blocks = zones.map(([zone], i) => `${zone}:{PORT} {\n file zone${i}\n}\n`);
  const files = Object.fromEntries(zones.map(([zone, text], i) => [`zone${i}`, `$ORIGIN ${zone}.\n${text}`]));
  const rest = ".:{PORT} {\n template ANY ANY {\n rcode NXDOMAIN\n }\n}\n";
  return await startResolver(blocks.join("") + rest, [], { files });
}

/** @param peer path of CoreDNS; ours without one */
export async function startCase(
  entry: CorefileCase,
  upstream: number,
  peer?: string,
): Promise<ResolverProcess> {
  const fill = (text: string): string => text.replaceAll("{UP}", `127.0.0.1:${upstream}`);
  const files = Object.entries(entry.files ?? {}).map(([name, text]) => [name, fill(text)] as const);
  return await startResolver(fill(entry.corefile), [], { files: Object.fromEntries(files), peer });
}

/** Every question in its order, as `question` and what came. */
export async function play(entry: CorefileCase, port: number): Promise<readonly string[]> {
  const texts: string[] = [];
  for (const question of entry.questions) texts.push(await askText(question, port));
  return texts;
}
