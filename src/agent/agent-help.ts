/** Layer agent. The text of `nodeplane agent --help`. Lists the flags that people use; docs/configuration.md has all. */
export const AGENT_HELP = `Usage: nodeplane agent --control-plane HOST:6444 [options]
       nodeplane agent --objects PATH [options]

Programs this node's kernel (nftables, iptables or IPVS) so that Kubernetes Services reach their endpoints. Runs as
root until SIGTERM; the rules stay when it ends.

Where objects come from (one of the two):
  --control-plane HOST:PORT    the node stream of a control plane
  --objects PATH               standalone: Services, EndpointSlices, Nodes … from a file or folder of YAML or JSON lines

Options:
  --config FILE                KubeProxyConfiguration and AgentConfiguration (YAML); flags win over it
  --write-config-to FILE       write what file, flags and defaults come to, and end
  --cleanup                    remove what any mode installed, as 'nodeplane cleanup', and end
  --proxy-mode MODE            nftables (default), iptables or ipvs
  --node-name NAME             this node's name; also --hostname-override (default: the host name)
  --node-ip ADDRESS,…          this node's addresses (default: those of the default route)
  --zone ZONE                  topology zone of this node
  --node-labels K=V,…          labels of the Node object
  --cluster-cidr RANGE,…       the pods' addresses (default 10.244.0.0/16,fd00:10:244::/56)
  --nodeport-addresses RANGE,… where node ports answer (default: primary; in iptables and ipvs mode every local address)
  --masquerade-all             masquerade everything sent to cluster addresses
  --manifest-dir DIR           manifests of workloads that run here (default /etc/nodeplane/manifests)
  --state-dir DIR              last known state (default /var/lib/nodeplane/agent)
  --ca-file, --certificate-file, --key-file FILE
                               certificates for the control plane (default /etc/nodeplane/pki/{ca.crt,node.crt,node.key})
  --healthz-bind-address A:P   /healthz /livez /readyz (default 0.0.0.0:10256; empty or port 0: off)
  --metrics-bind-address A:P   /metrics /proxyMode /configz (default 127.0.0.1:10249; empty or port 0: off)
  --status-socket PATH         what 'nodeplane status' asks (default /run/nodeplane/agent.sock; empty: off)
  --log-level LEVEL            debug, info, warn or error (default info)

docs/configuration.md lists every field with its flag; kube-proxy's flags of these fields have the same names here.
`;
