/**
 * Corefiles as people have them, with questions. `{UP}` is an upstream with the zones of {@link UPSTREAM_ZONES}, `{PORT}` the port to
 * listen on. A question is `NAME TYPE`, then what applies of `+tcp`, `+do`, `+noedns`, `+nsid`, `+sort` (records in any order),
 * `from=127.0.0.N`.
 */

export interface CorefileCase {
  readonly name: string;
  readonly corefile: string;
  /** Beside the Corefile. */
  readonly files?: Readonly<Record<string, string>>;
  readonly questions: readonly string[];
  /** Why CoreDNS says something else, by question. */
  readonly differences?: Readonly<Record<string, string>>;
}

const SOA = "@ 3600 SOA ns1 hostmaster 7 7200 1800 86400 60\n@ 3600 NS ns1\nns1 3600 A 192.0.2.53\n";

/** By origin. */
export const UPSTREAM_ZONES: Readonly<Record<string, string>> = {
  "example.net": `${SOA}www 300 A 198.51.100.7\nwww 300 AAAA 2001:db8::7\nv4 300 A 198.51.100.8\nalias 200 CNAME www
three 60 A 198.51.100.1\nthree 60 A 198.51.100.2\nthree 60 A 198.51.100.3\ningress 100 A 203.0.113.80
@ 300 MX 10 mail\nmail 300 A 198.51.100.25\n_sip._tcp 60 SRV 0 5 5060 www\ntext 60 TXT "some text"
cdn 100 CNAME edge.cdn\nedge.cdn 100 A 203.0.113.1\nedge.other 100 A 203.0.113.2
${Array.from({ length: 80 }, (_, i) => `big 60 A 10.1.1.${i + 1}\n`).join("")}`,
  "corp.internal": `${SOA}git 30 A 10.20.0.5\nweb 30 CNAME git\n*.apps 30 A 10.20.0.80\n`,
  "service.consul": `${SOA}redis 0 A 10.30.0.6\n`,
  "20.10.in-addr.arpa": `${SOA}5.0 30 PTR git.corp.internal.\n`,
};

const ZONE = `$ORIGIN example.org.
@ 3600 IN SOA ns1.example.org. hostmaster.example.org. 2026 7200 1800 86400 300
@ 3600 IN NS ns1
ns1 3600 IN A 192.0.2.1
www 300 IN A 192.0.2.10
www 300 IN AAAA 2001:db8::10
alias 300 IN CNAME www
out 300 IN CNAME www.example.net.
* 60 IN TXT "any name"
*.wild 60 IN A 192.0.2.99
mail 300 IN MX 10 mx.example.org.
mx 300 IN A 192.0.2.25
sub 300 IN NS ns.sub
ns.sub 300 IN A 192.0.2.77
deep.empty.node 60 IN A 192.0.2.50
`;

export const COREFILES: readonly CorefileCase[] = [
  {
    name: "split-dns",
    corefile: `corp.internal:{PORT} {
    errors
    cache 30
    forward . {UP}
}
example.org:{PORT} {
    file example.org.zone
    errors
}
20.10.in-addr.arpa:{PORT} {
    forward . {UP}
}
.:{PORT} {
    errors
    template ANY ANY {
        rcode REFUSED
    }
}
`,
    files: { "example.org.zone": ZONE },
    questions: [
      "git.corp.internal A",
      "GIT.corp.Internal A",
      "web.corp.internal A",
      "a.apps.corp.internal A",
      "none.corp.internal A",
      "git.corp.internal AAAA",
      "www.example.org A",
      "5.0.20.10.in-addr.arpa PTR",
      "www.example.com A",
      "corp.internal SOA",
    ],
  },
  {
    name: "stub-domains",
    corefile: `service.consul:{PORT} {
    errors
    cache 30
    forward . {UP}
}
.:{PORT} {
    errors
    forward . {UP} {
        except example.net
        max_concurrent 100
        policy sequential
    }
    cache 30 {
        success 5000 3600 60
        denial 2500 30
    }
    loop
    loadbalance
}
`,
    questions: [
      "redis.service.consul A",
      "redis.service.consul A",
      "git.corp.internal A",
      "git.corp.internal A",
      "none.corp.internal A",
      "none.corp.internal A",
      "www.example.net A",
    ],
    differences: {
      "redis.service.consul A": "a record with TTL 0 is not kept, nor made older than it says",
    },
  },
  {
    name: "rewrite-ingress",
    corefile: `.:{PORT} {
    rewrite stop {
        name regex (.*)\\.apps\\.example\\.com ingress.example.net
        answer auto
    }
    rewrite name exact old.example.com www.example.net
    rewrite name suffix .legacy.example. .example.net. answer auto
    rewrite name prefix stage- prod-
    rewrite name substring .mid. .
    forward . {UP}
}
`,
    questions: [
      "shop.apps.example.com A",
      "a.b.apps.example.com A",
      "SHOP.Apps.Example.com A",
      "old.example.com A",
      "old.example.com MX",
      "alias.legacy.example A",
      "none.legacy.example A",
      "www.mid.example.net A",
      "stage-x.example.net A",
      "www.example.net A",
    ],
  },
  {
    name: "rewrite-answers",
    corefile: `.:{PORT} {
    rewrite stop {
        name regex ^(.*)\\.shop\\.test\\.$ {1}.example.net.
        answer name (.*)\\.example\\.net\\. {1}.shop.test.
        answer value (.*)\\.example\\.net\\. {1}.shop.test.
    }
    rewrite continue ttl suffix .example.net. 30-90
    rewrite continue rcode exact gone.example.net. NXDOMAIN NOERROR
    rewrite type ANY HINFO
    rewrite cname exact edge.cdn.example.net. edge.other.example.net.
    forward . {UP}
}
`,
    questions: [
      "www.shop.test A",
      "alias.shop.test A",
      "_sip._tcp.shop.test SRV",
      "www.example.net A",
      "gone.example.net A",
      "www.example.net ANY",
      "cdn.example.net A",
      "v4.example.net AAAA",
    ],
  },
  {
    name: "hosts-fallthrough",
    corefile: `.:{PORT} {
    hosts custom.hosts {
        10.0.0.1 one.example.test
        10.0.0.2 two.example.test two
        2001:db8::2 two.example.test
        ttl 60
        fallthrough
    }
    forward . {UP}
}
`,
    files: { "custom.hosts": "10.0.0.9 nine.example.test\n# comment\n10.0.0.1 other.example.test\n" },
    questions: [
      "one.example.test A",
      "ONE.example.test A",
      "two.example.test AAAA",
      "two A",
      "one.example.test AAAA",
      "one.example.test TXT",
      "nine.example.test A",
      "1.0.0.10.in-addr.arpa PTR +sort",
      "www.example.net A",
      "none.example.test A",
    ],
  },
  {
    name: "hosts-without-fallthrough",
    corefile: `.:{PORT} {
    hosts /dev/null example.test {
        10.0.0.1 one.example.test
        no_reverse
    }
    forward . {UP}
}
`,
    questions: [
      "one.example.test A",
      "none.example.test A",
      "1.0.0.10.in-addr.arpa PTR",
      "www.example.net A",
    ],
  },
  {
    name: "template-wildcard",
    corefile: `.:{PORT} {
    template IN A dev.example {
        answer "{{ .Name }} 60 IN A 127.0.0.1"
    }
    template IN AAAA dev.example {
        rcode NOERROR
    }
    template IN ANY lab.example {
        match ^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)-(?P<c>[0-9]+)-(?P<d>[0-9]+)\\.lab\\.example\\.$
        answer "{{ .Name }} 60 IN A {{ .Group.a }}.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"
        additional "{{ .Name }} 60 IN TXT \\"{{ .Type }} {{ .Class }} {{ index .Match 1 }}\\""
        fallthrough
    }
    template IN A hex.example {
        match "^ip0a(?P<b>[a-f0-9]{2})(?P<c>[a-f0-9]{2})(?P<d>[a-f0-9]{2})[.]hex[.]example[.]$"
        answer "{{ .Name }} 3600 IN A 10.{{ parseInt .Group.b 16 8 }}.{{ parseInt .Group.c 16 8 }}.{{ parseInt .Group.d 16 8 }}"
    }
    template IN A alias.example {
        answer "{{ .Name }} 60 IN CNAME www.example.net."
    }
    forward . {UP}
}
`,
    questions: [
      "a.dev.example A",
      "A.b.Dev.example A",
      "a.dev.example AAAA",
      "a.dev.example MX",
      "ip-10-1-2-3.lab.example A",
      "IP-10-1-2-3.lab.example A",
      "other.lab.example A",
      "ip0a0a0b0c.hex.example A",
      "ipxx.hex.example A",
      "x.alias.example A",
    ],
  },
  {
    name: "nxdomain-rules",
    corefile: `.:{PORT} {
    template ANY ANY ads.example {
        rcode NXDOMAIN
        authority "ads.example. 60 IN SOA ns.ads.example. hostmaster.ads.example. (1 60 60 60 60)"
        ederror 15 "blocked"
    }
    template IN AAAA {
        match "^v4only[.]"
        rcode NOERROR
        fallthrough
    }
    template ANY ANY search.local {
        rcode SERVFAIL
    }
    forward . {UP}
}
`,
    questions: [
      "x.ads.example A",
      "ads.example TXT",
      "v4only.example.net AAAA",
      "www.example.net AAAA",
      "a.search.local A",
    ],
  },
  {
    name: "acl",
    corefile: `.:{PORT} {
    acl {
        allow net 127.0.0.1/32
        block type ANY
        filter type AAAA net 127.0.0.2/32
        block net 127.0.0.3/32
        drop net 127.0.0.4
        allow net *
    }
    acl corp.internal {
        block
    }
    forward . {UP}
}
`,
    questions: [
      "www.example.net A",
      "www.example.net AAAA from=127.0.0.2",
      "www.example.net A from=127.0.0.2",
      "www.example.net A from=127.0.0.3",
      "www.example.net A from=127.0.0.4",
      "www.example.net ANY from=127.0.0.5",
      "git.corp.internal A",
    ],
  },
  {
    name: "dns64",
    corefile: `.:{PORT} {
    dns64 {
        prefix 64:ff9b::/96
        allow_ipv4
    }
    forward . {UP}
}
`,
    questions: [
      "v4.example.net AAAA",
      "www.example.net AAAA",
      "alias.example.net AAAA",
      "none.example.net AAAA",
      "v4.example.net A",
    ],
  },
  {
    name: "views",
    corefile: `.:{PORT} {
    view inside {
        expr incidr(client_ip(), '127.0.0.2/32')
    }
    hosts /dev/null {
        10.0.0.2 app.test
    }
}
.:{PORT} {
    view addresses {
        expr type() in ['A', 'AAAA'] && name() matches '^app\\\\.'
        expr not (bufsize() < 100)
    }
    hosts /dev/null {
        10.0.0.3 app.test
    }
}
.:{PORT} {
    template ANY ANY {
        rcode REFUSED
    }
}
`,
    questions: [
      "app.test A from=127.0.0.2",
      "app.test A",
      "APP.test A",
      "app.test MX",
      "app.test MX from=127.0.0.2",
      "other.test A",
    ],
  },
  {
    name: "zone-file",
    corefile: `example.org:{PORT} {
    file example.org.zone {
        reload 0
    }
    errors
}
.:{PORT} {
    forward . {UP}
}
`,
    files: { "example.org.zone": ZONE },
    questions: [
      "example.org SOA",
      "example.org NS",
      "www.example.org A",
      "www.example.org MX",
      "alias.example.org A",
      "alias.example.org AAAA",
      "out.example.org A",
      "some.example.org TXT",
      "some.example.org A",
      "a.wild.example.org A",
      "a.b.wild.example.org A",
      "wild.example.org A",
      "mail.example.org MX",
      "host.sub.example.org A",
      "sub.example.org NS",
      "empty.node.example.org A",
      "node.example.org A",
      "x.www.example.org A",
      "WWW.Example.ORG A",
    ],
    differences: {
      "www.example.org MX": "negative TTL: the smaller of the SOA's TTL and minimum (RFC 2308)",
      "some.example.org A": "negative TTL: the smaller of the SOA's TTL and minimum (RFC 2308)",
      "wild.example.org A": "negative TTL: the smaller of the SOA's TTL and minimum (RFC 2308)",
      "empty.node.example.org A": "negative TTL: the smaller of the SOA's TTL and minimum (RFC 2308)",
      "node.example.org A": "negative TTL: the smaller of the SOA's TTL and minimum (RFC 2308)",
      "x.www.example.org A": "negative TTL: the smaller of the SOA's TTL and minimum (RFC 2308)",
    },
  },
  {
    name: "small-plugins",
    corefile: `.:{PORT} {
    any
    chaos resolver-1 "the operators"
    local
    minimal
    header {
        response set ra
        response clear aa
    }
    nsid this-one
    whoami
}
`,
    questions: [
      "www.example.net ANY",
      "localhost A",
      "localhost AAAA",
      "a.localhost A",
      "1.0.0.127.in-addr.arpa PTR",
      "localhost.example.net A",
      "www.example.net TXT +nsid",
    ],
    differences: {
      "www.example.net ANY": "AA is set: the answer is made here",
      "localhost A": "AA is set: the answer is made here",
      "localhost AAAA": "AA is set: the answer is made here",
      "a.localhost A": "AA is set: the answer is made here",
      "1.0.0.127.in-addr.arpa PTR": "AA is set: the answer is made here",
      "localhost.example.net A": "AA is set: the answer is made here",
    },
  },
  {
    name: "bufsize",
    corefile: `.:{PORT} {
    bufsize 512
    forward . {UP}
}
`,
    questions: [
      "big.example.net A",
      "big.example.net A +tcp +sort",
      "www.example.net A",
      "text.example.net TXT +noedns",
    ],
  },
  {
    name: "forward-chains",
    corefile: `.:{PORT} {
    forward corp.internal {UP}
    forward example.net {UP} {
        next NXDOMAIN
        next_on_nodata
        except v4.example.net
    }
    forward . {UP}
}
`,
    questions: [
      "git.corp.internal A",
      "www.example.net A",
      "v4.example.net A",
      "none.example.net A",
      "v4.example.net AAAA",
      "redis.service.consul A",
    ],
  },
  {
    name: "snippets",
    corefile: `(common) {
    errors
    import hosts.part
}
(up) {
    forward {args[0]} {UP}
}
example.test:{PORT}, example.lab:{PORT} {
    import common
}
corp.internal:{PORT} {
    import common
    forward . {UP}
}
import extra/*.server
`,
    files: {
      "hosts.part": "hosts /dev/null {\n    10.9.9.9 a.example.test a.example.lab\n    fallthrough\n}\n",
      "extra/one.server": "extra.test:{PORT} {\n    whoami\n}\n",
      "extra/two.txt": "nonsense {\n",
    },
    questions: [
      "a.example.test A",
      "a.example.lab A",
      "git.corp.internal A",
      "nowhere.test A",
      "none.example.test A",
    ],
  },
  {
    name: "reverse-range",
    corefile: `10.0.0.0/24:{PORT} {
    template IN PTR {
        match ^(?P<d>[0-9]+)\\.0\\.0\\.10\\.in-addr\\.arpa\\.$
        answer "{{ .Name }} 60 IN PTR host-{{ .Group.d }}.example.test."
    }
}
192.0.2.0/25:{PORT} {
    hosts /dev/null {
        192.0.2.5 five.example.test
    }
}
.:{PORT} {
    template ANY ANY {
        rcode NXDOMAIN
    }
}
`,
    questions: [
      "7.0.0.10.in-addr.arpa PTR",
      "7.1.0.10.in-addr.arpa PTR",
      "5.2.0.192.in-addr.arpa PTR",
      "200.2.0.192.in-addr.arpa PTR",
    ],
    differences: {
      "5.2.0.192.in-addr.arpa PTR":
        "hosts: CoreDNS leaves out lines whose name is outside of the zones, reverse names with them",
    },
  },
  {
    name: "autopath-file",
    corefile: `.:{PORT} {
    autopath search.conf
    hosts /dev/null {
        10.0.0.1 web.first.test
        10.0.0.2 db.second.test
        fallthrough
    }
    forward . {UP}
}
`,
    files: { "search.conf": "search first.test second.test\nnameserver 127.0.0.1\n" },
    questions: [
      "web.first.test A",
      "db.first.test A",
      "www.example.net.first.test A",
      "www.example.net A",
      "none.first.test A",
      "db.first.test AAAA",
    ],
    differences: {
      "db.first.test AAAA": "the alias is shown also when it leads to no record of the type",
    },
  },
  {
    name: "loadbalance",
    corefile: `.:{PORT} {
    loadbalance round_robin {
        prefer 198.51.100.3/32
    }
    cache 60
    forward . {UP}
}
`,
    questions: [
      "three.example.net A +sort",
      "three.example.net A +sort",
      "alias.example.net A",
      "example.net MX",
    ],
  },
  {
    name: "cache-options",
    corefile: `.:{PORT} {
    cache 100 example.net {
        success 2048 50
        denial 2048 20 10
        keepttl
        disable success mail.example.net
        servfail 10s
    }
    forward . {UP}
}
`,
    questions: [
      "www.example.net A",
      "www.example.net A",
      "none.example.net A",
      "none.example.net A",
      "v4.example.net AAAA",
      "mail.example.net A",
      "mail.example.net A",
      "git.corp.internal A",
      "alias.example.net A",
      "alias.example.net A",
      "WWW.example.NET A",
    ],
    differences: {
      "mail.example.net A": "what is not kept keeps its TTL",
    },
  },
  {
    name: "transfer",
    corefile: `example.org:{PORT} {
    file example.org.zone
    transfer {
        to 127.0.0.1
    }
}
`,
    files: { "example.org.zone": ZONE },
    questions: [
      "example.org AXFR +tcp +sort",
      "example.org AXFR +tcp +sort from=127.0.0.9",
      "www.example.org AXFR +tcp",
    ],
  },
  {
    name: "conditions",
    corefile: `.:{PORT} {
    metadata
    template IN TXT meta.test {
        match "^(?P<host>[a-z]+)[.]"
        var letters "len(group('host'))"
        expr "letters > 2 and client_ip() != '127.0.0.9'"
        answer "{{ .Name }} 60 IN TXT \\"{{ .Var.letters }} {{ .Zone }} {{ .Question.Name }}{{ if gt .Var.letters 4 }} long{{ end }}\\""
        fallthrough
    }
    template ANY ANY meta.test {
        rcode NXDOMAIN
    }
    whoami
}
`,
    questions: [
      "abc.meta.test TXT",
      "abcdef.meta.test TXT",
      "ab.meta.test TXT",
      "abc.meta.test TXT from=127.0.0.9",
      "abc.meta.test A",
    ],
  },
];
