/** For tests: short forms of requests to the API. */
import type { ApiObject } from "../../../src/control-plane/registry/json.ts";
import { at, parse, type RequestOptions, type RunningApi } from "./api-server.ts";

export const WIDGETS = "/apis/example.io/v1/namespaces/default/widgets";
export const JSON_TYPE = { "content-type": "application/json" };
export const widget = (name: string, more: object = {}): ApiObject => {
  return {
    apiVersion: "example.io/v1",
    kind: "Widget",
    metadata: { name, namespace: "default", ...more },
    spec: { colour: "red" },
  };
};

export const json = async (
  api: RunningApi,
  path: string,
  options?: RequestOptions,
): Promise<{ code: number; value: Readonly<Record<string, unknown>> }> => {
  const { code, body } = await api.request(path, options);
  return { code, value: parse(body) as Readonly<Record<string, unknown>> };
};
export const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
export const text = (value: unknown, path: string): string => textOf(at(value, path));
export const post = async (api: RunningApi, path: string, value: unknown) =>
  await json(api, path, { method: "POST", headers: JSON_TYPE, body: JSON.stringify(value) });
