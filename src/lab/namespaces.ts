/**
 * Layer lab. The lab's namespaces: a holder process (`sleep`) with a network, mount and host-name namespace of its own.
 * Nothing is bound into the file system, so nothing outlives the processes. Inside, /etc and /run are private (see README).
 * Works in a chroot too: there the root may be no mount point, and the joiner must take the holder's root along.
 */
import { spawn } from "node:child_process";
import { dirname } from "node:path";
import { NodeplaneError } from "../model/errors.ts";
import { NODEPLANE } from "./executable.ts";
import type { LabDir } from "./lab-dir.ts";
import { identifyProcess, isAlive, networkNamespaceOf, type ProcessId } from "./processes.ts";
import { SYSTEM_PATH } from "./programs.ts";

export interface NamespaceRecord {
  readonly holder: ProcessId;
  /** `net:[inode]`. */
  readonly net: string;
}

export interface NamespaceFiles {
  readonly resolvConf: string;
  readonly hosts: string;
}

/** $1 private folder, $2 the lab's folder, $3 host name. Ends by becoming the holder. */
const HOLDER = `set -eu
mount --make-rprivate / 2>/dev/null || nsenter --mount=/proc/self/ns/mnt -- mount --make-rprivate /
mkdir -p "$1/machine-etc" "$1/etc" "$1/run"
mount --bind /etc "$1/machine-etc"
mount -t tmpfs -o mode=755,size=16m etc "$1/etc"
for file in "$1/machine-etc"/* "$1/machine-etc"/.[!.]*; do
  name=\${file##*/}
  case $name in resolv.conf|hosts|hostname|nodeplane) continue ;; esac
  if [ -L "$file" ]; then cp -P "$file" "$1/etc/$name"; elif [ -e "$file" ]; then ln -s "$file" "$1/etc/$name"; fi
done
mkdir -p "$1/etc/nodeplane" "$1/nodeplane/manifests"
mount --bind "$1/nodeplane" "$1/etc/nodeplane"
cp "$1/resolv.conf" "$1/hosts" "$1/etc/"
echo "$3" >"$1/etc/hostname"
mount -t tmpfs -o mode=755,size=64m run "$1/run"
case $2 in /run/*) mkdir -p "$1$2"; mount --rbind "$2" "$1$2" ;; esac
mount --rbind "$1/etc" /etc
mount --rbind "$1/run" /run
mount -t sysfs sysfs /sys 2>/dev/null || :
echo "$3" >/proc/sys/kernel/hostname
ip link set lo up
echo ready
exec sleep infinity >/dev/null 2>&1
`;

/** Environment of everything that runs in the lab. */
export function labEnvironment(lab: LabDir, mark: string): Record<string, string | undefined> {
  return {
    ...process.env,
    PATH: `${process.env["PATH"] ?? ""}:${dirname(NODEPLANE)}:${SYSTEM_PATH}`,
    NODEPLANE_LAB: mark,
    KUBECONFIG: lab.file("kubeconfig-inside"),
    // The lab has no route out: a proxy of the machine must not be asked.
    ...Object.fromEntries(
      ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].map((key) => [key, undefined]),
    ),
  };
}

/** Makes the namespace `name`, or returns the one that is there. */
export async function makeNamespace(
  lab: LabDir,
  mark: string,
  name: string,
  files: NamespaceFiles,
): Promise<NamespaceRecord> {
  const existing = findNamespace(lab, name);
  if (existing !== undefined) return existing;
  const folder = lab.folder("ns", name);
  lab.writeText(files.resolvConf, "ns", name, "resolv.conf");
  lab.writeText(files.hosts, "ns", name, "hosts");
  const args = ["--net", "--mount", "--uts", "--propagation", "unchanged", "--", "sh", "-c", HOLDER];
  const holder = await startHolder(
    ["unshare", ...args, "nodeplane-lab", folder, lab.path, name],
    labEnvironment(lab, mark),
  );
  const record = { holder, net: networkNamespaceOf(holder.pid) };
  lab.write(record, "ns", name);
  return record;
}

/** The namespace's record while its holder lives. */
export function findNamespace(lab: LabDir, name: string): NamespaceRecord | undefined {
  const record = lab.read<NamespaceRecord>("ns", name);
  return record !== undefined && isAlive(record.holder) ? record : undefined;
}

/** As {@link findNamespace}. @throws {NodeplaneError} COMMAND_FAILED when it is not there */
export function requireNamespace(lab: LabDir, name: string): NamespaceRecord {
  const record = findNamespace(lab, name);
  if (record !== undefined) return record;
  const detail = `it is gone; 'nodeplane lab down --name ${lab.name}' and 'lab up' make a new lab`;
  throw new NodeplaneError("COMMAND_FAILED", { operation: `namespace ${name} of lab "${lab.name}"`, detail });
}

/** Arguments that run `argv` inside; `directory` is looked up inside. */
export function enter(record: NamespaceRecord, argv: readonly string[], directory = "/"): readonly string[] {
  const target = ["--target", String(record.holder.pid)];
  return ["nsenter", ...target, "--net", "--mount", "--uts", "--root", `--wdns=${directory}`, "--", ...argv];
}

function startHolder(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<ProcessId> {
  const [file = "", ...args] = argv;
  const child = spawn(file, args, { detached: true, stdio: ["ignore", "pipe", "pipe"], env, cwd: "/" });
  return new Promise((resolve, reject) => {
    let said = "";
    const fail = (detail: string): void => {
      reject(
        new NodeplaneError("COMMAND_FAILED", {
          operation: "making a network namespace",
          detail: detail.trim(),
        }),
      );
    };
    child.on("error", (error) => fail(error.message));
    child.on("exit", (code) => fail(`${said} (exit status ${code ?? -1}; this needs root)`));
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    child.stdout.once("data", () => {
      child.removeAllListeners("exit");
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      const id = child.pid === undefined ? undefined : identifyProcess(child.pid);
      if (id === undefined) fail("the holder process ended");
      else resolve(id);
    });
  });
}
