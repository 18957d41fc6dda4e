/** Corefiles: snippets and imports, plugins of a line or two. */
import type { CorefileCase } from "../corefile-case.ts";

export const COMPOSING: readonly CorefileCase[] = [
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
];
