/** Copies text, also on plain http, where browsers have no clipboard for pages. */
import { notify } from "../notices.js";

/**
 * Copy text to the clipboard, or show it selected if the browser does not allow that.
 *
 * @param {string} text
 * @returns {Promise<boolean>} whether it was copied
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    showSelected(text);
    return false;
  }
}

/** @param {string} text */
export async function copyAndSay(text) {
  if (await copyText(text)) notify({ text: "Copied." });
}

/** @param {string} text */
function showSelected(text) {
  const dialog = document.createElement("dialog");
  const box = Object.assign(document.createElement("textarea"), {
    value: text,
    readOnly: true,
    rows: 6,
  });
  const words = Object.assign(document.createElement("label"), { textContent: "Press Ctrl+C" });
  const close = Object.assign(document.createElement("button"), { textContent: "Close" });
  dialog.className = "copy-box";
  close.onclick = () => dialog.close();
  dialog.onclose = () => dialog.remove();
  words.append(box);
  dialog.append(words, close);
  document.body.append(dialog);
  dialog.showModal();
  box.select();
}
