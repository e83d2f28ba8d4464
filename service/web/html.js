/** Templates without a build step: htm bound to Preact. */
import { h } from "preact";
import { useEffect, useState } from "preact/hooks";
import htm from "htm";

export const html = htm.bind(h);

/**
 * Return a component whose module is loaded when it is shown for the first time.
 *
 * @param {() => Promise<Record<string, any>>} load imports the module
 * @param {string} name of the component in it
 * @returns {(props: Record<string, any>) => any}
 */
export function lazy(load, name) {
  return function Lazy(props) {
    const [Component, setComponent] = useState(/** @type {any} */ (null));
    useEffect(() => {
      load().then((module) => setComponent(() => module[name]));
    }, []);
    return Component ? html`<${Component} ...${props} />` : null;
  };
}
