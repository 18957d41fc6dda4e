/**
 * Makes what is released: dist/nodeplane (or the folder given), a folder that starts without node_modules. One file per entry of src/bin plus
 * shared chunks (so an agent never loads the control plane's code), the workers, the addon and the pinned runtime.
 */
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { build, type Plugin } from "esbuild";

const root = join(import.meta.dirname, "..");
const out = process.argv[2] ?? join(root, "dist/nodeplane");
const require = createRequire(import.meta.url);

/** `new URL("./x.worker.ts", import.meta.url)` names the worker's bundle, which lies beside the chunks. */
const workerUrls: Plugin = {
  name: "worker-urls",
  setup(plugin) {
    plugin.onLoad({ filter: /\/src\/.*\.ts$/ }, (args) => {
      const text = readFileSync(args.path, "utf8");
      const contents = text.replaceAll(
        /new URL\("(?:[^"]*\/)?([a-z0-9-]+)\.worker\.ts", import\.meta\.url\)/g,
        'new URL("./$1.worker.mjs", import.meta.url)',
      );
      return { contents, loader: "ts" };
    });
  },
};

/**
 * Node's own modules are taken by `require`: an `import` reads every export of the module, and those of `node:http` that
 * nobody uses load a whole client for fetch and WebSocket (5 MB of private memory in each daemon).
 */
const requiredBuiltins: Plugin = {
  name: "required-builtins",
  setup(plugin) {
    plugin.onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === "import-statement" ? { path, namespace: "builtin" } : { path, external: true },
    );
    plugin.onLoad({ filter: /.*/, namespace: "builtin" }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)});`,
      loader: "js",
    }));
  },
};

/** The npm package `netlink` finds its addon through node-gyp-build: load the shipped copy by name instead. */
const netlinkAddon: Plugin = {
  name: "netlink-addon",
  setup(plugin) {
    plugin.onResolve({ filter: /^node-gyp-build$/ }, () => ({
      path: "node-gyp-build",
      namespace: "netlink-addon",
    }));
    plugin.onLoad({ filter: /.*/, namespace: "netlink-addon" }, () => ({
      // CommonJS, as its caller is: what is required must itself be the function.
      contents: 'module.exports = () => require("./netlink.node");',
      loader: "js",
    }));
  },
};

function netlinkPrebuild(): string {
  const manifest = require.resolve("netlink/package.json");
  // A dependency of netlink's, not of ours: asked for in its name.
  const gypBuild = createRequire(manifest)("node-gyp-build") as { path: (dir: string) => string };
  return gypBuild.path(dirname(manifest));
}

function sizeOf(path: string): number {
  if (!statSync(path).isDirectory()) return statSync(path).size;
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}

const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
const workers = sources.filter((name) => name.endsWith(".worker.ts")).map((name) => join(root, "src", name));
const bins = sources.filter((name) => /^bin\/[^/]+\.ts$/.test(name)).map((name) => join(root, "src", name));

rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, "bin"), { recursive: true });
await build({
  entryPoints: [...bins, ...workers].map((path) => ({ in: path, out: basename(path, ".ts") })),
  outdir: out,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node24",
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "none",
  external: ["*.node"],
  plugins: [workerUrls, requiredBuiltins, netlinkAddon],
  banner: {
    js: 'import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);const __dirname=import.meta.dirname;',
  },
  logLevel: "warning",
});
cpSync(join(root, "native/build/nodeplane.node"), join(out, "nodeplane.node"));
cpSync(netlinkPrebuild(), join(out, "netlink.node"));
cpSync(join(root, "bin/nodeplane"), join(out, "bin/nodeplane"));
mkdirSync(join(out, "runtime"));
cpSync(join(root, "node_modules/node/bin/node"), join(out, "runtime/node"), { dereference: true });
chmodSync(join(out, "runtime/node"), 0o755);
cpSync(join(root, "systemd"), join(out, "systemd"), { recursive: true });
const scripts = sizeOf(out) - sizeOf(join(out, "runtime"));
process.stdout.write(
  `dist/nodeplane: ${(scripts / 1e6).toFixed(1)} MB, and the runtime ${(sizeOf(join(out, "runtime")) / 1e6).toFixed(0)} MB\n`,
);
