/** Templates without a build step: htm bound to Preact. */

import htm from "htm";
import { h } from "preact";
import { useEffect, useState } from "preact/hooks";

export const html = htm.bind(h);

/**
 * Return a component whose module is loaded when it is shown for the first time.
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
      load().then((module) => {
        Component = module[name];
        setLoaded(true);
      });
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
  const href = `${document.documentElement.dataset.web}/${name}`;
  if (document.querySelector(`link[href="${href}"]`)) return;
  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href }));
}
