/** The dialog that lists the machines which train the jobs. */
import { useEffect, useState } from "preact/hooks";
import { get } from "../api.js";
import { html, useStyles } from "../html.js";
import { complain } from "../notices.js";
import { size } from "../words.js";
import { Dialog } from "./dialog.js";

/** @typedef {import("../records.js").Host} Host */

const READ_MS = 5000;
const time = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** @param {{ onClose: () => void }} props */
export function Hosts({ onClose }) {
  useStyles("dialogs/hosts.css");
  const [hosts, setHosts] = useState(/** @type {Host[] | null} */ (null));
  useEffect(() => {
    const read = async () => setHosts((await get("/v1/system", { quiet: true })).hosts ?? []);
    const again = () => void read().catch(() => {}); // the connection says that there is none
    read().catch(complain);
    const reading = setInterval(again, READ_MS);
    return () => clearInterval(reading);
  }, []);
  return html`<${Dialog} title="Hosts" onClose=${onClose} wide>
    ${hosts === null && html`<p class="hush">Reading…</p>`}
    ${hosts?.length === 0 && html`<p>No host is there, so jobs wait. <code>mlp-service work</code> starts one.</p>`}
    ${hosts && hosts.length > 0 && html`<${List} hosts=${hosts} />`}
  <//>`;
}

/** @param {{ hosts: Host[] }} props */
function List({ hosts }) {
  return html`<div class="hosts" tabindex="0" role="region" aria-label="Hosts"><table>
    <thead><tr><th scope="col">Host</th><th scope="col">Busy</th><th scope="col">Largest job</th><th scope="col">Version</th><th scope="col">Since</th></tr></thead>
    <tbody>${hosts.map((host) => html`<${Row} key=${host.id} host=${host} />`)}</tbody>
  </table></div>`;
}

/** @param {{ host: Host }} props */
function Row({ host }) {
  return html`<tr>
    <th scope="row" title=${host.id}>${host.name}</th>
    <td><meter max=${host.slots} value=${host.busy} aria-hidden="true"></meter> ${host.busy} of ${host.slots}</td>
    <td>${size(host.memory)}</td>
    <td>${host.version}</td>
    <td><time datetime=${host.started_at}>${time.format(new Date(host.started_at))}</time></td>
  </tr>`;
}
