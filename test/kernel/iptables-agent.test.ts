/**
 * The agent in iptables mode as a program, in a network namespace, with both variants of the commands: services answer,
 * changes of mode lose no connection and leave nothing of the other mode, flushed rules come back, sessions stick, clean-up
 * removes what is ours alone.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Namespaces } from "./netns.ts";

const NODEPLANE = join(import.meta.dirname, "../../bin/nodeplane");
const ACCOUNTING = join(import.meta.dirname, "../../src/drivers/accounting/index.ts");
const NODE_PORT = 30_080;
/** Ours, as an administrator might have written it: it must survive everything. */
const FOREIGN = ["FORWARD", "-p", "tcp", "--dport", "4711", "-j", "DROP"];

function service(name: string, address: string, extra: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { clusterIP: address, ports: [{ name: "http", port: 80 }], ...extra },
  };
}

function slice(name: string, addresses: readonly string[]): object {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${name}-1`, namespace: "default", labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  };
}

async function until(what: string, done: () => boolean): Promise<void> {
  const endMs = Date.now() + 20_000;
  for (;;) {
    try {
      if (done()) return;
    } catch {
      // Not yet.
    }
    if (Date.now() > endMs) throw new Error(`timed out: ${what}`);
    await delay(50);
  }
}

for (const variant of ["legacy", "nft"] as const) {
  suite(`agent in iptables mode, ${variant} variant`, () => {
    const folder = mkdtempSync(join(tmpdir(), "nodeplane-ipt-"));
    const objects = join(folder, "objects");
    const namespaces = new Namespaces("ia");
    const env = { ...process.env, XTABLES_LOCKFILE: join(folder, "xtables.lock") };
    let agent: ChildProcess | undefined;

    const write = (name: string, object: object): void =>
      writeFileSync(join(objects, `${name}.json`), JSON.stringify(object));
    const run = (command: string, ...args: string[]): string => namespaces.run("node", command, ...args);
    const get = (url: string): string => run("curl", "-sS", "--max-time", "2", url);
    const saved = (): string => run(`iptables-${variant}-save`);
    const metric = (name: string): number =>
      Number(
        new RegExp(`^${name}\\{ip_family="IPv4"\\} (\\S+)$`, "m").exec(
          get("http://127.0.0.1:10249/metrics"),
        )?.[1],
      );

    const start = async (mode: string): Promise<void> => {
      agent = namespaces.spawn(
        "node",
        NODEPLANE,
        [
          "agent",
          ...["--objects", objects, "--node-name", "n1", `--proxy-mode=${mode}`],
          ...["--iptables-variant", variant, "--iptables-sync-period=1s", "--iptables-min-sync-period=50ms"],
          ...["--status-socket", join(folder, "agent.sock"), "--state-dir", join(folder, "state")],
          ...["--manifest-dir", ""],
        ],
        { stdio: ["ignore", "ignore", "ignore"], env },
      );
      await until("ready", () => get("http://127.0.0.1:10256/readyz").startsWith("ok"));
    };
    const stop = async (): Promise<void> => {
      const running = agent;
      agent = undefined;
      if (running === undefined || running.exitCode !== null) return;
      const ended = new Promise((resolve) => running.once("exit", resolve));
      running.kill("SIGTERM");
      await ended;
      assert.equal(running.exitCode, 0);
    };

    before(async () => {
      mkdirSync(objects);
      namespaces.add("node", "pod1", "pod2");
      for (const index of [1, 2]) {
        const pod = `pod${index}`;
        namespaces.batch([
          `link add v${index} netns ${namespaces.name("node")} type veth peer name eth0 netns ${namespaces.name(pod)}`,
        ]);
        namespaces.batch([`addr add 10.244.${index}.1/24 dev v${index}`, `link set v${index} up`], "node");
        namespaces.batch(
          [
            `addr add 10.244.${index}.2/24 dev eth0`,
            "link set eth0 up",
            `route add default via 10.244.${index}.1`,
          ],
          pod,
        );
        const server = `require("node:http").createServer((q, r) => r.end(${JSON.stringify(pod)})).listen(8080)`;
        namespaces.spawn(pod, process.execPath, ["-e", server], { stdio: "ignore" });
      }
      namespaces.batch(["route add default dev v1"], "node");
      run(`iptables-${variant}`, "-A", ...FOREIGN);
      write("web", service("web", "10.96.0.80"));
      write("web-slice", slice("web", ["10.244.1.2"]));
      const sticky = {
        sessionAffinity: "ClientIP",
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      };
      write("sticky", service("sticky", "10.96.0.81", sticky));
      write("sticky-slice", slice("sticky", ["10.244.1.2", "10.244.2.2"]));
      const port = { name: "http", port: 80, nodePort: NODE_PORT };
      write("open", service("open", "10.96.0.82", { type: "NodePort", ports: [port] }));
      write("open-slice", slice("open", ["10.244.2.2"]));
      await start("iptables");
    });

    after(async () => {
      await stop();
      namespaces.close();
      rmSync(folder, { recursive: true, force: true });
    });

    test("a service answers, and its change is followed", async () => {
      assert.equal(get("http://10.96.0.80/"), "pod1");
      assert.match(get("http://127.0.0.1:10249/proxyMode"), /^iptables$/);
      write("web-slice", slice("web", ["10.244.2.2"]));
      await until("the other endpoint", () => get("http://10.96.0.80/") === "pod2");
      const rules = /^kubeproxy_sync_proxy_rules_iptables_total\{ip_family="IPv4",table="nat"\} (\d+)$/m;
      const owned = saved()
        .split("*nat")[1]
        ?.split("COMMIT")[0]
        ?.match(/^-A KUBE-/gm)?.length;
      assert.equal(Number(rules.exec(get("http://127.0.0.1:10249/metrics"))?.[1]), owned);
      assert.match(saved(), /-A KUBE-SERVICES .*"default\/web:http cluster IP"/);
    });

    test("a client stays with its endpoint", () => {
      const answers = new Set(Array.from({ length: 12 }, () => get("http://10.96.0.81/")));
      assert.equal(answers.size, 1, [...answers].join(" "));
    });

    test("packets to node ports on loopback, and INVALID ones that were dropped, are counted", async () => {
      const count = (name: string): number =>
        Number(
          new RegExp(`^kubeproxy_iptables_${name}_packets_total (\\d+)$`, "m").exec(
            get("http://127.0.0.1:10249/metrics"),
          )?.[1],
        );
      assert.equal(count("localhost_nodeports_accepted"), 0);
      await until("the guard of loopback", () => get(`http://127.0.0.1:${NODE_PORT}/`) === "pod2");
      assert.ok(count("localhost_nodeports_accepted") >= 1);

      const before = count("ct_state_invalid_dropped");
      const client = `const s = require("node:net").connect(80, "10.96.0.82", () => {
        s.write("GET / HTTP/1.1\\r\\n");
        setInterval(() => s.write("X: y\\r\\n"), 50);
      }).on("error", () => {});`;
      const child = namespaces.spawn("pod1", process.execPath, ["-e", client], { stdio: "ignore" });
      await until("a connection", () => run("conntrack", "-L", "-d", "10.96.0.82").includes("ESTABLISHED"));
      // What is in the middle of a connection that nobody knows is INVALID then.
      run("sysctl", "-q", "-w", "net.netfilter.nf_conntrack_tcp_loose=0");
      run("conntrack", "-D", "-d", "10.96.0.82");
      await until("dropped packets", () => count("ct_state_invalid_dropped") > before);
      child.kill("SIGKILL");
    });

    test("flushed rules are back within a canary period, and counted", async () => {
      for (const table of ["mangle", "nat"]) {
        run(`iptables-${variant}`, "-w", "-t", table, "-F");
        run(`iptables-${variant}`, "-w", "-t", table, "-X");
      }
      await until("the rules", () => get("http://10.96.0.80/") === "pod2");
      assert.ok(metric("nodeplane_repairs_total") >= 1);
    });

    test("a restart leaves every rule in place", async () => {
      const before = saved().replaceAll(/^#.*\n|\[\d+:\d+\]/gm, "");
      await stop();
      assert.equal(get("http://10.96.0.80/"), "pod2", "rules work without the agent");
      await start("iptables");
      assert.equal(saved().replaceAll(/^#.*\n|\[\d+:\d+\]/gm, ""), before);
      assert.equal(metric("nodeplane_commits_total"), 0, "nothing had to be written");
      assert.equal(metric("nodeplane_adoptions_total"), 1);
    });

    test("changing the mode, there and back, loses no connection and leaves nothing of the other mode", async () => {
      const client = `
        const { connect } = require("node:net");
        let failed = 0, done = 0, isOver = false;
        const once = () => {
          if (isOver) return;
          const socket = connect(80, "10.96.0.80");
          socket.setTimeout(1500, () => socket.destroy(new Error("timeout")));
          socket.on("connect", () => { done++; socket.destroy(); setTimeout(once, 5); });
          socket.on("error", (e) => { failed++; process.stderr.write(e.message + "\\n"); setTimeout(once, 5); });
        };
        once();
        process.stdin.on("end", () => { isOver = true; console.log(JSON.stringify({ failed, done })); process.exit(); }).resume();`;
      const child = namespaces.spawn("node", process.execPath, ["-e", client], {
        stdio: ["pipe", "pipe", "pipe"],
      });
      let said = "";
      for (const stream of [child.stdout, child.stderr])
        stream?.on("data", (part: Buffer) => {
          said += part.toString();
        });
      const isKube = (): boolean => /KUBE-/.test(saved());
      const hasTable = (): boolean => run("nft", "list", "tables").includes("nodeplane");
      await stop();
      await start("nftables");
      await until("the chains are gone", () => !isKube());
      assert.equal(hasTable(), true);
      await stop();
      await start("iptables");
      await until("the table is gone", () => !hasTable());
      assert.equal(isKube(), true);
      const ended = new Promise((resolve) => child.once("close", resolve));
      child.stdin?.end();
      await ended;
      assert.match(said, /^\{"failed":0,"done":\d{2,}\}\n$/);
    });

    test("cleanup removes every chain of ours, and nothing else", async () => {
      await stop();
      const text = namespaces.run(
        "node",
        NODEPLANE,
        "cleanup",
        "--state-dir",
        join(folder, "state"),
        "--socket",
        join(folder, "agent.sock"),
      );
      assert.match(text, new RegExp(`iptables-${variant}: chains removed`));
      assert.doesNotMatch(saved(), /KUBE-/);
      assert.match(saved(), /-A FORWARD -p tcp -m tcp --dport 4711 -j DROP/);
      const counters = `import { LinuxAccounting } from ${JSON.stringify(ACCOUNTING)};
        console.log([...new LinuxAccounting().packets()].length);`;
      assert.equal(run(process.execPath, "--input-type=module", "-e", counters), "0\n");
    });
  });
}
