/** What the browser keeps of a user's choices; one that is told to keep nothing throws. */

/** @param {string} name @returns {string | null} null if nothing is kept */
export function stored(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** @param {string} name @param {string} value */
export function store(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // The choice holds until the page is closed.
  }
}
