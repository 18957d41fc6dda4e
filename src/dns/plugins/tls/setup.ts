/** Layer dns. The `tls` plugin: certificate and key of `tls://` and `https://` listeners. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { corefileError } from "../../corefile/corefile-error.ts";
import { expectArgs, readOptions, refuseOption, wordArg } from "../../corefile/options.ts";
import type { PluginDefinition } from "../../plugin.ts";

const CLIENT_AUTH = ["nocert", "request", "require", "verify_if_given", "require_and_verify"] as const;

export const tls: PluginDefinition = {
  name: "tls",
  setup: ([directive, second], context) => {
    if (directive === undefined) return [];
    if (second !== undefined) throw corefileError(second, "tls", "allowed once in a server block");
    if (directive.args[0] === "acme")
      throw corefileError(directive, "tls", "acme is not supported: name certificate and key");
    expectArgs(directive, 2, 3, "tls CERTIFICATE KEY [CA]");
    const [cert, key, ca] = directive.args.map((path) => {
      try {
        return readFileSync(resolve(context.folder, path));
      } catch (error) {
        throw corefileError(directive, "tls", error instanceof Error ? error.message : `cannot read ${path}`);
      }
    });
    let clientAuth = "nocert" as (typeof CLIENT_AUTH)[number];
    readOptions(directive, {
      client_auth: (option) => {
        expectArgs(option, 1, 1, `client_auth ${CLIENT_AUTH.join("|")}`);
        clientAuth = wordArg(option, 0, CLIENT_AUTH);
      },
      keylog: refuseOption("is not supported"),
    });
    const verifies = clientAuth === "verify_if_given" || clientAuth === "require_and_verify";
    if (verifies && ca === undefined) throw corefileError(directive, "tls", `${clientAuth} needs a CA`);
    context.setTls({
      minVersion: "TLSv1.2",
      requestCert: clientAuth !== "nocert",
      rejectUnauthorized: clientAuth === "require_and_verify",
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(ca === undefined ? {} : { ca }),
    });
    return [];
  },
};
