/** iptables mode under the agent's unit: what iptables itself needs (raw sockets, its lock file) is there within the restrictions. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { dropIn, SystemdMachine } from "./machine.ts";

const AGENT = "nodeplane-agent.service";
const OBJECTS = `apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.7, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.244.0.9]}]
`;
const config = (variant: string): string => `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
hostnameOverride: n1
mode: iptables
---
apiVersion: nodeplane.dev/v1alpha1
kind: AgentConfiguration
objects: /etc/nodeplane/objects.yaml
iptables: {variant: ${variant}}
`;

for (const variant of ["legacy", "nft"]) {
  suite(`iptables-${variant}`, () => {
    const machine = new SystemdMachine();
    machine.install(AGENT);
    machine.write(`systemd/system/${AGENT}.d/test.conf`, dropIn(AGENT));
    machine.write("nodeplane/agent.yaml", config(variant));
    machine.write("nodeplane/objects.yaml", OBJECTS);
    before(async () => await machine.boot());
    after(() => machine.close());

    test("the unit turns active with rules in the kernel", async () => {
      machine.run("systemctl", "start", "--no-block", AGENT);
      await machine.waitFor(AGENT, "active", 60_000);
      const rules = machine.run(`iptables-${variant}-save`, "-t", "nat");
      assert.match(rules, /-A KUBE-SEP-\S+ .*-j DNAT --to-destination 10\.244\.0\.9:8080/);
    });
  });
}
