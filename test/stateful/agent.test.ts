/**
 * The cases of packet-cases.yaml about what the agent writes and leaves, by their ids. NODEPLANE_TEST_MODE and
 * NODEPLANE_TEST_VARIANT choose the mode.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { after, before, beforeEach, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { FixtureService } from "../packet-cases/case-file.ts";
import { eventually, modeUnderTest, Scene, variantUnderTest, withEndpoints } from "../packet-cases/scene.ts";

const EXECUTABLE = join(import.meta.dirname, "../../bin/nodeplane");
const MODE = modeUnderTest();
/** The command of the variant under test that shows IPv4 rules. */
const SAVE = variantUnderTest() === undefined ? "iptables-save" : `iptables-${variantUnderTest()}-save`;
/** A rule that somebody else has. */
const FOREIGN =
  "table ip somebody {\nchain input {\ntype filter hook input priority 10\nip saddr 192.0.2.99 drop\n}\n}\n";

suite("stateful: what the agent writes", () => {
  let scene: Scene;
  let web: FixtureService;
  let other: FixtureService;

  before(async () => {
    // Iptables mode looks at its canary once a syncPeriod, ipvs mode at virtual servers and addresses.
    scene = new Scene(["general", "affinity"], MODE === "nftables" ? {} : { [MODE]: { syncPeriod: "3s" } });
    web = scene.fixture("general", "svc1");
    other = scene.fixture("general", "svc2");
    await scene.listen(other.endpoints, "TCP", 80);
    await scene.startAgent();
  });
  beforeEach(() => scene.apply([web, other]));
  after(() => scene.close());

  const inNode = (command: string, args: readonly string[], input = ""): string => {
    const result = spawnSync("ip", ["netns", "exec", scene.network.netns("node"), command, ...args], {
      input,
      encoding: "utf8",
      maxBuffer: 64 << 20,
    });
    assert.equal(result.status, 0, `${command} ${args.join(" ")}: ${result.stderr}`);
    return result.stdout;
  };
  const reaches = async () => (await scene.connect("pod", "172.30.0.41", 80, 4)).others.length === 0;
  const repairs = async (): Promise<number> => {
    const { body: text } = await scene.get("node", "http://127.0.0.1:10249/metrics");
    const found = /^nodeplane_repairs_total\{ip_family="IPv4"\} (\d+)$/m.exec(text);
    assert.ok(found !== null, text);
    return Number(found[1]);
  };
  const reachesOther = async () => (await scene.connect("pod", "172.30.0.42", 80, 12)).others.length === 0;
  /** Rules of a service's own chains with their counters, as iptables-save shows them. */
  const counted = ({ namespace, name }: FixtureService): readonly string[] =>
    inNode(SAVE, ["-c", "-t", "nat"])
      .split("\n")
      .filter((line) => line.includes(`${namespace}/${name}`) && /-A KUBE-(SVC|SEP)-/.test(line));

  /** Transactions that nft shows while `action` runs: the lines of each. */
  const transactions = async (action: () => Promise<void>): Promise<readonly (readonly string[])[]> => {
    const monitor = scene.network.namespaces.spawn("node", "nft", ["monitor"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    monitor.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    await sleep(1_000);
    await action();
    await sleep(1_000);
    monitor.kill("SIGKILL");
    const done = text.split(/^# new generation .*$/m);
    return done
      .map((lines) => lines.split("\n").filter((line) => line !== ""))
      .filter((lines) => lines.length > 0);
  };

  test("rules-flushed", async (t) => {
    assert.ok(await reaches());
    const before = await repairs();
    inNode("nft", ["flush", "ruleset"]);
    if (MODE === "ipvs") {
      inNode("ipvsadm", ["-C"]);
      inNode("ip", ["link", "del", "kube-ipvs0"]);
    }
    if (MODE === "iptables") {
      for (const tool of ["iptables-legacy", "iptables"]) {
        for (const table of ["nat", "filter", "mangle"]) {
          // -F leaves the chains, and with them the canary by which a loss is noticed, as in kube-proxy.
          inNode(tool, ["-t", table, "-F"]);
          inNode(tool, ["-t", table, "-X"]);
        }
      }
    }
    // 2 s in nftables mode and one syncPeriod in iptables mode (unit tests hold them to it), more where the machine is busy.
    const started = Date.now();
    await eventually("rules are back", 20_000, reaches);
    t.diagnostic(`back after ${Date.now() - started} ms`);
    assert.ok((await repairs()) > before, "nodeplane_repairs_total counts it");
  });

  test("partial-sync", async () => {
    const [first] = other.endpoints;
    assert.ok(first !== undefined);
    const change = () => scene.apply([web, withEndpoints(other, [first])]);
    if (MODE === "nftables") {
      const lines = (await transactions(change)).flat();
      assert.ok(lines.length > 0, "nothing was written");
      const foreign = lines.filter((line) => !/172\.30\.0\.42|10\.180\.2\.1/.test(line));
      assert.deepEqual(foreign, [], "only what belongs to the changed service");
    } else if (MODE === "ipvs") {
      const lines = () => inNode("ipvsadm", ["-S", "-n"]).split("\n");
      const had = new Set(lines());
      await change();
      const has = new Set(lines());
      const changed = [...had, ...has].filter((line) => !had.has(line) || !has.has(line));
      assert.ok(changed.length > 0, "nothing was written");
      assert.deepEqual(
        changed.filter((line) => !line.includes("172.30.0.42")),
        [],
        "only what belongs to the changed service",
      );
    } else {
      assert.ok((await reaches()) && (await reachesOther()));
      const before = [counted(web), counted(other)];
      await change();
      const after = [counted(web), counted(other)];
      // A chain that is written again counts from 0.
      assert.ok(before[0]?.some((rule) => !rule.startsWith("[0:0]")));
      assert.deepEqual(after[0], before[0], "the other service's chains were not written");
      assert.notDeepEqual(after[1], before[1]);
    }
    assert.ok(await reaches());
  });

  if (MODE === "nftables") {
    test("stale-chain-delay", async () => {
      const sticky = scene.fixture("affinity");
      const count = () =>
        inNode("nft", ["list", "chains"])
          .split("\n")
          .filter((line) => line.includes("chain ")).length;
      const before = count();
      await scene.apply([sticky]);
      assert.ok(count() > before, "a service with affinity has chains");
      const written = await transactions(() => scene.apply([]));
      const isAt = (pattern: RegExp) =>
        written.findIndex((lines) => lines.some((line) => pattern.test(line)));
      const left = isAt(/^delete element .* frontends .*affinity-internal\/ns1\/svc1/);
      const removed = isAt(/^delete chain .*affinity-cluster\/ns1\/svc1/);
      assert.ok(left >= 0 && removed >= 0, written.map((lines) => lines.join("\n")).join("\n--\n"));
      assert.ok(
        removed > left,
        "traffic is led away in an earlier transaction than the one that removes chains",
      );
      assert.equal(count(), before);
    });
  } else if (MODE === "iptables") {
    test("chains of a deleted service go in the restore that leads traffic away", async () => {
      const own = () => inNode(SAVE, ["-t", "nat"]).match(/^:KUBE-(SVC|SVL|SEP|EXT|FW)-/gm)?.length ?? 0;
      await scene.apply([scene.fixture("affinity")]);
      assert.ok(own() > 0);
      await scene.apply([]);
      assert.equal(own(), 0);
    });
  }

  test("cleanup-flag", async () => {
    inNode("nft", ["-f", "-"], FOREIGN);
    await scene.agent.stop();
    const foreign = inNode("nft", ["list", "table", "ip", "somebody"]);
    inNode(EXECUTABLE, ["cleanup", "--state-dir", "/nonexistent", "--socket", "/nonexistent/agent.sock"]);
    const left = inNode("nft", ["list", "ruleset"]);
    assert.ok(!/nodeplane|kube-proxy|KUBE-/.test(left), left);
    for (const tool of ["iptables-save", "iptables-legacy-save", "ip6tables-save", "ip6tables-legacy-save"])
      assert.ok(!inNode(tool, []).includes("KUBE-"), tool);
    assert.ok(!inNode("ip", ["link"]).includes("kube-ipvs0"));
    assert.equal(inNode("nft", ["list", "table", "ip", "somebody"]), foreign);
    assert.ok(!(await reaches()), "the service is gone");
  });
});
