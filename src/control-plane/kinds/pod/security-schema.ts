/**
 * Layer control-plane. Schema of security settings of pods and containers.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { bool, int64, list, message, ref, string } from "../../registry/schema.ts";

const CAPABILITIES = message("io.k8s.api.core.v1.Capabilities", "Linux capabilities to add and to drop.", {
  add: list(1, "string", "Capabilities added to the runtime's default set.", { listType: "atomic" }),
  drop: list(2, "string", "Capabilities removed from it.", { listType: "atomic" }),
});

const SE_LINUX_OPTIONS = message("io.k8s.api.core.v1.SELinuxOptions", "SELinux label of the processes.", {
  user: string(1, "SELinux user."),
  role: string(2, "SELinux role."),
  type: string(3, "SELinux type."),
  level: string(4, "SELinux level."),
});

const SECCOMP_PROFILE = message("io.k8s.api.core.v1.SeccompProfile", "Which seccomp filter applies.", {
  type: string(1, "Where the profile comes from.", {
    required: true,
    enum: ["Localhost", "RuntimeDefault", "Unconfined"],
  }),
  localhostProfile: string(2, "File of the profile on the node, for type Localhost.", { pointer: true }),
});

const APP_ARMOR_PROFILE = message("io.k8s.api.core.v1.AppArmorProfile", "Which AppArmor profile applies.", {
  type: string(1, "Where the profile comes from.", {
    required: true,
    enum: ["Localhost", "RuntimeDefault", "Unconfined"],
  }),
  localhostProfile: string(2, "Profile loaded on the node, for type Localhost.", { pointer: true }),
});

const WINDOWS_SECURITY_CONTEXT_OPTIONS = message(
  "io.k8s.api.core.v1.WindowsSecurityContextOptions",
  "Settings that only Windows nodes read.",
  {
    gmsaCredentialSpecName: string(1, "Name of the GMSA credential to use.", { pointer: true }),
    gmsaCredentialSpec: string(2, "Content of that credential.", { pointer: true }),
    runAsUserName: string(3, "Windows user of the process.", { pointer: true }),
    hostProcess: bool(4, "Run as a host process.", { pointer: true }),
  },
);

const SYSCTL = message("io.k8s.api.core.v1.Sysctl", "One kernel parameter of the Pod's namespaces.", {
  name: string(1, "Parameter name.", { required: true }),
  value: string(2, "Value to set.", { required: true }),
});

export const SECURITY_CONTEXT = message(
  "io.k8s.api.core.v1.SecurityContext",
  "Security settings of one container; they win over the Pod's.",
  {
    capabilities: ref(1, CAPABILITIES, "Capabilities to add or drop.", { pointer: true }),
    privileged: bool(2, "Run with the host's powers.", { pointer: true }),
    seLinuxOptions: ref(3, SE_LINUX_OPTIONS, "SELinux label.", { pointer: true }),
    windowsOptions: ref(10, WINDOWS_SECURITY_CONTEXT_OPTIONS, "Settings for Windows.", { pointer: true }),
    runAsUser: int64(4, "User id of the entry point.", { pointer: true }),
    runAsGroup: int64(8, "Group id of the entry point.", { pointer: true }),
    runAsNonRoot: bool(5, "Refuse to start as user id 0.", { pointer: true }),
    readOnlyRootFilesystem: bool(6, "Mount the root file system read-only.", { pointer: true }),
    allowPrivilegeEscalation: bool(7, "Whether a process may gain more privileges than its parent.", {
      pointer: true,
    }),
    procMount: string(9, "How /proc is mounted.", { pointer: true }),
    seccompProfile: ref(11, SECCOMP_PROFILE, "Seccomp filter.", { pointer: true }),
    appArmorProfile: ref(12, APP_ARMOR_PROFILE, "AppArmor profile.", { pointer: true }),
  },
);

export const POD_SECURITY_CONTEXT = message(
  "io.k8s.api.core.v1.PodSecurityContext",
  "Security settings for all containers of a Pod.",
  {
    seLinuxOptions: ref(1, SE_LINUX_OPTIONS, "SELinux label.", { pointer: true }),
    windowsOptions: ref(8, WINDOWS_SECURITY_CONTEXT_OPTIONS, "Settings for Windows.", { pointer: true }),
    runAsUser: int64(2, "User id of the entry points.", { pointer: true }),
    runAsGroup: int64(6, "Group id of the entry points.", { pointer: true }),
    runAsNonRoot: bool(3, "Refuse to start as user id 0.", { pointer: true }),
    supplementalGroups: list(4, "int64", "Further group ids of the first process of each container.", {
      listType: "atomic",
    }),
    supplementalGroupsPolicy: string(12, "How further groups are computed.", {
      pointer: true,
      enum: ["Merge", "Strict"],
    }),
    fsGroup: int64(5, "Group that owns the volumes which support it.", { pointer: true }),
    sysctls: list(7, SYSCTL, "Kernel parameters to set.", { listType: "atomic" }),
    fsGroupChangePolicy: string(9, "When ownership of volumes is changed.", {
      pointer: true,
      enum: ["OnRootMismatch", "Always"],
    }),
    seccompProfile: ref(10, SECCOMP_PROFILE, "Seccomp filter.", { pointer: true }),
    appArmorProfile: ref(11, APP_ARMOR_PROFILE, "AppArmor profile.", { pointer: true }),
    seLinuxChangePolicy: string(13, "How volumes get their SELinux label.", { pointer: true }),
  },
);
