/** Corefiles: upstreams by domain, chains of them, what is kept of their answers. */
import type { CorefileCase } from "../corefile-case.ts";
import { ZONE } from "../zone-texts.ts";

export const FORWARDING: readonly CorefileCase[] = [
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
];
