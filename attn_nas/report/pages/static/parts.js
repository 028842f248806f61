// Parts of a page that come later or change by typing: slow parts, filters of tables, the tab that is open.
(() => {
  const get = async (address) => {
    const answer = await fetch(address).catch(() => null); // without an answer the page stays as it is
    return answer?.ok ? answer.text() : null;
  };
  const changed = () => document.dispatchEvent(new Event("attn-nas:changed"));

  // A part that takes time to make is loaded after the page; until then it has a link to a page of its own.
  for (const part of document.querySelectorAll("[data-fragment]")) {
    if (!part.dataset.fragment) continue;
    part.setAttribute("aria-busy", "true");
    get(part.dataset.fragment).then((html) => {
      if (html !== null) part.innerHTML = html;
      part.removeAttribute("aria-busy");
      changed();
    });
  }

  // A form that filters a table does so while one types; the address of the page keeps the choice.
  let waiting = null;
  const filter = async (form) => {
    const part = document.getElementById(form.dataset.filter);
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    const html = await get(part.dataset.part.split("?")[0] + "?" + query);
    if (html === null || String(new URLSearchParams([...new FormData(form)].filter(([, value]) => value))) !== String(query)) return;
    part.innerHTML = html;
    history.replaceState(null, "", `${location.pathname}?${query}${location.hash}`);
    changed();
  };
  const later = (form) => { clearTimeout(waiting); waiting = setTimeout(() => filter(form), 150); };
  for (const kind of ["input", "change"]) {
    document.addEventListener(kind, (event) => {
      const form = event.target.closest?.("[data-filter]");
      if (form) later(form);
    });
  }

  // In a report all rows are there: those that do not match are hidden.
  for (const box of document.querySelectorAll("[data-filter-rows]")) {
    box.hidden = false;
    box.addEventListener("input", () => {
      const text = box.querySelector("input").value.trim().toLowerCase();
      for (const row of document.querySelectorAll(`#${box.dataset.filterRows} tbody tr`)) row.hidden = !row.textContent.toLowerCase().includes(text);
    });
  }

  // The style sheet shows the panel that the address names, or the first; here it is said to those who do not see it.
  const groups = [...document.querySelectorAll(".tabbed")];
  const mark = () => {
    for (const group of groups) {
      const tabs = [...group.querySelectorAll(".tabs a")];
      const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest(".sheet");
      const open = target && group.contains(target) ? `#${target.id}` : tabs[0].getAttribute("href");
      for (const tab of tabs) {
        if (tab.getAttribute("href") === open) tab.setAttribute("aria-current", "true");
        else tab.removeAttribute("aria-current");
      }
    }
  };
  addEventListener("hashchange", mark);
  mark();

  // A picture that the server makes when it is asked for says so until it is there.
  document.addEventListener("toggle", (event) => {
    const picture = event.target.open && event.target.querySelector?.("img[data-slow]");
    if (!picture || picture.complete) return;
    const note = Object.assign(document.createElement("p"), { className: "note", textContent: "The picture is being computed; it appears here." });
    note.setAttribute("role", "status");
    picture.before(note);
    for (const kind of ["load", "error"]) picture.addEventListener(kind, () => note.remove());
  }, true);
})();
