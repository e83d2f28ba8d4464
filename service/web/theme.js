// A classic script, because it must run before the first paint: no light page flashes in a dark room.
(() => {
  const wanted = new URLSearchParams(location.hash.slice(1)).get("theme");
  const theme = wanted ?? localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
