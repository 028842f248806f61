// Live updates: replaces changed parts of a run's page and sends new data to its charts; reloads the list of runs every 15 s.
(() => {
  // A selector that finds the same element again after its part was replaced.
  const selectorOf = (element) => {
    const href = element.getAttribute("href"), label = element.getAttribute("aria-label");
    if (element.id) return `#${CSS.escape(element.id)}`;
    if (href) return `[href="${CSS.escape(href)}"]`;
    if (label) return `[aria-label="${CSS.escape(label)}"]`;
    return element.name ? `[name="${CSS.escape(element.name)}"]` : element.localName;
  };

  const swap = (element, html) => {
    const focused = element.contains(document.activeElement) ? selectorOf(document.activeElement) : null;
    const chosen = new Set([...element.querySelectorAll("input:checked")].map((input) => input.value));
    const scrolled = [...element.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
    element.innerHTML = html;
    for (const input of element.querySelectorAll("input[type=checkbox]")) input.checked = chosen.delete(input.value); // a candidate may be in two rows: only the first stays checked
    element.querySelectorAll(".scroll").forEach((each, index) => { each.scrollLeft = scrolled[index] || 0; });
    if (focused) element.querySelector(focused)?.focus({ preventScroll: true });
  };

  const list = document.getElementById("runs");
  if (list) {
    let shown = null;
    setInterval(async () => {
      if (document.hidden) return;
      const answer = await fetch(location.href).catch(() => null); // try again at the next interval
      if (!answer?.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const renewed = page.getElementById("runs");
      if (renewed && renewed.innerHTML !== shown) swap(list, shown = renewed.innerHTML);
      document.dispatchEvent(new Event("attn-nas:changed"));
    }, 15000);
  }

  const run = document.getElementById("run");
  if (!run?.dataset.updates) return;

  const refetch = async (element, address) => {
    const answer = await fetch(address).catch(() => null); // the event stream reports a lost connection
    if (answer?.ok) swap(element, await answer.text());
    return Boolean(answer?.ok);
  };

  // Tables of candidates and trainings are not replaced while they have the focus, nor while their seeds are unfolded.
  let trials = null;
  const tables = ["part-candidates", "part-trials"].map((id) => document.getElementById(id)), old = new Set();
  const isUsed = (table) => table.contains(document.activeElement) || table.querySelector("details[open], input:checked");
  const renewTables = async (version, state) => {
    if (trials === null ? version !== run.dataset.version : trials !== state) for (const table of tables) old.add(table);
    trials = state;
    for (const table of [...old].filter((each) => !isUsed(each))) {
      if (await refetch(table, table.dataset.part + location.search.slice(1))) old.delete(table);
    }
  };

  // What the pick owes its result to is estimated again when the search has ended.
  let wasRunning = document.querySelector("#part-status .state.running") !== null;
  const renewWhy = async () => {
    const isRunning = document.querySelector("#part-status .state.running") !== null;
    const why = document.getElementById("part-why");
    if (wasRunning && !isRunning) await refetch(why, why.dataset.later || why.dataset.fragment);
    wasRunning = isRunning;
  };

  const show = async (update) => {
    await attnNas.ready;
    const life = (version) => version.split("-")[0];
    if (life(update.version) !== life(run.dataset.version)) {
      location.reload(); // the run was replaced by another run of the same name
      return;
    }
    for (const [name, html] of Object.entries(update.parts)) {
      const element = document.getElementById(name);
      if (element) swap(element, html);
    }
    const charts = Object.fromEntries(Object.entries(update.charts).map(([name, data]) => [name, JSON.parse(data)]));
    attnNas.receive({ rows: update.rows, charts });
    document.getElementById("part-empty")?.toggleAttribute("hidden", attnNas.page.rows.size > 0);
    await renewTables(update.version, update.trials);
    await renewWhy();
    if (!update.more) run.dataset.version = update.version;
    document.dispatchEvent(new Event("attn-nas:changed"));
  };

  const status = document.getElementById("part-status");
  const lose = () => {
    if (status.parentElement.querySelector(".lost")) return;
    const note = Object.assign(document.createElement("p"), {
      className: "note lost",
      textContent: "The dashboard does not answer; this page updates again as soon as it does.",
    });
    note.setAttribute("role", "status");
    status.after(note);
  };

  // Updates are applied one after the other. A hidden page closes its connection: browsers limit them per host.
  let source = null, work = Promise.resolve();
  const follow = () => {
    source?.close();
    source = null;
    if (document.hidden) return;
    source = new EventSource(`${run.dataset.updates}&version=${encodeURIComponent(run.dataset.version)}`);
    source.onopen = () => document.querySelector(".lost")?.remove();
    source.onmessage = ({ data }) => { work = work.catch(() => {}).then(() => show(JSON.parse(data))); };
    source.onerror = ({ target }) => {
      lose();
      // A browser reconnects by itself, except after an HTTP error.
      if (target.readyState === EventSource.CLOSED) setTimeout(() => { if (source === target) follow(); }, 5000);
    };
  };
  document.addEventListener("visibilitychange", follow);
  addEventListener("pageshow", ({ persisted }) => { if (persisted) follow(); });
  follow();
})();
