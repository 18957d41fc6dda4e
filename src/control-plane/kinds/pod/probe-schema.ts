/**
 * Layer control-plane. Schema of probes, lifecycle handlers and their actions.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { int32, int64, intOrString, list, message, ref, string } from "../../registry/schema.ts";

const HTTP_HEADER = message("io.k8s.api.core.v1.HTTPHeader", "One header of a probe's request.", {
  name: string(1, "Header name.", { required: true }),
  value: string(2, "Header value.", { required: true }),
});

const HTTP_GET_ACTION = message(
  "io.k8s.api.core.v1.HTTPGetAction",
  "Asks an HTTP server; every status from 200 to 399 is a success.",
  {
    path: string(1, "Path to ask for."),
    port: intOrString(2, "Port number, or the name of one of the container's ports.", { required: true }),
    host: string(3, "Host to connect to; the Pod's address if empty. Set a Host header rather than this."),
    scheme: string(4, "Protocol to speak; HTTP if empty.", { enum: ["HTTP", "HTTPS"] }),
    httpHeaders: list(5, HTTP_HEADER, "Headers to send along.", { listType: "atomic" }),
  },
);

const TCP_SOCKET_ACTION = message(
  "io.k8s.api.core.v1.TCPSocketAction",
  "Opens a TCP connection; it succeeds when the connection is accepted.",
  {
    port: intOrString(1, "Port number, or the name of one of the container's ports.", { required: true }),
    host: string(2, "Host to connect to; the Pod's address if empty."),
  },
);

const EXEC_ACTION = message("io.k8s.api.core.v1.ExecAction", "Runs a command; exit status 0 is a success.", {
  command: list(1, "string", "Program and arguments; no shell is involved.", { listType: "atomic" }),
});

const GRPC_ACTION = message("io.k8s.api.core.v1.GRPCAction", "Asks the gRPC health service.", {
  port: int32(1, "Port number of the gRPC server.", { required: true }),
  service: string(2, "Service name to put into the health request; empty asks for the whole server.", {
    pointer: true,
    required: true,
  }),
});

const SLEEP_ACTION = message("io.k8s.api.core.v1.SleepAction", "Waits.", {
  seconds: int64(1, "How many seconds to wait.", { required: true }),
});

const PROBE_HANDLER = message(
  "io.k8s.api.core.v1.ProbeHandler",
  "The action of a probe: exactly one of its fields.",
  {
    exec: ref(1, EXEC_ACTION, "Run a command.", { pointer: true }),
    httpGet: ref(2, HTTP_GET_ACTION, "Ask an HTTP server.", { pointer: true }),
    tcpSocket: ref(3, TCP_SOCKET_ACTION, "Open a TCP connection.", { pointer: true }),
    grpc: ref(4, GRPC_ACTION, "Ask the gRPC health service.", { pointer: true }),
  },
);

export const PROBE = message(
  "io.k8s.api.core.v1.Probe",
  "A repeated check of a container or of the service behind it.",
  {
    handler: ref(1, PROBE_HANDLER, "What the probe does.", { inline: true }),
    initialDelaySeconds: int32(2, "Seconds between start and first check."),
    timeoutSeconds: int32(3, "Seconds after which a check counts as failed.", { default: 1 }),
    periodSeconds: int32(4, "Seconds between checks.", { default: 10 }),
    successThreshold: int32(5, "Successes in a row that turn a failed probe good.", { default: 1 }),
    failureThreshold: int32(6, "Failures in a row that turn a good probe bad.", { default: 3 }),
    terminationGracePeriodSeconds: int64(
      7,
      "Seconds that the container gets to stop after this probe failed, instead of the Pod's own value.",
      { pointer: true },
    ),
  },
);

const LIFECYCLE_HANDLER = message(
  "io.k8s.api.core.v1.LifecycleHandler",
  "An action at a point of a container's life: exactly one of its fields.",
  {
    exec: ref(1, EXEC_ACTION, "Run a command.", { pointer: true }),
    httpGet: ref(2, HTTP_GET_ACTION, "Ask an HTTP server.", { pointer: true }),
    tcpSocket: ref(3, TCP_SOCKET_ACTION, "Kept for compatibility; does nothing.", { pointer: true }),
    sleep: ref(4, SLEEP_ACTION, "Wait.", { pointer: true }),
  },
);

export const LIFECYCLE = message(
  "io.k8s.api.core.v1.Lifecycle",
  "Actions around a container's start and stop.",
  {
    postStart: ref(1, LIFECYCLE_HANDLER, "Done right after the container was created.", { pointer: true }),
    preStop: ref(2, LIFECYCLE_HANDLER, "Done before the container is stopped by the system.", {
      pointer: true,
    }),
    stopSignal: string(3, "Signal that stops the container instead of the image's own.", { pointer: true }),
  },
);
