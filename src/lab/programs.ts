/** Layer lab. Programs of the machine that a lab runs, and where they are looked for. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { NodeplaneError } from "../model/errors.ts";

/** Where programs of an administrator are, also for a shell that was not told (`su` without a dash). */
export const SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";

/** Program and the Debian package that has it. */
const NEEDED: Readonly<Record<string, string>> = {
  unshare: "util-linux",
  nsenter: "util-linux",
  ip: "iproute2",
  nft: "nftables",
  dig: "bind9-dnsutils",
  curl: "curl",
};

/** Path of a program in the folders of `path`, or undefined. */
export function findProgram(name: string, path: string): string | undefined {
  return path
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file));
}

/** @throws {NodeplaneError} COMMAND_FAILED naming every program that is missing and the packages that have them */
export function requirePrograms(path: string): void {
  const missing = Object.keys(NEEDED).filter((name) => findProgram(name, path) === undefined);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((name) => NEEDED[name]))].join(" ");
  const isOne = missing.length === 1;
  throw new NodeplaneError("COMMAND_FAILED", {
    operation: "lab up",
    detail: `${missing.join(", ")} ${isOne ? "is" : "are"} not installed: apt-get install ${packages}`,
  });
}
