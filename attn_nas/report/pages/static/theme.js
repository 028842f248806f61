// Sets the theme before the page is drawn: the last choice of the user, by default that of the system.
(() => {
  const root = document.documentElement;
  const stored = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => { root.dataset.theme = stored() || (preferred.matches ? "dark" : "light"); };
  apply();
  preferred.addEventListener("change", apply);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const next = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", next); } catch { /* a file opened from disk may have no storage */ }
    root.dataset.theme = next;
  });
})();
