/**
 * The agent in iptables mode as a program, in a network namespace, with both variants of the commands: services answer,
 * changes of mode lose no connection and leave nothing of the other mode, flushed rules come back, sessions stick, clean-up
 * removes what is ours alone.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { AgentWorld, eventually, serviceManifest, sliceManifest } from "./agent-world.ts";

const ACCOUNTING = join(import.meta.dirname, "../../src/drivers/accounting/index.ts");
const NODE_PORT = 30_080;
/** Ours, as an administrator might have written it: it must survive everything. */
const FOREIGN = ["FORWARD", "-p", "tcp", "--dport", "4711", "-j", "DROP"];

/** Both variants have the same periods. */
const PERIODS = ["--iptables-sync-period=1s", "--iptables-min-sync-period=50ms"];

for (const variant of ["legacy", "nft"] as const) {
  suite(`agent in iptables mode, ${variant} variant`, () => {
    const options = ["--iptables-variant", variant, ...PERIODS];
    const world = new AgentWorld("ia", options, { XTABLES_LOCKFILE: "xtables.lock" });
    const start = (mode: string): Promise<void> => world.start(`--proxy-mode=${mode}`);
    const run = (command: string, ...args: string[]): string => world.run(command, ...args);
    const get = (url: string): string => world.get(url);
    const saved = (): string => run(`iptables-${variant}-save`);
    const metric = (name: string): number =>
      Number(new RegExp(`^${name}\\{ip_family="IPv4"\\} (\\S+)$`, "m").exec(world.metrics())?.[1]);

    before(async () => {
      world.connect();
      run(`iptables-${variant}`, "-A", ...FOREIGN);
      world.write("web", serviceManifest("web", "10.96.0.80"));
      world.write("web-slice", sliceManifest("web", ["10.244.1.2"]));
      const sticky = {
        sessionAffinity: "ClientIP",
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      };
      world.write("sticky", serviceManifest("sticky", "10.96.0.81", sticky));
      world.write("sticky-slice", sliceManifest("sticky", ["10.244.1.2", "10.244.2.2"]));
      const port = { name: "http", port: 80, nodePort: NODE_PORT };
      world.write("open", serviceManifest("open", "10.96.0.82", { type: "NodePort", ports: [port] }));
      world.write("open-slice", sliceManifest("open", ["10.244.2.2"]));
      await start("iptables");
    });

    after(() => world.close());

    test("a service answers, and its change is followed", async () => {
      assert.equal(get("http://10.96.0.80/"), "pod1");
      assert.match(get("http://127.0.0.1:10249/proxyMode"), /^iptables$/);
      world.write("web-slice", sliceManifest("web", ["10.244.2.2"]));
      await eventually("the other endpoint", () => get("http://10.96.0.80/") === "pod2");
      const rules = /^kubeproxy_sync_proxy_rules_iptables_total\{ip_family="IPv4",table="nat"\} (\d+)$/m;
      const owned = saved()
        .split("*nat")[1]
        ?.split("COMMIT")[0]
        ?.match(/^-A KUBE-/gm)?.length;
      assert.equal(Number(rules.exec(world.metrics())?.[1]), owned);
      assert.match(saved(), /-A KUBE-SERVICES .*"default\/web:http cluster IP"/);
    });

    test("a client stays with its endpoint", () => {
      const answers = new Set(Array.from({ length: 12 }, () => get("http://10.96.0.81/")));
      assert.equal(answers.size, 1, [...answers].join(" "));
    });

    test("packets to node ports on loopback, and INVALID ones that were dropped, are counted", async () => {
      const count = (name: string): number =>
        Number(
          new RegExp(`^kubeproxy_iptables_${name}_packets_total (\\d+)$`, "m").exec(world.metrics())?.[1],
        );
      assert.equal(count("localhost_nodeports_accepted"), 0);
      await eventually("the guard of loopback", () => get(`http://127.0.0.1:${NODE_PORT}/`) === "pod2");
      assert.ok(count("localhost_nodeports_accepted") >= 1);

      const before = count("ct_state_invalid_dropped");
      const client = `const s = require("node:net").connect(80, "10.96.0.82", () => {
        s.write("GET / HTTP/1.1\\r\\n");
        setInterval(() => s.write("X: y\\r\\n"), 50);
      }).on("error", () => {});`;
      const child = world.namespaces.spawn("pod1", process.execPath, ["-e", client], { stdio: "ignore" });
      await eventually("a connection", () =>
        run("conntrack", "-L", "-d", "10.96.0.82").includes("ESTABLISHED"),
      );
      // What is in the middle of a connection that nobody knows is INVALID then.
      run("sysctl", "-q", "-w", "net.netfilter.nf_conntrack_tcp_loose=0");
      run("conntrack", "-D", "-d", "10.96.0.82");
      await eventually("dropped packets", () => count("ct_state_invalid_dropped") > before);
      child.kill("SIGKILL");
    });

    test("flushed rules are back within a canary period, and counted", async () => {
      for (const table of ["mangle", "nat"]) {
        run(`iptables-${variant}`, "-w", "-t", table, "-F");
        run(`iptables-${variant}`, "-w", "-t", table, "-X");
      }
      await eventually("the rules", () => get("http://10.96.0.80/") === "pod2");
      assert.ok(metric("nodeplane_repairs_total") >= 1);
    });

    test("a restart leaves every rule in place", async () => {
      const before = saved().replaceAll(/^#.*\n|\[\d+:\d+\]/gm, "");
      await world.stop();
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
      const child = world.namespaces.spawn("node", process.execPath, ["-e", client], {
        stdio: ["pipe", "pipe", "pipe"],
      });
      let said = "";
      for (const stream of [child.stdout, child.stderr])
        stream?.on("data", (part: Buffer) => {
          said += part.toString();
        });
      const isKube = (): boolean => /KUBE-/.test(saved());
      const hasTable = (): boolean => run("nft", "list", "tables").includes("nodeplane");
      await world.stop();
      await start("nftables");
      await eventually("the chains are gone", () => !isKube());
      assert.equal(hasTable(), true);
      await world.stop();
      await start("iptables");
      await eventually("the table is gone", () => !hasTable());
      assert.equal(isKube(), true);
      const ended = new Promise((resolve) => child.once("close", resolve));
      child.stdin?.end();
      await ended;
      assert.match(said, /^\{"failed":0,"done":\d{2,}\}\n$/);
    });

    test("cleanup removes every chain of ours, and nothing else", async () => {
      await world.stop();
      const text = world.cleanup();
      assert.match(text, new RegExp(`iptables-${variant}: chains removed`));
      assert.doesNotMatch(saved(), /KUBE-/);
      assert.match(saved(), /-A FORWARD -p tcp -m tcp --dport 4711 -j DROP/);
      const counters = `import { LinuxAccounting } from ${JSON.stringify(ACCOUNTING)};
        console.log([...new LinuxAccounting().packets()].length);`;
      assert.equal(run(process.execPath, "--input-type=module", "-e", counters), "0\n");
    });
  });
}
