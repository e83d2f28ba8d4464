// A classic script, because it must run before the first paint: no light page flashes in a dark room.
(() => {
  let theme = new URLSearchParams(location.hash.slice(1)).get("theme");
  try {
    theme ??= localStorage.getItem("theme");
  } catch {
    // This browser keeps nothing.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
