// Interaction within a page: tooltips, highlights of a trial in charts and tables, ranges on axes, copying, sorting in a report.
(() => {
  const marked = (number) => document.querySelectorAll(`#t${number}, [data-t="${number}"]`);
  const numberOf = (target) => {
    const found = target.closest?.("[data-t], circle[id^=t]");
    return found ? found.dataset.t || found.id.slice(1) : null;
  };

  // Tooltips and highlights.
  const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
  document.body.append(tip);
  let hot = null;
  const light = (number) => {
    if (number === hot) return;
    for (const element of hot === null ? [] : marked(hot)) element.classList.remove("hot");
    hot = number;
    for (const element of hot === null ? [] : marked(hot)) element.classList.add("hot");
  };
  document.addEventListener("pointermove", (event) => {
    const number = numberOf(event.target);
    light(number);
    const dot = number !== null && event.target.closest("svg") && document.getElementById(`t${number}`);
    tip.hidden = !dot;
    if (!dot) return;
    tip.textContent = dot.querySelector("title").textContent;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${event.clientY + 16}px`;
  });
  document.addEventListener("focusin", (event) => light(numberOf(event.target)));

  // A click on a dot or line opens its candidate; the title of the dot starts with the key (12 characters).
  document.addEventListener("click", (event) => {
    const dot = event.target.closest?.(".dots circle, .wires path");
    if (!dot) return;
    const key = document.getElementById(`t${numberOf(dot)}`).querySelector("title").textContent.slice(0, 12);
    const updates = document.getElementById("run")?.dataset.updates;
    if (updates) location.href = `${updates.split("/updates")[0]}/candidates/${key}`;
    else if (document.getElementById(`candidate-${key}`)) location.hash = `candidate-${key}`;
  });

  // Ranges on the axes of the parallel coordinates, in pixels from the top of the plot.
  const ranges = new Map();
  const known = new WeakMap();
  const heights = (path) => {
    const shape = path.getAttribute("d");
    if (known.get(path)?.shape !== shape) known.set(path, { shape, levels: levelsOf(shape) });
    return known.get(path).levels;
  };
  const levelsOf = (shape) => {
    const [start, ...rest] = shape.slice(1).split("l");
    const steps = rest.join("").match(/-?\d+/g).map(Number);
    let level = Number(start.split(" ")[1]);
    return [level, ...steps.filter((_, index) => index % 2).map((step) => (level += step))];
  };
  const passes = (path) => {
    const levels = heights(path);
    return [...ranges].every(([axis, [low, high]]) => levels[axis] >= low && levels[axis] <= high);
  };
  const plotTop = 34;
  const show = () => {
    const paths = document.querySelectorAll(".wires path");
    const inside = new Map([...paths].map((path) => [path.dataset.t, passes(path)]));
    const kept = [...inside.values()].filter(Boolean).length;
    for (const element of document.querySelectorAll("[data-t], .dots circle")) {
      const passed = inside.get(element.dataset.t || element.id.slice(1));
      if (passed !== undefined) element.classList.toggle("out", !passed);
    }
    for (const shade of document.querySelectorAll(".brushed")) shade.remove();
    for (const rect of document.querySelectorAll(".brush")) {
      const range = ranges.get(Number(rect.dataset.axis));
      rect.setAttribute("aria-valuetext", range ? "limited" : "all");
      if (!range) continue;
      const shade = rect.cloneNode();
      for (const name of ["role", "tabindex", "data-axis", "aria-label", "aria-valuenow", "aria-valuemin", "aria-valuemax"]) shade.removeAttribute(name);
      shade.removeAttribute("aria-valuetext");
      shade.setAttribute("class", "brushed");
      shade.setAttribute("y", range[0] + plotTop);
      shade.setAttribute("height", range[1] - range[0]);
      rect.after(shade);
    }
    const output = document.getElementById("brushed");
    if (output) output.textContent = ranges.size ? `${kept} of ${paths.length} candidates are in the ranges.` : "";
  };
  let waiting = null;
  const showSoon = () => { waiting ??= requestAnimationFrame(() => { waiting = null; show(); }); };
  const level = (rect, event) => {
    const box = rect.getBoundingClientRect();
    const whole = rect.height.baseVal.value;
    return ((event.clientY - box.top) / box.height) * whole - 6;
  };
  let dragged = null;
  document.addEventListener("pointerdown", (event) => {
    const rect = event.target.closest?.(".brush");
    if (!rect) return;
    rect.setPointerCapture(event.pointerId);
    dragged = { rect, from: level(rect, event) };
  });
  document.addEventListener("pointermove", (event) => {
    if (!dragged?.rect.isConnected) return;
    const to = level(dragged.rect, event);
    if (Math.abs(to - dragged.from) < 4) return;
    ranges.set(Number(dragged.rect.dataset.axis), [Math.min(dragged.from, to), Math.max(dragged.from, to)]);
    showSoon();
  });
  document.addEventListener("pointerup", (event) => {
    if (!dragged) return;
    if (dragged.rect.isConnected && Math.abs(level(dragged.rect, event) - dragged.from) < 4) ranges.delete(Number(dragged.rect.dataset.axis));
    dragged = null;
    show();
  });
  document.addEventListener("pointercancel", () => { dragged = null; });
  document.addEventListener("keydown", (event) => {
    const rect = event.target.closest?.(".brush");
    if (!rect || !["ArrowUp", "ArrowDown", "Escape"].includes(event.key)) return;
    event.preventDefault();
    const axis = Number(rect.dataset.axis);
    if (event.key === "Escape") ranges.delete(axis);
    else {
      const whole = rect.height.baseVal.value;
      const step = (event.key === "ArrowDown" ? 1 : -1) * whole / 10;
      const [low] = ranges.get(axis) || [(event.key === "ArrowDown" ? -step : whole) - 6];
      const from = Math.max(-6, Math.min(low + step, whole * 0.8 - 6));
      ranges.set(axis, [from, from + whole / 5]);
    }
    show();
  });
  document.addEventListener("attn-nas:changed", () => { if (ranges.size) show(); });

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
