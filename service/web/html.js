/** Templates without a build step: htm bound to Preact. */

import htm from "htm";
import { h } from "preact";
import { useEffect, useState } from "preact/hooks";
import { link } from "./state.js";

export const html = htm.bind(h);

/** How long to wait before a file that could not be loaded is asked for again. */
const AGAIN_MS = 2000;

/**
 * Return a component whose module is loaded when it is shown for the first time.
 *
 * A module that can't be loaded is asked for until it comes, for the server may be away.
 *
 * @param {() => Promise<Record<string, any>>} load imports the module
 * @param {string} name of the component in it
 * @returns {(props: Record<string, any>) => any}
 */
export function lazy(load, name) {
  let Component = /** @type {any} */ (null);
  return function Lazy(props) {
    const [, setLoaded] = useState(Component !== null);
    useEffect(() => {
      if (Component) return;
      let timer = 0;
      const ask = async (/** @type {number} */ tries) => {
        try {
          Component = (await load())[name];
          setLoaded(true);
        } catch (error) {
          timer = setTimeout(ask, AGAIN_MS, tries + 1);
          // The connection tells of a server that is away, and soon after the first failure.
          if (tries === 2 && link.peek() === "live") throw error;
        }
      };
      ask(1);
      return () => clearTimeout(timer);
    }, []);
    return Component ? html`<${Component} ...${props} />` : null;
  };
}

/**
 * Load a style sheet of this folder with the first view that needs it.
 *
 * @param {string} name of the file
 */
export function useStyles(name) {
  loadStyles(`${document.documentElement.dataset.web}/${name}`);
}

/** Load a style sheet, unless that has been done. @param {string} href */
export function loadStyles(href) {
  if (document.querySelector(`link[href="${href}"]`)) return;
  const sheet = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
  sheet.onerror = () => {
    sheet.remove();
    setTimeout(loadStyles, AGAIN_MS, href);
  };
  document.head.append(sheet);
}
