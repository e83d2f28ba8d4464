/** A modal dialog with a title and a button that closes it. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { html, useStyles } from "../html.js";

/**
 * @param {{ title: string, onClose: () => void, wide?: boolean, children?: any }} props
 */
export function Dialog({ title, onClose, wide, children }) {
  useStyles("dialogs/dialogs.css");
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useLayoutEffect(() => {
    // It is modal as soon as it is there, so that no key goes to what is behind it.
    const opener = /** @type {HTMLElement | null} */ (document.activeElement);
    element.current?.showModal();
    element.current?.querySelector("h2")?.focus();
    return () => opener?.focus();
  }, []);
  const closeOutside = (/** @type {MouseEvent} */ event) => {
    if (event.target === element.current) onClose();
  };
  return html`<dialog ref=${element} class=${wide ? "wide-dialog" : ""} aria-label=${title} onClose=${onClose} onMouseDown=${closeOutside}>
    <div class="dialog-body">
      <header><h2 tabindex="-1">${title}</h2><button class="ghost push" onClick=${onClose}>Close</button></header>
      ${children}
    </div>
  </dialog>`;
}
