/** What is no proper query, and what the server itself adds to replies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CLASS, OPCODE, RCODE, TYPE } from "../../../src/codec/dns/constants.ts";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import { compileChain, NEXT, type Plugin } from "../../../src/dns/plugin.ts";
import { ownQuery } from "../../../src/dns/query.ts";
import { queryMessage } from "../../support/dns-query.ts";
import { testResolver } from "./support.ts";

const resolver = testResolver(".:53 {\n errors\n whoami\n}");
const edns = (change: object = {}) => ({
  edns: { udpBytes: 4096, version: 0, dnssecOk: true, options: [], ...change },
});

test("octets that are no query: dropped or FORMERR", async () => {
  assert.equal(await resolver.send(Buffer.from("00")), undefined);
  assert.equal(await resolver.send(encodeMessage({ ...queryMessage("a."), isResponse: true })), undefined);
  const cut = encodeMessage(queryMessage("long.name.")).subarray(0, 20);
  assert.equal((await resolver.send(cut))?.rcode, RCODE.FORMERR);
  const loop = Buffer.from("000101000001000000000000c00c00010001", "hex");
  assert.equal((await resolver.send(loop))?.rcode, RCODE.FORMERR);
});

test("FORMERR carries the question where it could be read", async () => {
  const packet = Buffer.concat([encodeMessage(queryMessage("a.example.")), Buffer.of(1)]);
  const reply = await resolver.send(packet);
  assert.equal(reply?.rcode, RCODE.FORMERR);
  assert.equal(reply.questions[0]?.name, "a.example.");
});

test("operations that we do not perform: NOTIMP", async () => {
  for (const opcode of [OPCODE.STATUS, OPCODE.NOTIFY, OPCODE.UPDATE, 9]) {
    const reply = await resolver.ask("a.", "SOA", { opcode });
    assert.deepEqual([reply.rcode, reply.opcode], [RCODE.NOTIMP, opcode]);
  }
});

test("EDNS: version 1 is BADVERS, options are not echoed, DO is, our size is ours", async () => {
  assert.equal((await resolver.ask("a.", "A", edns({ version: 1 }))).rcode, RCODE.BADVERS);
  const reply = await resolver.ask("a.", "A", edns({ options: [{ code: 65001, bytes: new Uint8Array(8) }] }));
  assert.deepEqual(reply.edns, { udpBytes: 1232, version: 0, dnssecOk: true, options: [] });
  assert.equal((await resolver.ask("a.")).edns, undefined);
});

test("a name of no block is REFUSED, a foreign class too, and all of an empty block", async () => {
  assert.equal((await testResolver(".:53 {\n}").ask("x.")).rcode, RCODE.REFUSED);
  const other = testResolver("example.org:53 {\n kubernetes cluster.local\n}");
  assert.equal((await other.ask("example.com.")).rcode, RCODE.REFUSED);
  const ch = { questions: [{ name: "x.example.org.", type: TYPE.TXT, class: CLASS.CH }] };
  assert.equal((await other.ask("x.example.org.", "TXT", ch)).rcode, RCODE.REFUSED);
  assert.equal((await other.ask("x.example.org.")).rcode, RCODE.SERVFAIL);
});

test("the longest zone wins; DS belongs to the block above", async () => {
  const blocks = testResolver("sub.example:53 {\n chaos inner\n whoami\n}\nexample:53 {\n any\n}");
  assert.equal((await blocks.ask("x.sub.example.")).rcode, RCODE.NOERROR);
  assert.equal((await blocks.ask("sub.example.", "DS")).rcode, RCODE.SERVFAIL);
  assert.equal((await blocks.ask("xsub.example.")).rcode, RCODE.SERVFAIL);
  assert.equal((await blocks.ask("example.", "DS")).rcode, RCODE.SERVFAIL, "nobody above: its own block");
});

test("the spelling of the question comes back", async () => {
  assert.equal((await resolver.ask("MiXeD.Example.")).questions[0]?.name, "MiXeD.Example.");
});

test("a plugin that throws costs its query, not the server", async () => {
  const chain = compileChain([
    {
      name: "bad",
      handle: () => {
        throw new Error("boom");
      },
    },
  ]);
  const outcome = await chain(
    ownQuery({ name: "a.", type: 1, class: 1 }, { server: "", zone: ".", view: "" }),
  );
  assert.equal(outcome.kind, "failed");
});

test("the chain calls each plugin once and in order", async () => {
  const calls: string[] = [];
  const plugin = (name: string, isWrapper: boolean): Plugin => ({
    name,
    handle: (query, rest) => {
      calls.push(name);
      return isWrapper ? rest(query) : NEXT;
    },
  });
  const chain = compileChain([plugin("a", false), plugin("b", true), plugin("c", true), plugin("d", false)]);
  const outcome = await chain(
    ownQuery({ name: "a.", type: 1, class: 1 }, { server: "", zone: ".", view: "" }),
  );
  assert.deepEqual([calls.join(""), outcome.kind], ["abcd", "failed"]);
});

test("errors: one line with code, name, type and cause", async () => {
  const failing = testResolver(".:53 {\n errors\n kubernetes cluster.local\n}");
  await failing.ask("outside.example.", "AAAA");
  assert.deepEqual(failing.lines, ["plugin/errors: SERVFAIL outside.example. AAAA: no plugin answered"]);
});
