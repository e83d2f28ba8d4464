/** Loads uPlot with the first curves. It is a classic script, which can't be imported. */
const FOLDER = document.documentElement.dataset.uplot;

/** @returns {Promise<void>} */
export async function loadUPlot() {
  if ("uPlot" in globalThis) return;
  const styles = { rel: "stylesheet", href: `${FOLDER}/uPlot.min.css` };
  document.head.append(Object.assign(document.createElement("link"), styles));
  await new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = trusted(`${FOLDER}/uPlot.iife.min.js`);
    script.onload = resolve;
    script.onerror = () => reject(new Error("uPlot could not be loaded."));
    document.head.append(script);
  });
}

/** Where browsers know Trusted Types, they want to be told that an address is meant. @param {string} address */
function trusted(address) {
  const types = /** @type {any} */ (globalThis).trustedTypes;
  if (!types) return address;
  return types.createPolicy("uplot", { createScriptURL: () => address }).createScriptURL("");
}
