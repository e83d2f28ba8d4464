/**
 * A request in the words of other programs: curl, Python and HTTPie.
 *
 * @import { Call } from "../api.js"
 */
import { useState } from "preact/hooks";
import { ROOT } from "../api.js";
import { html } from "../html.js";
import { system } from "../state.js";
import { copyAndSay } from "./clipboard.js";

/** @typedef {Pick<Call, "method" | "path" | "body">} Request */
/** @typedef {{ type: string, base64: string }} File a body that is no JSON */
/** @typedef {{ files: string[], fields: Record<string, string> }} Named files by their names alone */

const KEY_VARIABLE = "MLP_API_KEY";
const needsKey = () => system.value?.keys.required ?? false;
const keyOption = () => (needsKey() ? ` -H "Authorization: Bearer $${KEY_VARIABLE}"` : "");
/** @param {string} path */
const address = (path) => location.origin + ROOT + path;
/** @param {unknown} body @returns {body is File} */
const isFile = (body) => typeof body === "object" && body !== null && "base64" in body;

/** @param {unknown} body @returns {body is Named} */
const isNamed = (body) => typeof body === "object" && body !== null && "files" in body;

/** @param {string} text in single quotes, as POSIX shells read it */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** @param {File} file @returns {string} the command that writes its bytes */
const bytesOf = ({ base64 }) => `printf %s ${quoted(base64)} | base64 -d`;

/** @param {string} method @param {Named} body @returns {string} the options of curl that send files */
function filesOf(method, { files, fields }) {
  if (method === "PUT") return `-T ${quoted(files[0])}`;
  const named = Object.entries(fields).map(([name, text]) => `-F ${quoted(`${name}=${text}`)}`);
  return [...named, ...files.map((name) => `-F ${quoted(`file=@${name}`)}`)].join(" ");
}

/** @param {Request} request @returns {string} a command for a POSIX shell */
export function curl({ method, path, body }) {
  const parts = ["curl -s"];
  if (isNamed(body))
    return `curl -s ${filesOf(method, body)}${keyOption()} ${quoted(address(path))}`;
  if (isFile(body)) parts.push(`--data-binary @- -H ${quoted(`Content-Type: ${body.type}`)}`);
  else if (body !== undefined) parts.push(`--json ${quoted(JSON.stringify(body))}`);
  // curl sends GET without a body and POST with one.
  if (method !== (body === undefined ? "GET" : "POST")) parts.push(`-X ${method}`);
  parts[parts.length - 1] += keyOption();
  parts.push(quoted(address(path)));
  return isFile(body) ? `${bytesOf(body)} | ${parts.join(" ")}` : parts.join(" ");
}

/** @param {Request} request @returns {string} a command for a POSIX shell */
export function httpie({ method, path, body }) {
  const key = needsKey() ? ` "Authorization: Bearer $${KEY_VARIABLE}"` : "";
  const call = `http ${method} ${quoted(address(path))}`;
  if (isFile(body)) {
    return `${bytesOf(body)} | ${call} ${quoted(`Content-Type: ${body.type}`)}${key}`;
  }
  // Without a body HTTPie would wait for one whenever its input is no terminal.
  if (body === undefined) return `${call}${key} --ignore-stdin`;
  return `${call}${key} --ignore-stdin --raw ${quoted(JSON.stringify(body))}`;
}

/** @param {unknown} value @returns {string} the value as a Python literal */
function literal(value) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const items = Object.entries(value).map(([name, item]) => `${literal(name)}: ${literal(item)}`);
  return `{${items.join(", ")}}`;
}

/** @param {Request} request @returns {string} a program that needs the package httpx */
export function python({ method, path, body }) {
  const imports = ["import httpx"];
  const values = [`    ${literal(address(path))},`];
  /** @type {string[]} */
  const headers = [];
  if (isFile(body)) {
    imports.unshift("import base64");
    values.push(`    content=base64.b64decode(${literal(body.base64)}),`);
    headers.push(`"Content-Type": ${literal(body.type)}`);
  } else if (body !== undefined) {
    values.push(`    json=${literal(body)},`);
  }
  if (needsKey()) {
    imports.unshift("import os");
    headers.push(`"Authorization": f"Bearer {os.environ['${KEY_VARIABLE}']}"`);
  }
  if (headers.length) values.push(`    headers={${headers.join(", ")}},`);
  const call = ["answer = httpx.request(", `    ${literal(method)},`, ...values, ")"];
  const show = "print(answer.raise_for_status().text)";
  return [...imports, "", ...call, show].join("\n");
}

const FORMS = { curl, Python: python, HTTPie: httpie };

/** The same request in three languages. @param {{ request: Request }} props */
export function Snippets({ request }) {
  const [form, setForm] = useState(/** @type {keyof typeof FORMS} */ ("curl"));
  const text = FORMS[form](request);
  return html`<div class="snippets">
    <div class="forms">
      ${
        /** @type {(keyof typeof FORMS)[]} */ (Object.keys(FORMS)).map(
          (name) =>
            html`<button type="button" class="small" aria-pressed=${name === form} onClick=${() => setForm(name)}>${name}</button>`,
        )
      }
      <button type="button" class="small push" onClick=${() => copyAndSay(text)}>Copy</button>
    </div>
    <pre tabindex="0" aria-label=${`The request for ${form}`}>${text}</pre>
  </div>`;
}

/**
 * Buttons that copy a request.
 *
 * @param {{ request: Request | null }} props null while there is nothing to ask
 */
export function CopyAs({ request }) {
  return html`${
    /** @type {const} */ (["curl", "Python"]).map(
      (name) =>
        html`<button type="button" disabled=${!request} onClick=${() => request && copyAndSay(FORMS[name](request))}>Copy as ${name}</button>`,
    )
  }`;
}
