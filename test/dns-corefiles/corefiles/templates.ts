/** Corefiles: answers made by templates. */
import type { CorefileCase } from "../corefile-case.ts";

export const TEMPLATES: readonly CorefileCase[] = [
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
