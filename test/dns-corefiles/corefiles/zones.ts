/** Corefiles: zones from files and their transfer. */
import type { CorefileCase } from "../corefile-case.ts";
import { ZONE } from "../zone-texts.ts";

export const ZONES: readonly CorefileCase[] = [
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
];
