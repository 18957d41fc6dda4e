/**
 * Virtual machine harness: the disk image of this project, `.cache/vm/project-HASH.ext4`. It holds the bundle and, beside it,
 * sources, tests, the addon and netprobe, at the very path that the checkout has on this machine, so that paths named on a
 * command line mean the same inside. HASH covers every file that goes in or that the bundle is made of.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");
const CACHE = join(ROOT, ".cache/vm");
/** Beside the bundle. */
const PARTS = [
  "test",
  "src",
  "bench",
  "systemd",
  "proto",
  "package.json",
  "native/build",
  "native/addon.d.ts",
];
/** What only makes the project: compilers, linters and the like. */
const NOT_IN_THE_GUEST =
  /^(?:@biomejs|@types|@typescript|@esbuild|esbuild|@oxlint|@oxlint-tsgolint|oxlint.*|typescript|knip|node|node-gyp|\..*)$/;

function filesOf(path: string): readonly string[] {
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => (entry.isSymbolicLink() ? [] : filesOf(join(path, entry.name))));
}

function contentHash(): string {
  const hash = createHash("sha256").update(ROOT);
  for (const part of [...PARTS, "bin", "packaging", "package-lock.json"])
    for (const file of filesOf(join(ROOT, part))) hash.update(file).update("\0").update(readFileSync(file));
  return hash.digest("hex").slice(0, 16);
}

/** A copy by hard links: nothing is read or written but folders. */
function link(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  execFileSync("cp", ["-Rl", from, to]);
}

function layOut(tree: string, bundle: string): void {
  for (const name of readdirSync(bundle)) link(join(bundle, name), join(tree, name));
  for (const part of PARTS) if (existsSync(join(ROOT, part))) link(join(ROOT, part), join(tree, part));
  // Without it bin/nodeplane starts the bundle, as on a machine that has only the package.
  rmSync(join(tree, "src/bin"), { recursive: true, force: true });
  for (const name of readdirSync(join(ROOT, "node_modules")))
    if (!NOT_IN_THE_GUEST.test(name))
      link(join(ROOT, "node_modules", name), join(tree, "node_modules", name));
  mkdirSync(join(tree, "node_modules/node/bin"), { recursive: true });
  symlinkSync("../../../runtime/node", join(tree, "node_modules/node/bin/node"));
}

/** Others' images go when they are ten minutes old: a guest that starts just now may still be about to open one. */
function removeOld(image: string): void {
  for (const name of readdirSync(CACHE)) {
    const path = join(CACHE, name);
    if (!name.startsWith("project-") || path === image) continue;
    if (Date.now() - statSync(path).mtimeMs > 600_000) rmSync(path, { force: true });
  }
}

/** Makes the image unless there is one of just these files; `say` is told what takes time. */
export function projectImage(say: (text: string) => void): string {
  execFileSync("sh", [join(ROOT, "native/build.sh")], { stdio: ["ignore", "ignore", "inherit"] });
  const image = join(CACHE, `project-${contentHash()}.ext4`);
  if (existsSync(image)) return image;
  say("making the bundle and the image of the project");
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, "work."));
  try {
    // Not into dist, which somebody may be running just now.
    const bundle = join(work, "bundle");
    execFileSync(process.execPath, [join(ROOT, "packaging/bundle.ts"), bundle], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const files = join(work, "files");
    const tree = join(files, ROOT);
    mkdirSync(tree, { recursive: true });
    layOut(tree, bundle);
    const mebibytes = Number(execFileSync("du", ["-sm", files], { encoding: "utf8" }).split("\t")[0]);
    const target = join(work, "image");
    const options = ["-q", "-t", "ext4", "-O", "^has_journal", "-N", "40000", "-L", "project"];
    execFileSync("mke2fs", [...options, "-d", files, target, `${Math.ceil(mebibytes * 1.15) + 32}M`], {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` },
    });
    renameSync(target, image);
    removeOld(image);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return image;
}
