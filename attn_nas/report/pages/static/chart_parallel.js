// Parallel axes: a line for each candidate through its mechanism at each site, its cost and the metric. Ranges select candidates.
attnNas.makers.parallel = (chart) => {
  const { page, colours, costAxis, costOf, isSelected, text } = attnNas;
  const NAMES = { cost: () => costAxis().name, value: () => [page.charts.front.metric.name, page.charts.front.metric.unit].filter(Boolean).join(", ") };
  let drawn = {}; // the rows of each series: those that are not selected, those that are, and members of the front among them
  let focused = 0;

  const rows = () => [...page.rows.values()].filter((row) => costOf(row) !== null);
  // The axes on which candidates differ, then cost and metric.
  const axes = () => {
    const sites = page.charts.parallel.axes.map((axis, index) => ({ ...axis, id: index }));
    const differing = sites.filter(({ id }) => new Set([...page.rows.values()].map((row) => row.levels[id])).size > 1);
    return [...differing, { id: "cost", name: NAMES.cost() }, { id: "value", name: NAMES.value() }];
  };
  const valueOf = (row, { id }) => (id === "cost" ? costOf(row) : id === "value" ? row.value : row.levels[id]);
  const line = (row, all, palette) => {
    const front = page.charts.front.front.includes(row.key);
    const marked = row.key in page.charts.front.marked;
    return {
      name: row.key,
      value: all.map((axis) => valueOf(row, axis)),
      lineStyle: marked || front ? { color: palette.front, width: marked ? 2.5 : 1.5 } : { color: palette.other, width: 1 },
    };
  };
  const series = (id, found, all, palette, opacity) => ({
    id,
    type: "parallel",
    smooth: 0.15,
    progressive: 0,
    activeOpacity: opacity,
    inactiveOpacity: 0.07,
    z: id === "front" ? 3 : 2,
    lineStyle: { opacity },
    emphasis: { lineStyle: { opacity: 1, width: 4, color: palette.trunk } },
    data: found.map((row) => line(row, all, palette)),
  });
  const vertical = () => chart.plot.clientWidth < 640;

  return {
    replaced: ["series", "parallelAxis"],
    label: () => `Mechanism at each site, cost and ${page.charts.front.metric.name} of ${page.rows.size} candidates. Left and right choose an axis, `
      + "up and down a range of it, Escape ends the range.",
    height: () => (vertical() ? 60 + 62 * axes().length : 400),
    option: () => {
      const palette = colours(), all = axes(), found = rows();
      const isFront = (row) => page.charts.front.front.includes(row.key) || row.key in page.charts.front.marked;
      const kept = found.filter(isSelected);
      drawn = { dropped: found.filter((row) => !isSelected(row)), kept: kept.filter((row) => !isFront(row)), front: kept.filter(isFront) };
      const gap = (chart.plot.clientWidth - 130) / Math.max(1, all.length - 1);
      const metric = page.charts.front.metric;
      return {
        animation: false,
        textStyle: text(palette),
        parallel: {
          layout: vertical() ? "vertical" : "horizontal",
          left: vertical() ? 20 : 60, right: vertical() ? 30 : 70, top: vertical() ? 34 : 46, bottom: vertical() ? 26 : 20,
          parallelAxisDefault: {
            nameLocation: vertical() ? "start" : "end",
            nameGap: 14,
            nameTextStyle: { color: palette.ink, fontSize: 12, ...(vertical() ? { align: "left", verticalAlign: "bottom", padding: [0, 0, 8, 14] } : {}) },
            axisLine: { lineStyle: { color: palette.line } },
            axisTick: { lineStyle: { color: palette.line } },
            axisLabel: { color: palette.ink, fontSize: 12, textBorderColor: palette.paper, textBorderWidth: 3, hideOverlap: true,
              ...(vertical() ? {} : { width: Math.max(36, gap - 16), overflow: "truncate" }) },
          },
        },
        parallelAxis: all.map((axis, dim) => ({
          id: `axis-${axis.id}`,
          dim,
          name: vertical() ? axis.name : attnNas.fitted(axis.name, Math.max(44, gap - 8)),
          realtime: false,
          areaSelectStyle: { width: 24, borderWidth: 1, borderColor: palette.front, color: palette.front, opacity: 0.3 },
          ...(axis.choices
            ? { type: "category", data: axis.choices }
            : { type: "value", scale: true, inverse: axis.id === "value" && metric.minimized,
              axisLabel: { formatter: (value) => (axis.id === "value" ? String(Number(value.toPrecision(5))) : costAxis().bare === null ? `${Number(value.toPrecision(3))}×` : `${Number(value.toPrecision(3))} %`) } }),
        })),
        series: [
          series("dropped", drawn.dropped, all, palette, Math.min(0.07, 20 / found.length)),
          series("kept", drawn.kept, all, palette, Math.max(0.06, Math.min(0.6, 60 / kept.length))),
          series("front", drawn.front, all, palette, 0.9),
        ],
        tooltip: { confine: true, transitionDuration: 0, backgroundColor: palette.panel, borderColor: palette.line, textStyle: { color: palette.ink, fontSize: 13 },
          formatter: ({ name }) => attnNas.tip(page.rows.get(name)) },
      };
    },
    ready() {
      // The axes show the ranges that were chosen with keys, or cleared, when they are drawn again.
      const sendRanges = () => {
        for (const { id } of axes()) {
          chart.instance.dispatchAction({ type: "axisAreaSelect", parallelAxisId: `axis-${id}`, intervals: page.ranges.has(id) ? [page.ranges.get(id)] : [] });
        }
      };
      let isOwn = false;
      chart.instance.on("axisareaselected", (event) => {
        if (isOwn) return;
        const id = axes().find((axis) => `axis-${axis.id}` === event.parallelAxisId)?.id;
        const [range] = event.intervals;
        if (range) page.ranges.set(id, [...range].sort((a, b) => a - b));
        else page.ranges.delete(id);
        attnNas.select();
      });
      const pointed = (name) => {
        chart.instance.dispatchAction({ type: "downplay", seriesId: ["kept", "front"] });
        for (const seriesId of ["kept", "front"]) {
          const dataIndex = drawn[seriesId].findIndex((row) => row.key === name);
          if (dataIndex >= 0) chart.instance.dispatchAction({ type: "highlight", seriesId, dataIndex });
        }
      };
      chart.renewed = () => pointed(page.hot);
      chart.instance.on("mouseover", ({ name }) => { if (page.rows.has(name)) attnNas.light(name); });
      chart.instance.on("mouseout", () => attnNas.light(null));
      chart.instance.on("globalout", () => attnNas.light(null));
      chart.instance.on("click", ({ name }) => { if (page.rows.has(name)) attnNas.press(name); });
      const listener = (change) => {
        if (change === "hot") return pointed(page.hot);
        if (change === "cleared" || change === "cost") {
          isOwn = true;
          sendRanges();
          isOwn = false;
        }
        return chart.renew();
      };
      attnNas.listeners.add(listener);
      chart.end = () => attnNas.listeners.delete(listener);

      // A range chosen with keys: one level of an axis of placements, a fifth of the other axes.
      const move = (axis, up) => {
        const known = page.ranges.get(axis.id);
        if (axis.choices) {
          const level = known ? Math.round((known[0] + known[1]) / 2) + up : up > 0 ? 0 : axis.choices.length - 1;
          const at = Math.max(0, Math.min(axis.choices.length - 1, level));
          return [at, at];
        }
        const values = rows().map((row) => valueOf(row, axis));
        const [low, high] = [Math.min(...values), Math.max(...values)], part = (high - low) / 5;
        const start = known ? known[0] + (up * part) / 2 : up > 0 ? low : high - part;
        const from = Math.max(low, Math.min(high - part, start));
        return [from, from + part];
      };
      chart.key = (key) => {
        const all = axes();
        if (key === "ArrowLeft" || key === "ArrowRight") focused = Math.max(0, Math.min(all.length - 1, focused + (key === "ArrowRight" ? 1 : -1)));
        else if (key === "ArrowUp" || key === "ArrowDown" || key === "Escape") {
          const axis = all[Math.min(focused, all.length - 1)];
          const falls = axis.id === "value" && page.charts.front.metric.minimized;
          if (key === "Escape") page.ranges.delete(axis.id);
          else page.ranges.set(axis.id, move(axis, (key === "ArrowUp") === falls ? -1 : 1));
          isOwn = true;
          sendRanges();
          isOwn = false;
          attnNas.select();
        } else return false;
        const axis = all[Math.min(focused, all.length - 1)], range = page.ranges.get(axis.id);
        const shown = range && (axis.choices ? axis.choices[range[0]] : `${Number(range[0].toPrecision(4))} to ${Number(range[1].toPrecision(4))}`);
        chart.say(`Axis ${axis.name}: ${range ? shown : "all"}.`);
        return true;
      };
    },
  };
};
