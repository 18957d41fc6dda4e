/** Layer control-plane. /healthz, /livez, /readyz with their single checks, and /version. */
import { VERSION } from "../../model/version.ts";
import type { JsonObject } from "../registry/json.ts";

/** Named claims; a check says what is wrong, or nothing. */
export type HealthChecks = Readonly<Record<string, () => string | undefined>>;

export interface HealthReport {
  readonly code: 200 | 500;
  readonly text: string;
}

/** @param path `/readyz` or `/readyz/NAME`. @returns `undefined` for a check that does not exist */
export function reportHealth(
  checks: HealthChecks,
  path: string,
  query: URLSearchParams,
): HealthReport | undefined {
  const [, endpoint = "", only] = path.split("/");
  const excluded = new Set(query.getAll("exclude"));
  const all = { ping: () => undefined, ...(endpoint === "livez" ? {} : checks) };
  const wanted = Object.entries(all).filter(([name]) =>
    only === undefined ? !excluded.has(name) : name === only,
  );
  if (only !== undefined && wanted.length === 0) return undefined;
  const results = wanted.map(([name, check]) => ({ name, problem: check() }));
  const failed = results.some(({ problem }) => problem !== undefined);
  if (!failed && !query.has("verbose")) return { code: 200, text: "ok" };
  const lines = results.map(({ name, problem }) =>
    problem === undefined ? `[+]${name} ok` : `[-]${name} failed: ${problem}`,
  );
  const end = `${endpoint} check ${failed ? "failed" : "passed"}\n`;
  return { code: failed ? 500 : 200, text: `${lines.join("\n")}\n${end}` };
}

/** The version of the API that is spoken, within what common clients expect; ours behind the plus. */
export const SERVER_VERSION: JsonObject = {
  major: "1",
  minor: "33",
  gitVersion: `v1.33.0+nodeplane-${VERSION}`,
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "1970-01-01T00:00:00Z",
  goVersion: "",
  compiler: "node",
  platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
};
