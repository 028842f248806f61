// What all charts share: the candidates of the page, which of them are selected or pointed at, colours, keys and saving.
const attnNas = (() => {
  const root = document.documentElement;
  const makers = {}, charts = new Map(), listeners = new Set();

  const node = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  // The colours of the style sheet in the present theme.
  const colours = () => {
    const style = getComputedStyle(root);
    return Object.fromEntries(
      ["paper", "panel", "ink", "pale", "line", "grid", "front", "reference", "trunk", "other", "link", "better", "worse",
        "s0", "s1", "s2", "s3", "s4", "s5", "s6"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
    );
  };

  // Numbers.
  const short = (value, signed = true) => {
    const size = Math.abs(value);
    const [unit, name] = [[1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([each]) => size >= each) || [1, ""];
    const text = `${Number((size / unit).toPrecision(3))}${name}`;
    return `${value < 0 ? "−" : value > 0 && signed ? "+" : ""}${text}`;
  };
  const valueText = (value, metric, unit = true) => {
    const text = metric.bounded ? value.toFixed(2) : String(Number(value.toPrecision(4)));
    return unit && metric.unit ? `${text} ${metric.unit}` : text;
  };
  // A cost as text: added counts in per cent of the bare trunk and as a number, times as a ratio.
  const costText = (cost, axis) => {
    if (cost === null) return `${axis.name} not measured`;
    if (axis.bare === null) return `${axis.name} ${cost.toFixed(2)}×`;
    const share = `${cost < 0 ? "−" : "+"}${Number(Math.abs((100 * cost) / axis.bare).toPrecision(3))} %`;
    return `${axis.name} ${share} (${short(cost) || "0"})`;
  };

  // The candidates by key, and what each chart needs beside them. A page without candidates has none.
  const page = { fields: [], rows: new Map(), charts: {}, cost: null, hot: null, ranges: new Map(), box: null };
  const costIndex = () => Math.max(0, page.charts.front.axes.findIndex((axis) => axis.id === page.cost));
  const costAxis = () => page.charts.front.axes[costIndex()];
  // A cost of a row on the axis that is shown: per cent of the bare trunk for counts, a ratio for times.
  const onAxis = (cost, axis) => (cost === null || axis.bare === null ? cost : (100 * cost) / axis.bare);
  const costOf = (row) => onAxis(row.costs[costIndex()], costAxis());
  const receive = ({ rows = [], charts: renewed = {} }) => {
    Object.assign(page.charts, renewed);
    for (const entries of rows) {
      page.rows.set(entries[0], Object.fromEntries(page.fields.map((field, index) => [field, entries[index]])));
    }
    drawAll();
    mark();
    tell("data");
  };

  // One selection for all: ranges of the parallel axes, and a box in the chart of the front.
  const levelOf = (row, axis) => (axis === "cost" ? costOf(row) : axis === "value" ? row.value : row.levels[axis]);
  const within = (value, [low, high]) => value !== null && value >= low && value <= high;
  const isSelecting = () => page.ranges.size > 0 || page.box !== null;
  const isSelected = (row) =>
    [...page.ranges].every(([axis, range]) => within(levelOf(row, axis), range)) &&
    (page.box === null || (within(costOf(row), page.box[0]) && within(row.value, page.box[1])));
  const select = () => { mark(); tell("selection"); };
  const clear = () => { page.ranges.clear(); page.box = null; tell("cleared"); select(); };
  const show = (cost) => {
    page.cost = cost;
    page.box = null;
    page.ranges.delete("cost");
    tell("cost");
    mark();
  };

  // Rows of tables have the key of their candidate: those that are not selected are dimmed, and the one pointed at is lit.
  const mark = () => {
    for (const element of document.querySelectorAll("tr[data-key]")) {
      const row = page.rows.get(element.dataset.key);
      element.classList.toggle("out", isSelecting() && row !== undefined && !isSelected(row));
      element.classList.toggle("hot", element.dataset.key === page.hot);
    }
    const kept = [...page.rows.values()].filter(isSelected).length;
    for (const output of document.querySelectorAll("[data-selected]")) {
      output.textContent = isSelecting() ? `${kept} of ${page.rows.size} candidates are selected.` : "";
    }
    for (const button of document.querySelectorAll("[data-clear]")) button.hidden = !isSelecting();
  };
  const light = (key) => {
    if (key === page.hot) return;
    page.hot = key;
    mark();
    tell("hot");
  };
  const addressOf = (key) => {
    const links = page.charts.front?.links;
    return links && (links.keys === null || links.keys.includes(key)) ? links.address.replace("{}", key) : null;
  };
  const open = (key) => {
    const address = addressOf(key);
    if (address) location.href = address;
  };
  // A click opens a candidate; where nothing can hover, the first touch tells what it is, and the second opens it.
  let touched = null;
  const press = (key) => {
    const isFirst = matchMedia("(hover: none)").matches && touched !== key;
    touched = key;
    if (!isFirst) open(key);
  };

  const tell = (change) => { for (const listener of listeners) listener(change); };

  // The lines of text that describe a candidate.
  const describe = (row) => {
    const { metric, axes, marked, references, front, training } = page.charts.front;
    const value = valueText(row.value, metric);
    const interval = row.low === null ? "" : ` (${valueText(row.low, metric, false)} to ${valueText(row.high, metric, false)})`;
    const kinds = [marked[row.key], references[row.key] && `reference: ${references[row.key]}`, front.includes(row.key) && "on the front"];
    return {
      value: `${metric.name} ${value}${interval}`,
      seeds: `${training}, ${row.seeds === 1 ? "one training" : `${row.seeds} trainings`}`,
      costs: axes.map((axis, index) => costText(row.costs[index], axis)).filter((text, index) => row.costs[index] !== null),
      kinds: kinds.filter(Boolean).join("; "),
    };
  };
  const tip = (row) => {
    const { value, seeds, costs, kinds } = describe(row);
    return node("div", { className: "chart-tip" },
      node("div", { className: "glyph", textContent: row.glyph }),
      node("b", { textContent: row.name }),
      node("div", { textContent: `${value}, ${seeds}` }),
      ...costs.map((text) => node("div", { textContent: text })),
      ...(kinds ? [node("div", { textContent: kinds })] : []),
      node("code", { textContent: row.key }));
  };
  const sentence = (row) => {
    const { value, seeds, costs, kinds } = describe(row);
    return [`${row.name}: ${value}, ${seeds}`, costs[0], kinds].filter(Boolean).join("; ");
  };

  // Saving. A canvas draws the picture again as PNG: the policy of the pages does not let an SVG be loaded as an image.
  const download = (blob, name) => {
    const link = node("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  const save = (chart, name, kind) => {
    if (kind === "svg") {
      download(new Blob([chart.instance.renderToSVGString()], { type: "image/svg+xml" }), `${name}.svg`);
      return;
    }
    const [width, height] = [chart.instance.getWidth(), chart.instance.getHeight()];
    const copy = echarts.init(document.createElement("div"), null, { renderer: "canvas", width, height, devicePixelRatio: 2 });
    copy.setOption(chart.option());
    copy.getRenderedCanvas({ pixelRatio: 2, backgroundColor: colours().paper }).toBlob((blob) => {
      download(blob, `${name}.png`);
      copy.dispose();
    });
  };
  const button = (label, act, properties = {}) => {
    const made = node("button", { type: "button", textContent: label, ...properties });
    made.addEventListener("click", () => act(made));
    return made;
  };

  // Make the chart in an element: its maker gives the option for ECharts, and may act on keys.
  const draw = (element) => {
    const plot = node("div", { className: "plot", tabIndex: 0 });
    const described = node("p", { className: "described", role: "status" });
    const tools = node("div", { className: "tools" });
    plot.setAttribute("role", "application");
    plot.setAttribute("aria-roledescription", "chart");
    element.append(plot, described, tools);
    const chart = { element, plot, tools, say: (text) => { described.textContent = text; } };
    const source = element.querySelector("script[type='application/json']");
    Object.assign(chart, makers[element.dataset.chart](chart, source && JSON.parse(source.textContent)));
    plot.setAttribute("aria-label", chart.label());
    plot.style.height = `${chart.height()}px`;
    chart.instance = echarts.init(plot, null, { renderer: "svg" });
    const name = `${document.title.split(" – ")[0].replace(/[^\w.-]+/g, "-")}-${element.dataset.name || element.dataset.chart}`;
    tools.append(button("PNG", () => save(chart, name, "png"), { title: "save the picture as PNG" }),
      button("SVG", () => save(chart, name, "svg"), { title: "save the picture as SVG" }));
    let frame = null;
    chart.renew = () => {
      frame ??= requestAnimationFrame(() => {
        frame = null;
        if (!element.isConnected) return;
        plot.style.height = `${chart.height()}px`;
        plot.setAttribute("aria-label", chart.label());
        if (plot.clientWidth !== chart.instance.getWidth() || plot.clientHeight !== chart.instance.getHeight()) chart.instance.resize();
        chart.instance.setOption(chart.option(), { replaceMerge: chart.replaced || [] });
        chart.renewed?.();
      });
    };
    chart.instance.setOption(chart.option());
    chart.ready?.();
    new ResizeObserver(() => { if (plot.clientWidth && plot.clientWidth !== chart.instance.getWidth()) chart.renew(); }).observe(plot);
    plot.addEventListener("keydown", (event) => {
      if (!event.ctrlKey && !event.altKey && !event.metaKey && chart.key?.(event.key, event)) event.preventDefault();
    });
    charts.set(element, chart);
    return chart;
  };

  // Charts of the page that are not drawn yet, and of parts that were replaced.
  const drawAll = () => {
    for (const [element, chart] of charts) {
      if (element.isConnected) continue;
      chart.instance.dispose();
      chart.end?.();
      charts.delete(element);
    }
    for (const element of document.querySelectorAll("[data-chart]")) {
      const isEmpty = !page.rows.size && !element.querySelector("script") && !element.dataset.over;
      // A chart in a closed part of the page is drawn when it is opened, one of candidates when there are some.
      if (!charts.has(element) && !isEmpty && element.offsetWidth && element.checkVisibility({ visibilityProperty: true })) draw(element);
    }
  };

  const start = () => {
    const data = document.getElementById("chart-data");
    if (data) {
      const { fields, rows, charts: first } = JSON.parse(data.textContent);
      page.fields = fields;
      page.cost = first.front.minimized.find((name) => first.front.axes.some((axis) => axis.id === name)) || first.front.axes[0].id;
      receive({ rows, charts: first });
    } else drawAll();
    new MutationObserver(() => { for (const chart of charts.values()) chart.renew(); })
      .observe(root, { attributes: true, attributeFilter: ["data-theme"] });
    new ResizeObserver(drawAll).observe(document.body);
    addEventListener("hashchange", drawAll); // another tab of the page is shown
    document.addEventListener("attn-nas:changed", () => { drawAll(); mark(); });
    for (const each of document.querySelectorAll("[data-clear]")) each.addEventListener("click", clear);
    // A row of a table lights its candidate, and leaving it puts that out; charts do so themselves.
    let isOfRow = false;
    const point = ({ target }) => {
      const key = target.closest?.("tr[data-key]")?.dataset.key ?? null;
      if (key !== null || isOfRow) light(key);
      isOfRow = key !== null;
    };
    document.addEventListener("pointerover", point);
    document.addEventListener("focusin", point);
    mark();
  };
  const ready = new Promise((resolve) => { document.addEventListener("DOMContentLoaded", () => { start(); resolve(); }); });

  return {
    ready,
    makers, page, node, button, colours, short, valueText, costText, costAxis, costOf, onAxis, receive, isSelecting, isSelected,
    select, clear, show, light, open, press, tip, sentence, listeners,
    chartOf: (element) => charts.get(element),
    // The end of a long name, which tells modules of a network apart; a letter is about seven pixels wide.
    fitted: (name, width) => (name.length * 7 <= width ? name : `…${name.slice(1 - Math.max(4, Math.floor(width / 7)))}`),
    isNarrow: (chart) => chart.plot.clientWidth < 560,
    text: (palette) => ({ color: palette.ink, fontSize: 12, fontFamily: "system-ui, sans-serif" }),
  };
})();
