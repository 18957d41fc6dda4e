/**
 * A real Prometheus (Debian's) with the configuration that users are given, in a lab of each mode: it scrapes agent, resolver
 * and control plane; kube-proxy's metrics arrive with the types, labels and buckets that docs/agent-metrics.md promises;
 * promtool finds nothing to say but what kube-proxy's own names bring.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";
import { CONTROL_PLANE } from "../../src/lab/addresses.ts";
import { at, listAt } from "../../src/lab/api-client.ts";
import { findTarget } from "../../src/lab/exec.ts";
import { enter } from "../../src/lab/namespaces.ts";
import { unpackDebian } from "./support/debian-package.ts";
import { TestLab } from "./support/test-lab.ts";

const ROOT = join(import.meta.dirname, "../..");
const LISTEN = "127.0.0.1:9090";
/** What promtool says of names that kube-proxy and kube-apiserver have given; dashboards ask for them. */
const KNOWN_COMPLAINTS: readonly RegExp[] = [
  /^kubeproxy_sync_proxy_rules_(no_local_endpoints|iptables)_total non-counter metrics should not have "_total" suffix$/,
];
const WEB = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "default" },
  spec: {
    selector: { app: "web" },
    ports: [
      { name: "http", protocol: "TCP", port: 80, targetPort: 8080 },
      { name: "talk", protocol: "UDP", port: 81, targetPort: 8080 },
    ],
  },
};

interface Promised {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  readonly buckets: readonly string[];
}

/** The upper limits of kube-proxy's buckets, as Prometheus writes them. */
const BUCKETS: Readonly<Record<string, readonly number[]>> = {
  A: Array.from({ length: 15 }, (_, k) => 0.001 * 2 ** k),
  B: [0.25, 0.5, ...range(1, 59, 1), ...range(60, 115, 5), ...range(120, 300, 30)],
};

function range(from: number, to: number, step: number): readonly number[] {
  return Array.from({ length: (to - from) / step + 1 }, (_, i) => from + i * step);
}

/** Rows of the table in docs/agent-metrics.md that a mode has. */
function promised(mode: string): readonly Promised[] {
  const text = readFileSync(join(ROOT, "docs/agent-metrics.md"), "utf8");
  const table = /<!-- kube-proxy metrics -->\n([^<]*)<!-- end -->/.exec(text)?.[1] ?? "";
  const rows = table.split("\n").flatMap((line) => {
    const cells = line.split("|").map((cell) => cell.trim());
    const [, name = "", type = "", labels = "", buckets = "", modes = ""] = cells;
    if (!name.startsWith("`") || (modes !== "all" && modes !== mode)) return [];
    const limits = BUCKETS[buckets]?.map((limit) => String(limit)) ?? [];
    return [
      {
        name: `kubeproxy_${name.replaceAll("`", "")}`,
        type,
        labels: labels === "" ? [] : labels.split(", "),
        buckets: limits.length === 0 ? [] : [...limits, "+Inf"],
      },
    ];
  });
  assert.ok(rows.length > 15, "the table in docs/agent-metrics.md was not found");
  return rows;
}

/** A folder with the users' configuration, its targets and certificates, scraping every half second. */
function configure(lab: TestLab): string {
  const folder = mkdtempSync(join(tmpdir(), "nodeplane-prometheus-"));
  cpSync(join(ROOT, "packaging/prometheus"), folder, { recursive: true });
  const file = join(folder, "prometheus.yml");
  writeFileSync(file, readFileSync(file, "utf8").replaceAll(": 15s", ": 500ms"));
  writeFileSync(join(folder, "nodes.yml"), '- targets: ["127.0.0.1"]\n');
  writeFileSync(join(folder, "control-plane.yml"), `- targets: ["${CONTROL_PLANE.v4}:6443"]\n`);
  mkdirSync(join(folder, "pki"));
  const config: unknown = parse(readFileSync(lab.lab.file("kubeconfig"), "utf8"));
  const keep = (name: string, ...path: readonly (string | number)[]) =>
    writeFileSync(join(folder, "pki", name), Buffer.from(String(at(config, ...path)), "base64"));
  keep("ca.crt", "clusters", 0, "cluster", "certificate-authority-data");
  keep("admin.crt", "users", 0, "user", "client-certificate-data");
  keep("admin.key", "users", 0, "user", "client-key-data");
  return folder;
}

for (const mode of ["nftables", "iptables"] as const) {
  suite(`Prometheus, ${mode} mode`, () => {
    let lab: TestLab;
    let folder = "";
    let bin = "";
    let prometheus: ChildProcess | undefined;
    let said = "";

    before(async () => {
      bin = join(await unpackDebian("prometheus", "usr/bin/promtool"), "usr/bin");
      lab = await TestLab.up({ nodes: 1, mode });
      folder = configure(lab);
      const argv = enter(findTarget(lab.lab, lab.record, "node1"), [
        join(bin, "prometheus"),
        `--config.file=${join(folder, "prometheus.yml")}`,
        `--storage.tsdb.path=${join(folder, "data")}`,
        `--web.listen-address=${LISTEN}`,
      ]);
      const [command = "", ...args] = argv;
      prometheus = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
      prometheus.stderr?.setEncoding("utf8").on("data", (text: string) => {
        said = (said + text).slice(-4000);
      });
      await lab.pod("web-1", "node1", { app: "web" });
      await lab.apply("/api/v1/namespaces/default/services", WEB);
    });
    after(async () => {
      if (prometheus?.exitCode === null) {
        const ended = new Promise((resolve) => prometheus?.once("exit", resolve));
        prometheus.kill("SIGKILL");
        await ended;
      }
      await lab?.down();
      rmSync(folder, { recursive: true, force: true });
    });

    /** The `data` of an answer of Prometheus' API; undefined while it does not answer. */
    const ask = async (path: string, parameters: Readonly<Record<string, string>> = {}): Promise<unknown> => {
      const query = new URLSearchParams(parameters).toString();
      const { stdout } = await lab.sh(
        "node1",
        `curl -s --max-time 5 'http://${LISTEN}/api/v1/${path}?${query}'`,
      );
      return stdout.startsWith("{") ? at(JSON.parse(stdout), "data") : undefined;
    };
    const eventually = async (what: string, check: () => Promise<boolean>): Promise<void> => {
      const deadline = Date.now() + 60_000;
      while (!(await check())) {
        if (Date.now() > deadline) throw new Error(`not within a minute: ${what}\n${said}`);
        await sleep(300);
      }
    };
    const values = async (query: string): Promise<ReadonlyMap<string, number>> => {
      const results = listAt(await ask("query", { query }), "result");
      return new Map(
        results.map((item) => [String(at(item, "metric", "job")), Number(at(item, "value", 1))] as const),
      );
    };
    const series = async (name: string): Promise<readonly Readonly<Record<string, string>>[]> =>
      ((await ask("series", { "match[]": name })) ?? []) as readonly Readonly<Record<string, string>>[];

    test("promtool accepts configuration, alerts and metrics", async () => {
      const check = (what: string, input: string, ...args: readonly string[]): string => {
        const result = spawnSync(join(bin, "promtool"), ["check", what, ...args], {
          input,
          encoding: "utf8",
        });
        assert.equal(result.error, undefined);
        if (what !== "metrics") assert.equal(result.status, 0, result.stdout + result.stderr);
        return result.stdout + result.stderr;
      };
      check(
        "config",
        "",
        join(ROOT, "packaging/prometheus/prometheus.yml").replace(join(ROOT, "packaging/prometheus"), folder),
      );
      check("rules", "", join(ROOT, "packaging/prometheus/nodeplane-alerts.yml"));
      const tls = ["ca.crt", "admin.crt", "admin.key"].map((name) => join(folder, "pki", name));
      const sources = [
        "http://127.0.0.1:10249/metrics",
        "http://127.0.0.1:9153/metrics",
        `--cacert ${tls[0]} --cert ${tls[1]} --key ${tls[2]} https://${CONTROL_PLANE.v4}:6443/metrics`,
      ];
      for (const source of sources) {
        const { stdout } = await lab.sh("node1", `curl -sf ${source}`);
        assert.match(stdout, /^# TYPE /m, source);
        const complaints = check("metrics", stdout)
          .split("\n")
          .filter((line) => line !== "" && !KNOWN_COMPLAINTS.some((known) => known.test(line)));
        assert.deepEqual(complaints, [], source);
      }
    });

    test("all three programs are scraped, and what happens is seen", async () => {
      await eventually("three targets are up", async () => {
        const up = await values("up");
        return up.size === 3 && [...up.values()].every((value) => value === 1);
      });
      const before =
        (await values("kubeproxy_sync_proxy_rules_service_changes_total")).get("kube-proxy") ?? -1;
      assert.ok(before >= 0);
      await lab.apply("/api/v1/namespaces/default/services", {
        ...WEB,
        metadata: { name: "other", namespace: "default" },
      });
      await eventually("a change is counted", async () => {
        const now = (await values("kubeproxy_sync_proxy_rules_service_changes_total")).get("kube-proxy") ?? 0;
        return now > before;
      });
      await lab.sh("node1", "dig +short web.default.svc.cluster.local @10.96.0.10");
      await eventually("a query is counted", async () => {
        const asked = await values('sum by (job) (coredns_dns_requests_total{type="A"})');
        return (asked.get("coredns") ?? 0) > 0;
      });
      assert.ok(((await values("sum by (job) (apiserver_request_total)")).get("apiserver") ?? 0) > 0);
    });

    test("kube-proxy's metrics have the types, labels and buckets of the table in the documentation", async () => {
      for (const path of ["healthz", "livez"])
        await lab.sh("node1", `curl -s http://127.0.0.1:10256/${path}`);
      const rows = promised(mode);
      const shownAs = ({ name, type }: Promised) => (type === "histogram" ? `${name}_bucket` : name);
      await eventually("every metric has arrived", async () => {
        for (const row of rows) if ((await series(shownAs(row))).length === 0) return false;
        return true;
      }).catch(async (error: unknown) => {
        const missing: string[] = [];
        for (const row of rows) if ((await series(shownAs(row))).length === 0) missing.push(row.name);
        throw new Error(`missing: ${missing.join(", ")}`, { cause: error });
      });
      const metadata = await ask("metadata");
      for (const row of rows) {
        assert.equal(at(metadata, row.name, 0, "type"), row.type, row.name);
        const found = await series(shownAs(row));
        for (const labels of found) {
          const own = Object.keys(labels).filter(
            (name) => !["__name__", "instance", "job", "le"].includes(name),
          );
          assert.deepEqual(own.toSorted(), [...row.labels].toSorted(), row.name);
        }
        const limits = new Set(found.flatMap(({ le }) => (le === undefined ? [] : [le])));
        assert.deepEqual([...limits].sort(), [...row.buckets].sort(), row.name);
      }
      const all = ((await ask("label/__name__/values")) ?? []) as readonly string[];
      const known = new Set(
        rows.flatMap(({ name }) => [name, ...["bucket", "sum", "count"].map((end) => `${name}_${end}`)]),
      );
      const others = all.filter((name) => name.startsWith("kubeproxy_") && !known.has(name));
      assert.deepEqual(others, [], "metrics that the table does not have");
    });

    test("alerts are loaded, and none fires where all is well", async () => {
      const rules = listAt(await ask("rules"), "groups", 0, "rules");
      assert.ok(rules.length >= 6);
      await eventually("every rule was looked at", async () => {
        const seen = listAt(await ask("rules"), "groups", 0, "rules");
        return seen.length > 0 && seen.every((rule) => at(rule, "health") === "ok");
      });
      const firing = listAt(await ask("alerts"), "alerts").filter((alert) => at(alert, "state") === "firing");
      assert.deepEqual(firing, []);
    });
  });
}
