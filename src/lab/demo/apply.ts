/** Layer lab. Applies objects the way a person would: with kubectl where there is one, else through the API itself. */
import { stringify } from "yaml";
import { NodeplaneError } from "../../model/errors.ts";
import { ApiClient, type ApiObject, at } from "../api-client.ts";
import type { LabDir } from "../lab-dir.ts";
import { run } from "../run.ts";

const COLLECTIONS: Readonly<Record<string, string>> = {
  Service: "services",
  Namespace: "namespaces",
  Pod: "pods",
};

function collectionOf(object: ApiObject): string {
  const plural = COLLECTIONS[String(object["kind"])];
  if (plural === undefined)
    throw new NodeplaneError("CONFIG_INVALID", {
      object: String(object["kind"]),
      detail: "this kind cannot be applied here",
    });
  if (plural === "namespaces") return "/api/v1/namespaces";
  return `/api/v1/namespaces/${String(at(object, "metadata", "namespace") ?? "default")}/${plural}`;
}

/** Creates or updates `object`. @returns what was said about it */
export async function applyObject(
  lab: LabDir,
  object: ApiObject,
  kubectl: string | undefined,
): Promise<string> {
  if (kubectl !== undefined) {
    const text = await run([kubectl, "--kubeconfig", lab.file("kubeconfig"), "apply", "-f", "-"], {
      input: stringify(object),
      timeoutMs: 20_000,
    });
    return text.trim();
  }
  const api = new ApiClient(lab.file("kubeconfig"));
  try {
    await api.apply(collectionOf(object), object);
    return `${String(object["kind"]).toLowerCase()}/${String(at(object, "metadata", "name"))} applied (no kubectl here: sent to the API directly)`;
  } finally {
    api.close();
  }
}
