/** A lab for one test file: up before, down after, with the checks that nothing is left and the machine is as it was. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { nodeNames } from "../../../src/lab/addresses.ts";
import { ApiClient, type ApiObject, at, listAt, newestRevision } from "../../../src/lab/api-client.ts";
import { labDown } from "../../../src/lab/down.ts";
import { findTarget } from "../../../src/lab/exec.ts";
import { LabDir, type LabOptions, type LabRecord, type PodRecord } from "../../../src/lab/lab-dir.ts";
import { enter } from "../../../src/lab/namespaces.ts";
import { defaultReadiness, parsePorts, type Readiness } from "../../../src/lab/pod-manifest.ts";
import { startPod } from "../../../src/lab/pods.ts";
import { waitProgrammed } from "../../../src/lab/programmed.ts";
import { findProgram } from "../../../src/lab/programs.ts";
import { type RunResult, run, tryRun } from "../../../src/lab/run.ts";
import type { TrafficResult } from "../../../src/lab/traffic.ts";
import { labUp } from "../../../src/lab/up.ts";
import { waitPodReady } from "../../../src/lab/wait-pod.ts";
import { labRemains, machineState } from "./machine.ts";

const ROOT = join(import.meta.dirname, "../../..");
const BASE = "/run/nodeplane-lab";

export class TestLab {
  readonly lab: LabDir;
  readonly record: LabRecord;
  readonly api: ApiClient;
  readonly #machine: string;

  private constructor(lab: LabDir, machine: string) {
    this.lab = lab;
    this.record = lab.require();
    this.api = new ApiClient(lab.file("kubeconfig"));
    this.#machine = machine;
  }

  static async up(options: Partial<LabOptions>): Promise<TestLab> {
    const lab = new LabDir(`t-${randomBytes(4).toString("hex")}`, process.env["NODEPLANE_LAB_BASE"] ?? BASE);
    const machine = await machineState();
    const said: string[] = [];
    try {
      await labUp(lab, options, (line) => said.push(line), new AbortController().signal);
    } catch (error) {
      await labDown(lab);
      throw new Error(`the lab did not come up:\n${said.join("\n")}`, { cause: error });
    }
    return new TestLab(lab, machine);
  }

  /** Takes the lab down and checks that it left nothing. */
  async down(): Promise<void> {
    this.api.close();
    await labDown(this.lab);
    assert.equal(existsSync(this.lab.path), false, "the lab's folder is left");
    assert.deepEqual(labRemains(this.lab.name), []);
    assert.equal(await machineState(), this.#machine);
  }

  get nodes(): readonly string[] {
    return nodeNames(this.record.nodes);
  }

  /** Starts an echo pod and waits until it is ready. */
  async pod(
    name: string,
    node: string,
    labels: Readonly<Record<string, string>>,
    readiness?: Readiness,
  ): Promise<PodRecord> {
    const ports = parsePorts("8080/tcp,8080/udp");
    const pod = await startPod(this.lab, this.record, {
      name,
      node,
      namespace: "default",
      labels,
      ports,
      command: [],
      readiness: readiness ?? defaultReadiness(ports, []),
    });
    await waitPodReady(this.lab, pod);
    return pod;
  }

  /** Applies with kubectl where there is one, as a person does, else through the API. @returns the object as stored */
  async apply(collection: string, object: ApiObject): Promise<ApiObject> {
    const kubectl = findProgram("kubectl", process.env["PATH"] ?? "");
    if (kubectl === undefined) return await this.api.apply(collection, object);
    await run([kubectl, "--kubeconfig", this.lab.file("kubeconfig"), "apply", "-f", "-"], {
      input: stringify(object),
      timeoutMs: 30_000,
    });
    return (await this.api.get(`${collection}/${String(at(object, "metadata", "name"))}`)) ?? {};
  }

  /** Runs a shell command inside, whatever its status. */
  async sh(target: string, command: string): Promise<RunResult> {
    return await tryRun(enter(findTarget(this.lab, this.record, target), ["sh", "-c", command]), {
      timeoutMs: 30_000,
    });
  }

  /**
   * Connection requests of anybody inside `target` that were sent again, since it exists (TCPSynRetrans of /proc/net/netstat).
   */
  async repeatedRequests(target: string): Promise<number> {
    const [names = "", values = ""] = (await this.sh(target, "grep TcpExt: /proc/net/netstat")).stdout.split(
      "\n",
    );
    const index = names.split(" ").indexOf("TCPSynRetrans");
    assert.ok(index > 0, "the kernel does not count TCPSynRetrans");
    return Number(values.split(" ")[index]);
  }

  /** nf_tables generation id of a node. */
  async generation(node: string): Promise<number> {
    const argv = [join(ROOT, "node_modules/node/bin/node"), join(ROOT, "test/e2e/support/generation.ts")];
    return Number(await run(enter(findTarget(this.lab, this.record, node), argv)));
  }

  /** Waits for exactly these ready addresses in the Service's slices. @returns the newest resourceVersion of them */
  async endpoints(service: string, addresses: readonly string[], timeoutMs = 20_000): Promise<string> {
    const path = `/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D${service}`;
    const wanted = addresses.toSorted().join(" ");
    let seen = "";
    const check = async (): Promise<string | undefined> => {
      const slices = listAt(await this.api.get(path), "items");
      const ready = slices
        .flatMap((slice) => listAt(slice, "endpoints"))
        .filter((e) => at(e, "conditions", "ready") !== false);
      seen = ready
        .flatMap((e) => listAt(e, "addresses").map(String))
        .toSorted()
        .join(" ");
      if (seen !== wanted) return undefined;
      return newestRevision(slices);
    };
    return await this.api
      .waitFor(`endpoints [${wanted}] of ${service}`, check, timeoutMs)
      .catch((error: unknown) => {
        throw new Error(`${String(error)}; seen [${seen}]`);
      });
  }

  /** As {@link endpoints}, then waits until the nodes have them in their kernels. */
  async programmed(
    service: string,
    addresses: readonly string[],
    options: { timeoutMs?: number; nodes?: readonly string[] } = {},
  ): Promise<void> {
    const revision = await this.endpoints(service, addresses, options.timeoutMs);
    await waitProgrammed(this.lab, this.record, revision, options.nodes ?? this.nodes);
  }
}

/** Not one attempt failed or needed a packet sent again. */
export function assertNoLoss(result: TrafficResult, what: string): void {
  assert.ok(result.attempts > 0, `${what}: no attempt was made`);
  assert.equal(
    result.failed,
    0,
    `${what}: ${result.failed} of ${result.attempts} failed: ${JSON.stringify(result.failures.slice(0, 3))}`,
  );
}

/** Each of `names`, and nobody else, has `percent` of the answers, give or take `tolerance` points. */
export function assertShares(
  result: TrafficResult,
  names: readonly string[],
  tolerance: number,
  what: string,
): void {
  const told = JSON.stringify(result.endpoints);
  assert.deepEqual(Object.keys(result.endpoints), names.toSorted(), `${what}: ${told}`);
  for (const [name, { count }] of Object.entries(result.endpoints)) {
    const percent = (count * 100) / result.answered;
    assert.ok(
      Math.abs(percent - 100 / names.length) <= tolerance,
      `${what}: ${name} has ${percent.toFixed(1)} %: ${told}`,
    );
  }
}
