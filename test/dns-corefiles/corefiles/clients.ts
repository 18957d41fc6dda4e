/** Corefiles: who asks decides, or what they can reach. */
import type { CorefileCase } from "../corefile-case.ts";

export const CLIENTS: readonly CorefileCase[] = [
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
];
