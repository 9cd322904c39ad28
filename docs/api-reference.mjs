/**
 * Writes the reference of the API, as Markdown, from the comments of the .proto files.
 *
 *     buf build -o -#format=json | node docs/api-reference.mjs
 *
 * What it reads is a google.protobuf.FileDescriptorSet in JSON, whose comments have the path of what they are about:
 * field numbers and indices from the file down (descriptor.proto, SourceCodeInfo.Location).
 */
import process from "node:process";
import { text } from "node:stream/consumers";

const PACKAGE = "executor.v1";

/** Field numbers of FileDescriptorProto, ServiceDescriptorProto, DescriptorProto and EnumDescriptorProto. */
const IN_FILE = { messages: 4, enums: 5, services: 6, syntax: 12 };
const METHODS = 2;
const FIELDS = 2;
const VALUES = 2;

const CODE =
  /^((?:INVALID|ALREADY|NOT|PERMISSION|FAILED|RESOURCE|OUT|DEADLINE)_[A-Z_]+|UNAVAILABLE|UNAUTHENTICATED|ABORTED|CANCELLED)(?=[:,])/gm;

/** Of a file: gives the comment at a path. */
function commentsOf({ sourceCodeInfo }) {
  const comments = new Map(
    sourceCodeInfo.location.map(({ path = [], leadingComments = "" }) => [path.join(), leadingComments]),
  );
  return (...path) =>
    (comments.get(path.join()) ?? "")
      .split("\n")
      .map((line) => line.replace(/^ /, ""))
      .join("\n")
      .trim();
}

/** ".executor.v1.Exit" as a link; foreign types by their name. */
function typeName(name) {
  const [, own] = new RegExp(`^\\.${PACKAGE}\\.(\\w+)$`).exec(name) ?? [];
  return own === undefined ? name.replace(/^\./, "") : `[${own}](#${own.toLowerCase()})`;
}

function typeOf(field, message) {
  const entry = message.nestedType?.find(({ name }) => field.typeName?.endsWith(`.${message.name}.${name}`));
  if (entry?.options?.mapEntry)
    return `map of ${entry.field.map((part) => typeOf(part, entry)).join(" to ")}`;
  const type = field.typeName ? typeName(field.typeName) : field.type.replace("TYPE_", "").toLowerCase();
  if (field.label === "LABEL_REPEATED") return `list of ${type}`;
  if (field.proto3Optional) return `${type}, optional`;
  const oneof = field.oneofIndex === undefined ? undefined : message.oneofDecl[field.oneofIndex].name;
  return oneof === undefined ? type : `${type}, one of ${oneof}`;
}

/** A comment in a cell of a table: one line. */
function cell(comment) {
  return comment
    .replaceAll(/\s*\n\s*/g, " ")
    .replaceAll("|", "\\|")
    .replaceAll("<", "&lt;");
}

/** A comment as it is, with each code that begins a line as an item of a list. */
function prose(comment) {
  return comment.replaceAll("<", "&lt;").replaceAll(CODE, "- `$1`");
}

function table(head, rows) {
  if (rows.length === 0) return [];
  return [
    `| ${head.join(" | ")} |`,
    `| ${head.map(() => "---").join(" | ")} |`,
    ...rows.map((row) => `| ${row.join(" | ")} |`),
    "",
  ];
}

function serviceOf(service, index, commentAt) {
  return [
    `## ${service.name}`,
    "",
    prose(commentAt(IN_FILE.services, index)),
    "",
    ...service.method.flatMap((method, at) => [
      `### ${method.name}`,
      "",
      `${typeName(method.inputType)} → ${method.serverStreaming ? "stream of " : ""}${typeName(method.outputType)}`,
      "",
      prose(commentAt(IN_FILE.services, index, METHODS, at)),
      "",
    ]),
  ];
}

function messageOf(message, index, commentAt) {
  const rows = (message.field ?? []).map((field, at) => [
    `\`${field.name}\``,
    typeOf(field, message),
    cell(commentAt(IN_FILE.messages, index, FIELDS, at)),
  ]);
  return [
    `### ${message.name}`,
    "",
    prose(commentAt(IN_FILE.messages, index)),
    "",
    ...table(["field", "type", ""], rows),
  ];
}

function enumOf(one, index, commentAt) {
  const rows = one.value.map((value, at) => [
    `\`${value.name}\``,
    String(value.number ?? 0),
    cell(commentAt(IN_FILE.enums, index, VALUES, at)),
  ]);
  return [
    `### ${one.name}`,
    "",
    prose(commentAt(IN_FILE.enums, index)),
    "",
    ...table(["value", "number", ""], rows),
  ];
}

const { file: files } = JSON.parse(await text(process.stdin));
const own = files.filter((file) => file.package === PACKAGE);
const each = (kind, write) =>
  own.flatMap((file) => (file[kind] ?? []).flatMap((one, index) => write(one, index, commentsOf(file))));
const lines = [
  "# API",
  "",
  ...own.flatMap((file) => [prose(commentsOf(file)(IN_FILE.syntax)), ""]),
  "This page is made of the comments in `proto/` by `make docs`.",
  "",
  ...each("service", serviceOf),
  "## Messages",
  "",
  ...each("messageType", messageOf),
  "## Enums",
  "",
  ...each("enumType", enumOf),
];
process.stdout.write(
  `${lines
    .join("\n")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trim()}\n`,
);
