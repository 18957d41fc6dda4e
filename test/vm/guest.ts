/**
 * Virtual machine harness: one guest, from its start to its exit status. QEMU emulates the processor (never KVM) and has no
 * network but the stream sockets that are asked for; what the guest writes comes over virtio serial ports and unix sockets.
 * The guest ends with its command, with its time, with `signal` or with this process, whichever is first.
 */
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A wire to another guest: a unix socket on which one side listens. */
export type Wire = { readonly socket: string; readonly listens: boolean };

export type GuestOptions = {
  /** The folder that base-image.sh made. */
  readonly base: string;
  /** The image that project-image.ts made. */
  readonly project: string;
  /** Where the command starts. */
  readonly directory: string;
  readonly words: readonly string[];
  /** Files and folders of this machine that are to lie at the same path inside. */
  readonly files: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** eth0 of the guest, a port of one Ethernet that all guests share. */
  readonly network?: { readonly address: string; readonly mac: string; readonly wires: readonly Wire[] };
  readonly timeoutSeconds: number;
  readonly memoryMebibytes: number;
  readonly processors: number;
  readonly onOutput: (bytes: Buffer) => void;
  readonly onError: (bytes: Buffer) => void;
  readonly signal: AbortSignal;
};

export class GuestFailed extends Error {}

/** RCU hurries, for each namespace and each change of a table waits for it; the rest spares work that no test is about. */
const KERNEL_WORDS = [
  ..."console=ttyS0 quiet loglevel=4 panic=-1 random.trust_cpu=on".split(" "),
  ..."rcupdate.rcu_expedited=1 mitigations=off nokaslr audit=0 apparmor=0 nowatchdog".split(" "),
];

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The disk of this run: a tar of the command, its environment and the files it names. */
function writeRunDisk(work: string, options: GuestOptions): string {
  const stage = join(work, "stage");
  mkdirSync(join(stage, "vm"), { recursive: true });
  const lines = Object.entries(options.environment).map(
    ([name, value]) => `export ${name}=${quoted(value)}\n`,
  );
  writeFileSync(join(stage, "vm/environment"), lines.join(""));
  writeFileSync(
    join(stage, "vm/command"),
    `cd ${quoted(options.directory)} || exit 127\nexec ${options.words.map(quoted).join(" ")}\n`,
  );
  for (const file of options.files) {
    mkdirSync(dirname(join(stage, file)), { recursive: true });
    cpSync(file, join(stage, file), { recursive: true, dereference: true });
  }
  const disk = join(work, "run.tar");
  execFileSync("tar", ["-cf", disk, "-C", stage, "."]);
  return disk;
}

function networkArguments(network: GuestOptions["network"]): readonly string[] {
  if (network === undefined) return [];
  const card = [
    "-netdev",
    "hubport,id=card,hubid=0",
    "-device",
    `virtio-net-pci,netdev=card,mac=${network.mac}`,
  ];
  const wires = network.wires.flatMap(({ socket, listens }, index) => [
    "-netdev",
    `stream,id=wire${index},server=${listens ? "on" : "off"},addr.type=unix,addr.path=${socket}`,
    "-netdev",
    `hubport,id=port${index},hubid=0,netdev=wire${index}`,
  ]);
  return [...card, ...wires];
}

function emulatorArguments(options: GuestOptions, work: string, disk: string): readonly string[] {
  const drives = [join(options.base, "root.ext4"), options.project, disk].flatMap((file, index) => [
    "-drive",
    `if=none,id=disk${index},format=raw,readonly=on,file=${file}`,
    "-device",
    `virtio-blk-pci,drive=disk${index}`,
  ]);
  const ports = ["output", "errors", "status"].flatMap((name, index) => [
    "-chardev",
    `socket,id=${name},path=${join(work, name)}`,
    "-device",
    `virtserialport,chardev=${name},nr=${index + 1}`,
  ]);
  return [
    ...[
      "-machine",
      "q35,graphics=off",
      "-accel",
      "tcg,thread=multi",
      "-cpu",
      // Walks over five levels of page tables cost time and show nothing.
      "max,la57=off",
      "-smp",
      String(options.processors),
    ],
    ...[
      "-m",
      String(options.memoryMebibytes),
      "-nodefaults",
      "-no-user-config",
      "-display",
      "none",
      "-no-reboot",
    ],
    ...["-serial", `file:${join(work, "console")}`, "-device", "virtio-rng-pci", "-nic", "none"],
    ...["-kernel", join(options.base, "vmlinuz"), "-initrd", join(options.base, "initrd")],
    ...["-append", KERNEL_WORDS.join(" ")],
    ...["-device", "virtio-serial-pci,max_ports=4"],
    ...drives,
    ...ports,
    ...networkArguments(options.network),
  ];
}

async function listen(path: string, onBytes: (bytes: Buffer) => void, ended: () => void): Promise<Server> {
  const server = createServer((socket) => {
    socket
      .on("data", onBytes)
      .on("error", () => undefined)
      .on("close", ended);
  });
  await new Promise<void>((resolve, reject) => server.on("error", reject).listen(path, resolve));
  return server;
}

/** The exit status of the command. Throws GuestFailed when the guest ended without one: no boot, a crash, its time is over. */
export async function runGuest(options: GuestOptions): Promise<number> {
  const work = mkdtempSync(join(tmpdir(), "nodeplane-vm-"));
  const servers: Server[] = [];
  try {
    const disk = writeRunDisk(work, options);
    let status = "";
    const sinks = {
      output: options.onOutput,
      errors: options.onError,
      status: (bytes: Buffer): void => {
        status = (status + bytes.toString()).slice(0, 16);
      },
    };
    const drained: Promise<void>[] = [];
    for (const [name, sink] of Object.entries(sinks)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      servers.push(await listen(join(work, name), sink, resolve));
      drained.push(promise);
    }
    // The emulator dies with this process, however that ends.
    const program = ["--pdeathsig", "KILL", "qemu-system-x86_64", ...emulatorArguments(options, work, disk)];
    const child = spawn("setpriv", program, { stdio: ["ignore", "ignore", "pipe"] });
    let complaint = "";
    child.stderr.on("data", (bytes: Buffer) => {
      complaint = (complaint + bytes.toString()).slice(-2000);
    });
    const stop = (): void => void child.kill("SIGKILL");
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      stop();
    }, options.timeoutSeconds * 1000);
    options.signal.addEventListener("abort", stop);
    if (options.signal.aborted) stop();
    await new Promise<void>((resolve, reject) => child.on("error", reject).on("close", () => resolve()));
    clearTimeout(timer);
    options.signal.removeEventListener("abort", stop);
    if (status !== "") await Promise.all(drained);
    if (/^\d+\n$/.test(status)) return Number(status);
    const why = isLate
      ? `the guest was stopped after ${options.timeoutSeconds} s`
      : "the guest ended without an exit status";
    const console = readFileSync(join(work, "console"), "latin1").slice(-2000);
    throw new GuestFailed([why, complaint, console].filter((text) => text !== "").join("\n"));
  } finally {
    for (const server of servers) server.close();
    rmSync(work, { recursive: true, force: true });
  }
}
