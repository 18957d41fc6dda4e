/** Layer dns. Corefile lines of the `template` plugin (CoreDNS 1.14). */
import type { PluginDefinition } from "../../plugin.ts";
import { parseTemplate } from "./options.ts";
import { TemplateMetrics, TemplatePlugin } from "./template.ts";

export const template: PluginDefinition = {
  name: "template",
  setup: (directives, context) => {
    const metrics = new TemplateMetrics(context.runtime.metrics);
    return directives.map((directive) => new TemplatePlugin(parseTemplate(directive, context), metrics));
  },
};
