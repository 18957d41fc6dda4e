/** All Corefile cases, by topic. */
import type { CorefileCase } from "./corefile-case.ts";
import { CLIENTS } from "./corefiles/clients.ts";
import { COMPOSING } from "./corefiles/composing.ts";
import { FORWARDING } from "./corefiles/forwarding.ts";
import { HOSTS } from "./corefiles/hosts.ts";
import { REWRITING } from "./corefiles/rewriting.ts";
import { TEMPLATES } from "./corefiles/templates.ts";
import { ZONES } from "./corefiles/zones.ts";

export const COREFILES: readonly CorefileCase[] = [
  ...FORWARDING,
  ...REWRITING,
  ...HOSTS,
  ...TEMPLATES,
  ...CLIENTS,
  ...ZONES,
  ...COMPOSING,
];
