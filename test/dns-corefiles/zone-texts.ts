/** Zones of the Corefile cases, as the text of master files. */
const SOA = "@ 3600 SOA ns1 hostmaster 7 7200 1800 86400 60\n@ 3600 NS ns1\nns1 3600 A 192.0.2.53\n";

/** Of the upstream, by origin. */
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

/** `example.org`, of the cases that serve it themselves. */
export const ZONE = `$ORIGIN example.org.
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
