/** Corefiles: names, types and answers rewritten. */
import type { CorefileCase } from "../corefile-case.ts";

export const REWRITING: readonly CorefileCase[] = [
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
];
