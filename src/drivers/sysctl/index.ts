/**
 * Layer drivers. Kernel settings below /proc/sys by path (`net/ipv4/ip_forward`; parts joined by slashes, since an
 * interface's name may hold a dot). A real and a fake implementation; a missing setting reads as `undefined`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { NodeplaneError } from "../../model/errors.ts";

export interface SysctlDriver {
  /** @returns the value without blanks around it, `undefined` when the kernel has no such setting */
  read(name: string): string | undefined;
  /** @throws {NodeplaneError} COMMAND_FAILED when it is missing or refuses the value */
  write(name: string, value: string): void;
}

const ROOT = "/proc/sys/";
/** Words of a path; nothing that leaves /proc/sys. */
const NAME = /^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[^/\0]+(?:\/[^/\0]+)*$/;

function pathOf(name: string): string {
  if (!NAME.test(name))
    throw new NodeplaneError("COMMAND_FAILED", { operation: "sysctl", object: name, detail: "bad name" });
  return ROOT + name;
}

export class LinuxSysctl implements SysctlDriver {
  read(name: string): string | undefined {
    const path = pathOf(name);
    try {
      return readFileSync(path, "utf8").trim();
    } catch {
      return undefined;
    }
  }

  write(name: string, value: string): void {
    const path = pathOf(name);
    try {
      writeFileSync(path, value);
    } catch (error) {
      throw new NodeplaneError("COMMAND_FAILED", { operation: "sysctl", path, detail: String(error) }, error);
    }
  }
}

export class FakeSysctl implements SysctlDriver {
  readonly values: Map<string, string>;

  constructor(values: Readonly<Record<string, string>> = {}) {
    this.values = new Map(Object.entries(values));
  }

  read(name: string): string | undefined {
    pathOf(name);
    return this.values.get(name);
  }

  write(name: string, value: string): void {
    const path = pathOf(name);
    if (!this.values.has(name)) {
      throw new NodeplaneError("COMMAND_FAILED", { operation: "sysctl", path, detail: "ENOENT" });
    }
    this.values.set(name, value.trim());
  }
}
