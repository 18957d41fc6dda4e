/** Layer cli. `nodeplane demo`: a narrated tour of a three-node cluster on this machine, cleaned up at the end. */
import { randomBytes } from "node:crypto";
import { narrator } from "../lab/demo/narrator.ts";
import {
  callFromEverywhere,
  callFromOutside,
  createService,
  killEndpoint,
  resolveNames,
  type Stage,
  startWorkloads,
} from "../lab/demo/story.ts";
import { labDown } from "../lab/down.ts";
import { LabDir } from "../lab/lab-dir.ts";
import { findProgram, requirePrograms, SYSTEM_PATH } from "../lab/programs.ts";
import { labUp } from "../lab/up.ts";
import { NodeplaneError } from "../model/errors.ts";
import type { Command, CommandIo } from "./command.ts";

const USAGE = `Usage: nodeplane demo [--keep]

Starts a three-node cluster of network namespaces on this machine, shows Services at work, and removes it again.
Needs root. The machine's own network is not touched.
  --keep   leave the cluster running and say how to play with it
`;

export const demo: Command = async (args, io) => {
  const unknown = args.find((arg) => arg !== "--keep" && arg !== "--help" && arg !== "-h");
  if (unknown !== undefined)
    throw new NodeplaneError("CONFIG_INVALID", {
      detail: `unknown argument "${unknown}"; see 'nodeplane demo --help'`,
    });
  if (args.includes("--help") || args.includes("-h")) {
    io.out(USAGE);
    return 0;
  }
  if (process.getuid?.() !== 0)
    throw new NodeplaneError("CONFIG_INVALID", {
      detail: "the demo makes network namespaces: run it as root",
    });
  const path = io.env["PATH"] ?? "";
  requirePrograms(`${path}:${SYSTEM_PATH}`);
  const lab = new LabDir(
    `demo-${randomBytes(3).toString("hex")}`,
    io.env["NODEPLANE_LAB_BASE"] ?? "/run/nodeplane-lab",
  );
  const colours = io.isTerminal && (io.env["NO_COLOR"] ?? "") === "";
  const tell = narrator(io.out, colours, () => performance.now());
  const keep = args.includes("--keep");
  let isDone = false;
  try {
    tell.heading(
      "Three nodes, a control plane and a client: network namespaces on this machine, real daemons inside",
    );
    await labUp(lab, { nodes: 3 }, (line) => tell.line(line), io.signal);
    const stage: Stage = {
      lab,
      record: lab.require(),
      tell,
      kubectl: findProgram("kubectl", path),
      signal: io.signal,
    };
    await startWorkloads(stage);
    const address = await createService(stage);
    await callFromEverywhere(stage, address);
    await callFromOutside(stage);
    await resolveNames(stage);
    await killEndpoint(stage, address);
    isDone = true;
  } finally {
    if (!keep) {
      tell.heading(
        isDone ? "Cleaning up" : "Something failed; cleaning up ('nodeplane demo --keep' leaves the logs)",
      );
      await labDown(lab);
      tell.result("the cluster is gone; the machine is as it was");
    }
  }
  if (keep) sayHowToPlay(lab, io);
  return 0;
};

function sayHowToPlay(lab: LabDir, io: CommandIo): void {
  io.out(`
The cluster is still there. To play:

  export KUBECONFIG=${lab.file("kubeconfig")}
  kubectl get nodes,pods,services,endpointslices -o wide
  kubectl get endpointslices -w

  bin/nodeplane lab exec client --name ${lab.name} -- curl -s http://192.168.96.11:30080/
  bin/nodeplane lab exec web-3  --name ${lab.name} -- curl -s http://web/
  bin/nodeplane lab exec node1  --name ${lab.name} -- nft list ruleset
  bin/nodeplane lab exec node1  --name ${lab.name} -- nodeplane status
  bin/nodeplane lab pod web-5 --name ${lab.name} --node node3 --labels app=web --ports 8080/tcp

  bin/nodeplane lab down --name ${lab.name}
`);
}
