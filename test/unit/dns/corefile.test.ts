/** Corefile grammar and the errors that it gives: file, line, directive, what is allowed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDurationMs } from "../../../src/dns/corefile/options.ts";
import { type CorefileSource, parseCorefile } from "../../../src/dns/corefile/parser.ts";
import { expandZone, parseServerKey } from "../../../src/dns/corefile/zones.ts";
import { DEFAULT_COREFILE } from "../../../src/dns/default-corefile.ts";
import { testResolver } from "./support.ts";

const source: CorefileSource = { env: { PORT: "5300", NAME: "example.org" }, readImport: () => [] };
const parse = (text: string, from: CorefileSource = source) => parseCorefile(text, "Corefile", from);

test("keys, arguments, options, comments, quotes", () => {
  const [block] = parse(`
    a.example, b.example:1053, # three keys
    tls://c.example {
      log "{type} {name}" { # one
        class error
      }
      hosts { 10.0.0.1 x.test }
      forward . 1.1.1.1 "with \\"quote" # tail
    }`);
  assert.deepEqual(block?.keys, ["a.example", "b.example:1053", "tls://c.example"]);
  assert.deepEqual(
    block.directives.map(({ name, args, options }) => [name, args, options?.map((o) => [o.name, o.args])]),
    [
      ["log", ["{type} {name}"], [["class", ["error"]]]],
      ["hosts", [], [["10.0.0.1", ["x.test"]]]],
      ["forward", [".", "1.1.1.1", 'with "quote'], undefined],
    ],
  );
  assert.equal(block.directives[2]?.line, 8);
});

test("a backslash in quotes takes the next character with it", () => {
  const [block] = parse('a {\n log "x\\\\" "y\\.z" "\\"q"\n}');
  assert.deepEqual(block?.directives[0]?.args, ["x\\\\", "y\\.z", '"q']);
});

test("environment variables in both spellings; unset ones are empty", () => {
  const [block] = parse("{$NAME}:{%PORT%} {\n log {$UNSET}x\n}");
  assert.deepEqual(block?.keys, ["example.org:5300"]);
  assert.deepEqual(block.directives[0]?.args, ["x"]);
});

test("snippets and imported files, at the top and inside blocks", () => {
  const files: Readonly<Record<string, string>> = {
    "extra.server": "b {\n whoami\n}",
    "more.override": "log\nerrors\n",
  };
  const blocks = parse(
    "(common) {\n errors\n cache 30 {\n  keepttl\n }\n}\na {\n import common\n import more.override\n}\nimport *.server\nimport none/*\n",
    {
      env: {},
      readImport: (pattern) =>
        Object.entries(files)
          .filter(([file]) => file === pattern || (pattern === "*.server" && file.endsWith(".server")))
          .map(([file, text]) => ({ file, text })),
    },
  );
  assert.deepEqual(
    blocks.map((block) => [block.keys, block.directives.map((directive) => directive.name)]),
    [
      [["a"], ["errors", "cache", "log", "errors"]],
      [["b"], ["whoami"]],
    ],
  );
  assert.equal(blocks[0]?.directives[2]?.file, "more.override");
});

test("a single block may leave its braces out", () => {
  const [block] = parse("example.org\nwhoami\nlog\n");
  assert.deepEqual(block?.keys, ["example.org"]);
  assert.deepEqual(
    block.directives.map((directive) => directive.name),
    ["whoami", "log"],
  );
});

const syntaxErrors: readonly (readonly [string, string, RegExp])[] = [
  ["open block", ".:53 {\n whoami\n", /Corefile:\d+: a block is not closed/],
  ["stray brace", "}\n", /Corefile:1: unexpected "}"/],
  [
    "unknown import",
    ". {\n import nothing\n}",
    /Corefile:2: import: "nothing" is neither a snippet nor a readable file/,
  ],
  ["import cycle", "(a) {\n import a\n}\n. {\n import a\n}", /more than 10000 imports/],
  ["import without name", "import\n", /Corefile:1: import: needs one argument/],
  ["snippet twice", "(a) {\n}\n(a) {\n}\n", /Corefile:3: \(a\): there is already/],
  ["no keys", "{\n}", /at least one zone/],
  ["second block without braces", ". {\n}\nb\nwhoami\n", /Corefile:4: expected "{" behind "b"/],
];
for (const [name, text, message] of syntaxErrors) {
  test(`grammar: ${name}`, () => assert.throws(() => parse(text), message));
}

const pluginErrors: readonly (readonly [string, string, RegExp])[] = [
  ["unknown plugin", "whoamy", /Corefile:2: whoamy: this plugin is not known; allowed: .*whoami/],
  ["plugin of CoreDNS only", "etcd", /Corefile:2: etcd: this plugin is not part of nodeplane/],
  [
    "unknown option",
    "forward . 1.1.1.1 {\n polcy random\n}",
    /Corefile:3: forward: unknown option "polcy"; allowed: except, /,
  ],
  [
    "bad word",
    "forward . 1.1.1.1 {\n policy best\n}",
    /Corefile:3: policy: "best" is not allowed; allowed: random, round_robin/,
  ],
  ["no upstream", "forward .", /Corefile:2: forward: needs a zone and an upstream/],
  ["bad upstream", "forward . 10.0.0.300", /forward: "10.0.0.300" is no upstream; allowed: IP/],
  ["missing file", "forward . /nowhere/resolv.conf", /forward: ENOENT.*\/nowhere\/resolv.conf/],
  [
    "quic upstream",
    "forward . quic://1.1.1.1",
    /quic:\/\/ is not supported; allowed: dns:\/\/, tls:\/\/, https/,
  ],
  ["max_age below expire", "forward . 1.1.1.1 {\n max_age 1s\n}", /must not be shorter than "expire"/],
  ["failover", "forward . 1.1.1.1 {\n failover NOERROR\n}", /Corefile:3: failover: NOERROR is no failure/],
  ["header without flags", "header", /Corefile:2: header: needs at least one line/],
  ["cache below zero", "cache -1", /Corefile:2: cache: "-1" is not allowed/],
  ["cache flag with a word", "cache {\n keepttl x\n}", /Corefile:3: keepttl: wrong number of arguments/],
  ["stale policy alone", "cache {\n serve_stale_policy prefer_positive\n}", /needs "serve_stale"/],
  ["source", "forward . 1.1.1.1 {\n source_address x\n}", /Corefile:3: source_address: "x" is no address/],
  ["resolver", "forward . a.b {\n resolver a.c\n}", /Corefile:3: resolver: "a.c" is no IP/],
  [
    "doh_method",
    "forward . https://1.1.1.1 {\n doh_method PUT\n}",
    /"PUT" is not allowed; allowed: POST, GET/,
  ],
  [
    "ttl out of range",
    "kubernetes a.b {\n ttl 4000\n}",
    /Corefile:3: ttl: "4000" is not allowed; a whole number from 0 to 3600/,
  ],
  ...[
    "endpoint https://x",
    "tls c k a",
    "kubeconfig f",
    "apiserver_qps 5",
    "apiserver_burst 5",
    "apiserver_max_inflight 5",
    "multicluster a.b",
  ].map((line): readonly [string, string, RegExp] => [
    `kubernetes ${line}`,
    `kubernetes a.b {\n ${line}\n}`,
    new RegExp(`^.*Corefile:3: kubernetes: "${line.split(" ")[0]}" is not supported: objects come from .*$`),
  ]),
  [
    "option of old CoreDNS",
    "kubernetes a {\n resyncperiod 5m\n}",
    /unknown option "resyncperiod"; allowed: name/,
  ],
  ["reverse zones only", "kubernetes in-addr.arpa", /needs at least one zone that is no reverse zone/],
  [
    "two selectors of namespaces",
    "kubernetes a {\n namespaces x\n namespace_labels a=b\n}",
    /exclude each other/,
  ],
  ["bad selector", "kubernetes a {\n labels a==b==c\n}", /is no label selector/],
  ["kubernetes twice", "kubernetes a\n kubernetes b", /Corefile:3: kubernetes: allowed once/],
  ["bad duration", "health {\n lameduck 5\n}", /"5" is not a duration/],
  ["bad address", "ready 8181", /"8181" is not an address/],
  ["bind to nothing", "bind nonsense0", /"nonsense0" is neither an address nor an interface/],
  ["bufsize too small", "bufsize 100", /"100" is not allowed; a whole number from 512 to 4096/],
  ["log placeholder", 'log "{nope}"', /unknown placeholder {nope}; allowed: {type}/],
  ["reload too often", "reload 1s", /at least 2s/],
];
for (const [name, line, message] of pluginErrors) {
  test(`refused: ${name}`, () => assert.throws(() => testResolver(`.:53 {\n ${line}\n}`), message));
}

test("two blocks may not serve the same zone of a listener", () => {
  assert.throws(
    () => testResolver("a:53 {\n whoami\n}\nA. {\n log\n}\n"),
    /Corefile:4: dns:\/\/:53 already serves the zone "a."/,
  );
});

test("zones from ranges are whole octets or nibbles", () => {
  assert.deepEqual(expandZone("10.96.0.0/12")?.length, 16);
  const addresses = expandZone("10.0.0.0/27");
  assert.equal(addresses?.length, 32);
  assert.deepEqual(addresses.at(-1), "31.0.0.10.in-addr.arpa.");
  assert.deepEqual(expandZone("10.0.0.0/24"), ["0.0.10.in-addr.arpa."]);
  assert.deepEqual(expandZone("fd00::/7"), ["c.f.ip6.arpa.", "d.f.ip6.arpa."]);
  assert.equal(expandZone("a..b"), undefined);
});

test("server keys", () => {
  const key = (text: string) => parseServerKey(text, 1053);
  assert.deepEqual(key("."), { kind: "keys", keys: [{ scheme: "dns", zone: ".", port: 1053 }] });
  assert.deepEqual(key("TLS://Example.org"), {
    kind: "keys",
    keys: [{ scheme: "tls", zone: "example.org.", port: 853 }],
  });
  assert.deepEqual(key("2001:db8::/32:5300"), {
    kind: "keys",
    keys: [{ scheme: "dns", zone: "8.b.d.0.1.0.0.2.ip6.arpa.", port: 5300 }],
  });
  assert.deepEqual(key("fd00::/7"), {
    kind: "keys",
    keys: ["c.f.ip6.arpa.", "d.f.ip6.arpa."].map((zone) => ({ scheme: "dns", zone, port: 1053 })),
  });
  assert.equal(key("2001:db8::").kind, "bad");
  assert.equal(key("quic://.").kind, "bad");
  assert.equal(key("a:99999").kind, "bad");
});

test("durations", () => {
  assert.equal(parseDurationMs("1m30s"), 90_000);
  assert.equal(parseDurationMs("0"), 0);
  assert.equal(parseDurationMs("5"), undefined);
});

test("the built-in Corefile is kubeadm's and can be built", () => {
  const text = DEFAULT_COREFILE.replace("/etc/resolv.conf", "192.0.2.53");
  assert.equal(testResolver(text).instance.settings.lameduckMs, 5000);
  assert.match(DEFAULT_COREFILE, /^\. \{$/m, "names no port: -dns.port counts");
});

const K3S = `.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      fallthrough in-addr.arpa ip6.arpa
    }
    hosts /etc/coredns/NodeHosts {
      ttl 60
      reload 15s
      fallthrough
    }
    prometheus :9153
    forward . 192.0.2.53
    cache 30
    loop
    reload
    loadbalance
    import /etc/coredns/custom/*.override
}
import /etc/coredns/custom/*.server
`;

const nodeLocalBlock = (zone: string, more: string): string => `${zone}:53 {
    errors
    ${more}
    reload
    loop
    bind 169.254.20.10 10.96.0.10
    prometheus :9253
}
`;
const NODE_LOCAL = [
  nodeLocalBlock(
    "cluster.local",
    "cache {\n success 9984 30\n denial 9984 5\n }\n forward . 10.96.0.11 {\n force_tcp\n }\n health 169.254.20.10:8080",
  ),
  nodeLocalBlock("in-addr.arpa", "cache 30\n forward . 10.96.0.11 {\n force_tcp\n }"),
  nodeLocalBlock("ip6.arpa", "cache 30\n forward . 10.96.0.11 {\n force_tcp\n }"),
  nodeLocalBlock(".", "cache 30\n forward . 192.0.2.53"),
].join("");

test("the default Corefiles of k3s and NodeLocal DNSCache can be built", () => {
  assert.equal(testResolver(K3S).instance.blocks.length, 1);
  const { instance } = testResolver(NODE_LOCAL);
  assert.deepEqual(
    [
      instance.blocks.length,
      instance.listeners.map(({ spec }) => spec.host),
      [...instance.pages.keys()].sort(),
    ],
    [4, ["169.254.20.10", "10.96.0.10"], ["169.254.20.10:8080", ":9253"]],
  );
});
