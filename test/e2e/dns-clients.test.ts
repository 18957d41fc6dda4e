/**
 * The resolvers of C libraries and tools as clients, with a pod's resolv.conf (search list, ndots:5): glibc (getent), musl (a
 * static program built here), c-ares (Node), dig, kdig. Each name is asked twice: the first time the plugin chain
 * answers, the second time the native engine (unless there is a cookie).
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { hasProgram, NameMachine, NEIGHBOUR } from "./support/name-machine.ts";

const objects = join(import.meta.dirname, "../cases/dns-fixture.yaml");
const SERVER = "10.96.0.10";
const ZONE = ['local-zone: "example.net." static', 'local-data: "www.example.net. 300 A 198.51.100.7"'];
const COREFILE = `.:53 {
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    pods insecure
    fallthrough in-addr.arpa ip6.arpa
  }
  forward . ${NEIGHBOUR}
  cache 30
  loadbalance
  prometheus 127.0.0.1:9153
}
`;
const RESOLV = `search atlas.svc.cluster.local svc.cluster.local cluster.local
nameserver ${SERVER}
options ndots:5 timeout:2 attempts:2
`;
const PROGRAM = `#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  struct addrinfo hints, *list;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  int problem = getaddrinfo(argv[1], NULL, &hints, &list);
  if (problem != 0) { puts(gai_strerror(problem)); return 1; }
  for (; list != NULL; list = list->ai_next) {
    char text[INET6_ADDRSTRLEN];
    const void *address = list->ai_family == AF_INET
      ? (const void *)&((struct sockaddr_in *)list->ai_addr)->sin_addr
      : (const void *)&((struct sockaddr_in6 *)list->ai_addr)->sin6_addr;
    puts(inet_ntop(list->ai_family, address, text, sizeof text));
  }
  return 0;
}
`;
/** Name as a program writes it, its addresses in order, empty for a name that is not there. */
const NAMES: readonly (readonly [string, readonly string[]])[] = [
  ["web", ["10.96.11.20"]],
  ["WEB.Atlas", ["10.96.11.20"]],
  ["web.atlas.svc", ["10.96.11.20"]],
  ["web.atlas.svc.cluster.local", ["10.96.11.20"]],
  ["web.atlas.svc.cluster.local.", ["10.96.11.20"]],
  ["twin", ["10.96.11.22", "fd00:10:96::b22"]],
  ["inward", ["10.96.11.20"]],
  ["ring-1.ring", ["10.244.2.51"]],
  ["www.example.net", ["198.51.100.7"]],
  ["ghost", []],
  ["no.example.net", []],
];

suite("C libraries and tools", { skip: !hasProgram("unbound") && "unbound is not installed" }, () => {
  let machine: NameMachine;
  before(async () => {
    machine = await NameMachine.open([`${SERVER}/32`], { "resolv.conf": RESOLV });
    await machine.unbound(ZONE);
    await machine.resolver(COREFILE, "--objects", objects);
  });
  after(() => machine.close());

  const both = async (ask: () => Promise<void>): Promise<void> => {
    await ask();
    await ask();
  };
  const lines = (text: string): readonly string[] => text.split("\n").filter((line) => line !== "");

  test("glibc: getaddrinfo with a search list, reverse names", async () => {
    await both(async () => {
      for (const [name, expected] of NAMES) {
        const { out } = await machine.run("getent", "ahosts", name);
        const found = new Set(lines(out).map((line) => line.split(/\s+/)[0] ?? ""));
        assert.deepEqual([...found].sort(), [...expected], name);
      }
      const { out } = await machine.run("getent", "hosts", "10.96.11.20");
      assert.match(out, /web\.atlas\.svc\.cluster\.local/);
    });
  });

  test("musl: a static program", {
    skip: !hasProgram("musl-gcc") && "musl-gcc is not installed",
  }, async () => {
    const source = join(machine.folder, "lookup.c");
    const program = join(machine.folder, "lookup");
    writeFileSync(source, PROGRAM);
    execFileSync("musl-gcc", ["-static", "-O1", "-o", program, source]);
    await both(async () => {
      for (const [name, expected] of NAMES) {
        const { out, status } = await machine.run(program, name);
        if (expected.length === 0) assert.equal(status, 1, name);
        else assert.deepEqual([...new Set(lines(out))].sort(), [...expected], name);
      }
    });
  });

  test("c-ares: Node's own resolver, from the machine's resolv.conf", async () => {
    const script = `
      const { resolve4, resolve6, resolveSrv, resolveCname, reverse } = require("node:dns/promises");
      const say = (asking) => asking.then((x) => JSON.stringify(x), (e) => e.code);
      (async () => {
        console.log(await say(resolve4("web.atlas.svc.cluster.local")));
        console.log(await say(resolve6("web.atlas.svc.cluster.local")));
        console.log(await say(resolve6("twin.atlas.svc.cluster.local")));
        console.log(await say(resolveSrv("_http._tcp.web.atlas.svc.cluster.local")));
        console.log(await say(reverse("10.96.11.20")));
        console.log(await say(resolve4("ghost.atlas.svc.cluster.local")));
        console.log(await say(resolve4("www.example.net")));
      })();`;
    await both(async () => {
      const { out } = await machine.run(process.execPath, "-e", script);
      assert.deepEqual(lines(out), [
        '["10.96.11.20"]',
        "ENODATA",
        '["fd00:10:96::b22"]',
        '[{"name":"web.atlas.svc.cluster.local","port":80,"priority":0,"weight":100,"type":"SRV"}]',
        '["web.atlas.svc.cluster.local"]',
        "ENOTFOUND",
        '["198.51.100.7"]',
      ]);
    });
  });

  test("dig: cookies are answered, search lists walked", async () => {
    await both(async () => {
      const { out } = await machine.run("dig", "+cookie=0011223344556677", "web.atlas.svc.cluster.local");
      assert.match(out, /; COOKIE: 0011223344556677[0-9a-f]{32} \(good\)/);
      assert.match(out, /10\.96\.11\.20/);
      assert.equal((await machine.run("dig", "+search", "+short", "web")).out, "10.96.11.20\n");
      assert.match(
        (await machine.run("dig", "+nocookie", "web.atlas.svc.cluster.local")).out,
        /10\.96\.11\.20/,
      );
    });
  });

  test("kdig: keepalive over TCP", { skip: !hasProgram("kdig") && "kdig is not installed" }, async () => {
    const { out } = await machine.run("kdig", "+tcp", "+ednsopt=11", "web.atlas.svc.cluster.local");
    assert.match(out, /Option \(11\): 0064|KEEPALIVE: 10/i);
  });
});
