/** Corefiles: names of hosts, search lists, ranges of reverse names. */
import type { CorefileCase } from "../corefile-case.ts";

export const HOSTS: readonly CorefileCase[] = [
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
];
