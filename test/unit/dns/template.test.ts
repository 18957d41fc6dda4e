/** `template`: Go's templates, expressions, variables, aliases that are followed, extended errors, metrics. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import { formatData } from "../../../src/codec/dns/text.ts";
import { type Data, TemplateError } from "../../../src/dns/plugins/template/go-functions.ts";
import { compileTemplate } from "../../../src/dns/plugins/template/go-template.ts";
import { queryMessage } from "../../support/dns-query.ts";
import { testResolver } from "./support.ts";

const DATA = new Map<string, Data>([
  ["Name", "a.example."],
  ["Match", ["whole", "first"]],
  ["Group", new Map<string, Data>([["hex", "0a"]])],
  ["Meta", ([label = ""]) => `<${String(label)}>`],
]);

function fill(text: string): string {
  const compiled = compileTemplate(text, [...DATA.keys()]);
  if (compiled.kind === "bad") throw new Error(compiled.reason);
  return compiled.fill(DATA);
}

suite("templates", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["{{ .Name }} 60 IN A", "a.example. 60 IN A"],
    ["{{.Name}}{{/* nothing */}}!", "a.example.!"],
    ['{{ index .Match 1 }}-{{ .Group.hex }}-{{ index .Group "hex" }}', "first-0a-0a"],
    ["{{ parseInt .Group.hex 16 8 }}", "10"],
    ['{{ printf "%03d %x %s %q %%" 7 255 "t" "q" }}', '007 ff t "q" %'],
    ['{{ .Meta "kubernetes/service" }}', "<kubernetes/service>"],
    ['{{ if eq .Group.hex "0a" }}ten{{ else }}other{{ end }}', "ten"],
    ["{{ if false }}a{{ else if and true (gt 2 1) }}b{{ else }}c{{ end }}", "b"],
    ["{{ with .Group.none }}{{ . }}{{ else }}none{{ end }}", "none"],
    ["{{ range $i, $m := .Match }}{{ $i }}={{ $m }};{{ end }}", "0=whole;1=first;"],
    ['{{ $x := index .Match 0 }}{{ $x | printf "[%s]" }}', "[whole]"],
    ['a {{- " b" -}}  c', "a bc"],
    ['{{ len .Match }}{{ not true }}{{ or "" "x" }}', "2falsex"],
  ];
  for (const [text, expected] of cases) test(text, () => assert.equal(fill(text), expected));

  for (const text of [
    "{{ .Nope }}",
    "{{ nope 1 }}",
    "{{ if true }}x",
    "x{{ end }}",
    "{{ }}",
    "{{ index .Match",
    "{{ 'x' }}",
  ]) {
    test(`refused: ${text}`, () => assert.equal(compileTemplate(text, [...DATA.keys()]).kind, "bad"));
  }
  for (const text of [
    "{{ index .Match 7 }}",
    '{{ parseInt "zz" 16 8 }}',
    '{{ parseInt "fff" 16 8 }}',
    "{{ $x }}",
  ]) {
    test(`fails: ${text}`, () => assert.throws(() => fill(text), TemplateError));
  }
});

suite("answers", () => {
  const data = async (corefile: string, name: string, type = "A") =>
    (await testResolver(corefile).ask(name, type)).answers.map(
      (record) => `${record.name} ${formatData(record.data)}`,
    );

  test("patterns see lower case, owners are spelled as asked", async () => {
    const corefile = `.:53 {\n template IN A {\n match ^ip-(?P<n>[0-9]+)[.]example[.]$\n answer "{{ .Name }} 60 IN A 10.0.0.{{ .Group.n }}"\n }\n}`;
    assert.deepEqual(await data(corefile, "IP-7.Example."), ["IP-7.Example. 10.0.0.7"]);
  });

  test("variables and conditions; no condition fits: the next template", async () => {
    const corefile = `.:53 {
      template IN A example {
        match "^(?P<host>[a-z]+)[.]"
        var short "len(group('host')) < 4"
        var octet "short ? 1 : 2"
        expr "client_ip() == '192.0.2.9' and group(1) != 'no'"
        answer "{{ .Name }} 60 IN A 10.0.0.{{ .Var.octet }}"
        fallthrough
      }
      template IN A example {
        rcode REFUSED
      }
    }`;
    assert.deepEqual(await data(corefile, "abc.example."), ["abc.example. 10.0.0.1"]);
    assert.deepEqual(await data(corefile, "abcdef.example."), ["abcdef.example. 10.0.0.2"]);
    assert.equal((await testResolver(corefile).ask("no.example.")).rcode, 5);
  });

  test("an alias is followed through the whole server", async () => {
    const corefile = `.:53 {
      template IN A {
        match ^www[.]
        answer "{{ .Name }} 60 IN CNAME real.test."
        fallthrough
      }
      hosts /nowhere {
        192.0.2.5 real.test
      }
    }`;
    assert.deepEqual(await data(corefile, "www.x."), ["www.x. real.test.", "real.test. 192.0.2.5"]);
  });

  test("extended errors reach clients with EDNS", async () => {
    const resolver = testResolver(
      `.:53 {\n template ANY ANY {\n rcode NXDOMAIN\n ederror 15 "blocked here"\n }\n}`,
    );
    const edns = { udpBytes: 1232, version: 0, dnssecOk: false, options: [] };
    const reply = await resolver.send(encodeMessage({ ...queryMessage("ads.example."), edns }));
    assert.equal(reply?.rcode, 3);
    assert.deepEqual(
      reply.edns?.options.map(({ code, bytes }) => [code, Buffer.from(bytes).toString("latin1")]),
      [[15, "\0\x0fblocked here"]],
    );
  });

  test("what cannot be filled in is SERVFAIL and counted", async () => {
    const resolver = testResolver(
      `.:53 {\n template IN A {\n answer "{{ .Name }} 60 IN A {{ parseInt \`zz\` 16 8 }}"\n }\n template IN TXT {\n answer "no record"\n }\n}`,
    );
    assert.equal((await resolver.ask("a.")).rcode, 2);
    assert.equal((await resolver.ask("a.", "TXT")).rcode, 2);
    const text = await resolver.runtime.metrics.text();
    assert.match(
      text,
      /coredns_template_matches_total\{server="dns:\/\/:53",zone="\.",view="",class="IN",type="A"\} 1/,
    );
    assert.match(text, /coredns_template_template_failures_total\{.*type="A",section="answer".*\} 1/);
    assert.match(
      text,
      /coredns_template_rr_failures_total\{.*type="TXT",section="answer",template="no record"\} 1/,
    );
  });
});
