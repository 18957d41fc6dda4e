/** Layer agent. What a Node object says of the machine, read once at start. A file that is missing is an empty text. */
import { readFileSync } from "node:fs";
import { arch, cpus, release, totalmem } from "node:os";

export interface MachineFacts {
  readonly machineId: string;
  readonly systemUuid: string;
  readonly bootId: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  /** As Go names it. */
  readonly architecture: string;
  readonly cpus: number;
  readonly memoryKib: number;
}

const GO_ARCH: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64", ia32: "386", arm: "arm" };

export function readMachineFacts(): MachineFacts {
  const osRelease = readText("/etc/os-release");
  const pretty = /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(osRelease)?.[1];
  return {
    machineId: readText("/etc/machine-id"),
    systemUuid: readText("/sys/class/dmi/id/product_uuid"),
    bootId: readText("/proc/sys/kernel/random/boot_id"),
    kernelVersion: release(),
    osImage: pretty ?? "Linux",
    architecture: GO_ARCH[arch()] ?? arch(),
    cpus: cpus().length,
    memoryKib: Math.floor(totalmem() / 1024),
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
