// Interaction within a page: copying, and sorting in a report.
(() => {
  // Copying.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Press Ctrl-C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });

  // Sorting in a report, which has no server.
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".sortable thead button");
    if (!button) return;
    const heading = button.parentElement;
    const down = heading.getAttribute("aria-sort") !== "descending";
    for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const column = heading.cellIndex;
    const body = heading.closest("table").tBodies[0];
    const value = (row) => {
      const text = row.cells[column].textContent.trim();
      const scale = { k: 1e3, M: 1e6, G: 1e9 }[text.match(/[kMG]$/)?.[0]] || 1;
      const number = parseFloat(text.replace(/[()]/g, ""));
      return Number.isNaN(number) ? -Infinity : number * scale;
    };
    body.append(...[...body.rows].sort((a, b) => (down ? value(b) - value(a) : value(a) - value(b)) || 0));
  });
})();
