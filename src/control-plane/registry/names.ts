/**
 * Layer control-plane. Checks of names, labels and annotations, with the texts of
 * staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go.
 */
const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

const LABEL_RE = new RegExp(`^${LABEL}$`);
const SUBDOMAIN_RE = new RegExp(`^${SUBDOMAIN}$`);
const DNS1035_RE = new RegExp(`^${DNS1035}$`);
const QUALIFIED_RE = new RegExp(`^${QUALIFIED}$`);
const LABEL_VALUE_RE = new RegExp(`^(${QUALIFIED})?$`);

const atMost = (max: number): string => `must be no more than ${max} bytes`;
const regexText = (message: string, format: string, ...examples: readonly string[]): string =>
  examples.length === 0
    ? `${message} (regex used for validation is '${format}')`
    : `${message} (e.g. ${examples.map((example) => `'${example}'`).join(",  or ")}, regex used for validation is '${format}')`;

const SUBDOMAIN_TEXT = regexText(
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
  SUBDOMAIN.replaceAll("\\\\", "\\"),
  "example.com",
);
const LABEL_TEXT = regexText(
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
  LABEL,
  "my-name",
  "123-abc",
);
const DNS1035_TEXT = regexText(
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
  DNS1035,
  "my-name",
  "abc-123",
);
const QUALIFIED_TEXT = regexText(
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  QUALIFIED,
  "MyName",
  "my.name",
  "123-abc",
);
const LABEL_VALUE_TEXT = regexText(
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  `(${QUALIFIED})?`,
  "MyValue",
  "my_value",
  "12345",
);

/** Patterns take time that grows faster than the text: longer ones are only called too long. */
const MAX_MATCHED = 1_024;

function check(value: string, max: number, pattern: RegExp, text: string): readonly string[] {
  const matches = value.length > MAX_MATCHED || pattern.test(value);
  return [...(value.length > max ? [atMost(max)] : []), ...(matches ? [] : [text])];
}

export const dns1123Subdomain = (value: string): readonly string[] =>
  check(value, 253, SUBDOMAIN_RE, SUBDOMAIN_TEXT);
export const dns1123Label = (value: string): readonly string[] => check(value, 63, LABEL_RE, LABEL_TEXT);
export const dns1035Label = (value: string): readonly string[] => check(value, 63, DNS1035_RE, DNS1035_TEXT);

/** As a `validateName`: a generateName may end with a dash, which the random part completes. */
const asName = (checkName: (value: string) => readonly string[]) => {
  return (name: string, prefix: boolean): readonly string[] =>
    checkName(prefix && name.endsWith("-") ? `${name.slice(0, -1)}a` : name);
};
export const subdomainName = asName(dns1123Subdomain);
export const labelName = asName(dns1123Label);
export const dns1035Name = asName(dns1035Label);

/** `prefix/name` keys of labels, annotations and conditions. */
export function qualifiedName(value: string): readonly string[] {
  const parts = value.split("/");
  if (parts.length > 2) {
    return [
      `a qualified name ${QUALIFIED_TEXT.replace("name part ", "")} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const problems: string[] = [];
  const name = parts.at(-1) ?? "";
  if (parts.length === 2) {
    const prefix = parts[0] ?? "";
    if (prefix === "") problems.push("prefix part must be non-empty");
    else problems.push(...dns1123Subdomain(prefix).map((text) => `prefix part ${text}`));
  }
  if (name === "") problems.push("name part must be non-empty");
  else if (name.length > 63) problems.push(`name part ${atMost(63)}`);
  if (name.length <= MAX_MATCHED && !QUALIFIED_RE.test(name)) problems.push(QUALIFIED_TEXT);
  return problems;
}

export const labelValue = (value: string): readonly string[] =>
  check(value, 63, LABEL_VALUE_RE, LABEL_VALUE_TEXT);
