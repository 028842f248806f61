// The front: the metric against one cost, zoomed to where most candidates are, with an overview of all beside it.
attnNas.makers.front = (chart) => {
  const { page, node, button, colours, costAxis, costOf, onAxis, isSelecting, isSelected, valueText, text } = attnNas;
  const data = () => page.charts.front;
  const MANY = 300;
  let view = null; // {x, y} after a zoom of the reader, else null for the usual window
  let order = [], places = new Map(); // rows as they are drawn, and the place of each key
  let extent = { x: [0, 1], y: [0, 1] }; // the whole axes

  const seen = () => {
    if (view) return view;
    return { x: costAxis().window.map((end) => onAxis(end, costAxis())), y: data().value };
  };
  const whole = () => {
    const trunks = data().trunks.filter((trunk) => costAxis().id in trunk.costs);
    const xs = [...order.map(costOf), ...trunks.map((trunk) => onAxis(trunk.costs[costAxis().id], costAxis())), ...seen().x];
    const ys = [...order.flatMap((row) => [row.value, ...(data().front.includes(row.key) && row.low !== null ? [row.low, row.high] : [])]),
      ...trunks.map((trunk) => trunk.value), ...seen().y];
    const range = (values) => {
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const margin = 0.03 * (high - low) || 1;
      return [low - margin, high + margin];
    };
    return { x: range(xs), y: range(ys) };
  };
  const rank = (row) => (row.key in data().marked ? 3 : data().front.includes(row.key) ? 2 : row.key in data().references ? 1 : 0);

  const axisName = () => {
    const axis = costAxis();
    return axis.bare === null ? `${axis.name}, relative to that without attention` : `${axis.name}, % of those without attention (${attnNas.short(axis.bare, false)})`;
  };
  // A label in the right half of the picture stands to the left of its point.
  const side = (row) => (2 * costOf(row) > seen().x[0] + seen().x[1] ? "left" : "right");
  const points = (palette) => order.map((row) => {
    const [isFront, isReference, label] = [data().front.includes(row.key), row.key in data().references, data().marked[row.key]];
    const few = order.length <= MANY;
    const dim = isSelecting() && !isSelected(row);
    return {
      id: row.key,
      name: row.name,
      value: [costOf(row), row.value],
      symbol: isReference ? "diamond" : "circle",
      symbolSize: label ? 15 : isReference ? 13 : isFront ? 11 : few ? 8 : 5,
      itemStyle: {
        color: label || isFront ? palette.front : isReference ? palette.reference : palette.other,
        opacity: dim ? 0.08 : label || isFront || isReference ? 1 : few ? 0.65 : 0.4,
        borderColor: label ? palette.ink : palette.paper,
        borderWidth: label ? 2 : isFront || isReference ? 1 : 0,
      },
      label: { show: Boolean(label) && !dim, formatter: label || "", position: side(row) },
      // Said for each point: what its label and style leave open, ECharts would take from them, and not from the series.
      emphasis: { label: { show: true, formatter: row.name, position: side(row) }, itemStyle: { opacity: 1, borderColor: palette.ink, borderWidth: 2 } },
    };
  });
  const halo = (palette) => ({ textBorderColor: palette.paper, textBorderWidth: 3, color: palette.ink, fontSize: 12 });

  const interval = (palette) => ({
    id: "intervals",
    type: "custom",
    zlevel: 0,
    silent: true,
    z: 2,
    clip: true,
    data: order.filter((row) => data().front.includes(row.key) && row.low !== null && (!isSelecting() || isSelected(row)))
      .map((row) => [costOf(row), row.low, row.high]),
    renderItem: (_, api) => {
      const [x, top] = api.coord([api.value(0), api.value(1)]);
      const bottom = api.coord([api.value(0), api.value(2)])[1];
      return { type: "line", shape: { x1: x, x2: x, y1: top, y2: bottom }, style: { stroke: palette.front, lineWidth: 1.2, opacity: 0.7 } };
    },
  });

  const overview = (palette, grid) => ({
    id: "overview",
    type: "custom",
    zlevel: 0,
    silent: true,
    xAxisIndex: 1,
    yAxisIndex: 1,
    data: [[0, 0]],
    // All points are one path: thousands of elements would slow the page down.
    renderItem: (_, api) => {
      const { x, y } = seen();
      const dots = (rows) => rows.map((row) => `M${api.coord([costOf(row), row.value]).map((place) => place.toFixed(1)).join(" ")}h0.01`).join("") || "M0 0";
      const isFront = (row) => data().front.includes(row.key);
      const [left, bottom] = api.coord([x[0], y[0]]), [right, top] = api.coord([x[1], y[1]]);
      const [from, to] = [[Math.max(left, grid.left), Math.min(right, grid.left + grid.width)],
        [Math.max(Math.min(top, bottom), grid.top), Math.min(Math.max(top, bottom), grid.top + grid.height)]];
      return {
        type: "group",
        children: [
          { type: "path", shape: { pathData: dots(order.filter((row) => !isFront(row))) }, style: { fill: "none", stroke: palette.other, lineWidth: 3.5, lineCap: "round" } },
          { type: "path", shape: { pathData: dots(order.filter(isFront)) }, style: { fill: "none", stroke: palette.front, lineWidth: 4.5, lineCap: "round" } },
          { type: "rect", shape: { x: from[0], y: to[0], width: Math.max(2, from[1] - from[0]), height: Math.max(2, to[1] - to[0]) },
            style: { fill: palette.front, fillOpacity: 0.12, stroke: palette.front, lineWidth: 1.5 } },
        ],
      };
    },
  });

  const grids = () => {
    const width = chart.plot.clientWidth, height = chart.height();
    if (attnNas.isNarrow(chart)) {
      return [{ left: 52, top: 14, width: width - 66, height: height - 200 }, { left: 52, top: height - 122, width: width - 66, height: 90 }];
    }
    const side = Math.min(230, width * 0.24);
    return [{ left: 60, top: 14, width: width - side - 110, height: height - 70 }, { left: width - side - 10, top: 40, width: side, height: side * 0.75 }];
  };

  return {
    replaced: ["series"],
    label: () => `${data().metric.name} against ${costAxis().name}: ${page.rows.size} candidates, front of ${data().front.length}. `
      + "Arrow keys move between candidates, Enter opens one, plus and minus zoom, 0 shows all, Escape ends.",
    height: () => (chart.plot.clientWidth < 560 ? 520 : 430),
    option: () => {
      const palette = colours(), metric = data().metric, narrow = attnNas.isNarrow(chart);
      order = [...page.rows.values()].filter((row) => costOf(row) !== null).sort((a, b) => rank(a) - rank(b));
      places = new Map(order.map((row, index) => [row.key, index]));
      const all = (extent = whole()), { x, y } = seen(), [main, small] = grids();
      const line = { lineStyle: { color: palette.grid } };
      const tick = (value) => valueText(value, metric, false).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
      const axis = { type: "value", axisLine: { show: true, onZero: false, lineStyle: { color: palette.line } }, axisLabel: { color: palette.ink, fontSize: 12, hideOverlap: true }, nameTextStyle: { color: palette.ink, fontSize: 12 }, nameLocation: "middle" };
      const trunks = data().trunks.filter((trunk) => costAxis().id in trunk.costs);
      const members = data().front.map((key) => page.rows.get(key)).filter(Boolean);
      return {
        animation: false,
        textStyle: text(palette),
        grid: [main, small],
        xAxis: [
          { ...axis, id: "x", gridIndex: 0, min: all.x[0], max: all.x[1], name: axisName(), nameGap: 32, splitLine: { show: false },
            axisLabel: { ...axis.axisLabel, showMinLabel: false, showMaxLabel: false, formatter: (value) => (costAxis().bare === null ? `${Number(value.toPrecision(3))}×` : `${Number(value.toPrecision(3))} %`) } },
          { ...axis, gridIndex: 1, min: all.x[0], max: all.x[1], name: narrow ? "" : "all candidates", nameGap: 8, axisLabel: { show: false }, axisTick: { show: false }, splitLine: { show: false } },
        ],
        yAxis: [
          { ...axis, id: "y", gridIndex: 0, min: all.y[0], max: all.y[1], inverse: metric.minimized, name: metric.label, nameGap: narrow ? 38 : 44, splitLine: line,
            axisLabel: { ...axis.axisLabel, showMinLabel: false, showMaxLabel: false, formatter: tick } },
          { ...axis, gridIndex: 1, min: all.y[0], max: all.y[1], inverse: metric.minimized, axisLabel: { show: false }, axisTick: { show: false }, splitLine: { show: false } },
        ],
        dataZoom: [
          { id: "x", type: "inside", xAxisIndex: 0, startValue: x[0], endValue: x[1], filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false, moveOnMouseMove: matchMedia("(pointer: fine)").matches, preventDefaultMouseMove: false },
          { id: "y", type: "inside", yAxisIndex: 0, startValue: y[0], endValue: y[1], filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false, moveOnMouseMove: matchMedia("(pointer: fine)").matches, preventDefaultMouseMove: false },
        ],
        brush: { z: 100, xAxisIndex: 0, toolbox: [], throttleType: "debounce", outOfBrush: { opacity: 0.08 }, brushStyle: { borderColor: palette.front, color: `${palette.front}22`, borderWidth: 1 } },
        tooltip: { trigger: "item", confine: true, transitionDuration: 0, backgroundColor: palette.panel, borderColor: palette.line, textStyle: { color: palette.ink, fontSize: 13 },
          formatter: ({ seriesId, dataIndex }) => (seriesId === "candidates" ? attnNas.tip(order[dataIndex]) : node("div", { textContent: trunkText(trunks[dataIndex], metric) })) },
        series: [
          overview(palette, small),
          { id: "trunks", type: "line", z: 1, data: trunks.map((trunk) => [onAxis(trunk.costs[costAxis().id], costAxis()), trunk.value]), symbol: "rect", symbolSize: 9, clip: true,
            lineStyle: { type: "dashed", color: palette.trunk, width: 1 }, itemStyle: { color: palette.trunk } },
          { id: "steps", type: "line", step: "end", silent: true, symbol: "none", z: 1, lineStyle: { color: palette.front, width: 1.5, opacity: 0.8 }, clip: true,
            data: data().minimized.length === 1 && data().minimized[0] === costAxis().id ? members.map((row) => [costOf(row), row.value]) : [] },
          interval(palette),
          { id: "candidates", type: "scatter", z: 3, data: points(palette), clip: true, cursor: "pointer",
            label: { distance: 6, ...halo(palette) },
            labelLayout: { moveOverlap: "shiftY" },
            emphasis: { scale: 1.35, label: { ...halo(palette), fontWeight: "bold" } } },
        ],
      };
    },
    ready() {
      const zoomTo = ({ x, y }) => chart.instance.dispatchAction({ type: "dataZoom", batch: [
        { dataZoomId: "x", startValue: x[0], endValue: x[1] }, { dataZoomId: "y", startValue: y[0], endValue: y[1] }] });
      const zoomBy = (factor) => {
        const shrink = ([low, high]) => {
          const middle = (low + high) / 2, half = ((high - low) / 2) * factor;
          return [middle - half, middle + half];
        };
        const { x, y } = seen();
        zoomTo({ x: shrink(x), y: shrink(y) });
      };
      const usual = () => { view = null; chart.renew(); };
      const all = () => zoomTo(extent);
      const selecting = button("Select a box", (self) => choose(self.getAttribute("aria-pressed") !== "true"), { title: "drag a box to select candidates" });
      selecting.setAttribute("aria-pressed", "false");
      const choose = (on) => {
        selecting.setAttribute("aria-pressed", String(on));
        chart.instance.dispatchAction({ type: "takeGlobalCursor", key: "brush", brushOption: { brushType: on ? "rect" : false, brushMode: "single", removeOnClick: true } });
      };
      const axes = node("select", { ariaLabel: "cost axis" });
      // Times appear among the axes as soon as a search has measured them.
      const fillAxes = () => {
        if (axes.options.length === data().axes.length) return;
        axes.replaceChildren(...data().axes.map((axis) => node("option", { value: axis.id, textContent: axis.name, selected: axis.id === page.cost })));
      };
      fillAxes();
      axes.addEventListener("change", () => attnNas.show(axes.value));
      chart.tools.prepend(node("label", {}, "Cost axis ", axes),
        button("+", () => zoomBy(0.6), { ariaLabel: "zoom in", title: "zoom in" }), button("−", () => zoomBy(1 / 0.6), { ariaLabel: "zoom out", title: "zoom out" }),
        button("Most", usual, { title: "zoom to where most candidates are" }), button("All", all, { title: "show all candidates" }), selecting);

      chart.instance.on("datazoom", (event) => {
        const before = seen();
        view = { ...before };
        for (const zoom of event.batch || [event]) {
          const [low, high] = extent[zoom.dataZoomId];
          const at = (share) => low + (share / 100) * (high - low);
          view[zoom.dataZoomId] = zoom.startValue === undefined ? [at(zoom.start), at(zoom.end)] : [zoom.startValue, zoom.endValue];
        }
        chart.instance.setOption({ series: [overview(colours(), grids()[1])] });
      });
      chart.instance.on("brushEnd", ({ areas }) => {
        page.box = areas.length ? areas[0].coordRange.map((range) => [...range].sort((a, b) => a - b)) : null;
        attnNas.select();
      });
      chart.instance.on("mouseover", ({ seriesId, dataIndex }) => { if (seriesId === "candidates") attnNas.light(order[dataIndex].key); });
      chart.instance.on("globalout", () => attnNas.light(null));
      chart.instance.on("mouseout", ({ seriesId }) => { if (seriesId === "candidates") attnNas.light(null); });
      chart.instance.on("click", ({ seriesId, dataIndex }) => { if (seriesId === "candidates") attnNas.press(order[dataIndex].key); });

      const pointed = () => {
        chart.instance.dispatchAction({ type: "downplay", seriesId: "candidates" });
        if (places.has(page.hot)) chart.instance.dispatchAction({ type: "highlight", seriesId: "candidates", dataIndex: places.get(page.hot) });
      };
      chart.renewed = () => {
        fillAxes();
        pointed();
      };
      const listener = (change) => {
        if (change === "hot") return pointed();
        if (change === "cost" || change === "cleared") {
          chart.instance.dispatchAction({ type: "brush", areas: [] });
          choose(false);
        }
        if (change === "cost") view = null;
        return chart.renew();
      };
      attnNas.listeners.add(listener);
      chart.end = () => attnNas.listeners.delete(listener);

      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowUp: 1, ArrowDown: -1 };
      chart.key = (key) => {
        if (key in step) {
          const level = key === "ArrowUp" || key === "ArrowDown" ? (row) => (data().metric.minimized ? -row.value : row.value) : costOf;
          const { x, y } = seen();
          const sorted = order.filter((row) => costOf(row) >= x[0] && costOf(row) <= x[1] && row.value >= y[0] && row.value <= y[1] && (!isSelecting() || isSelected(row)))
            .sort((a, b) => level(a) - level(b) || (a.key < b.key ? -1 : 1));
          if (!sorted.length) return true;
          const at = sorted.findIndex((row) => row.key === page.hot);
          const next = at < 0 ? (step[key] > 0 ? 0 : sorted.length - 1) : Math.max(0, Math.min(sorted.length - 1, at + step[key]));
          attnNas.light(sorted[next].key);
          chart.say(attnNas.sentence(sorted[next]));
          chart.instance.dispatchAction({ type: "showTip", seriesIndex: 4, dataIndex: places.get(sorted[next].key) });
        } else if (key === "Enter" && page.hot) attnNas.open(page.hot);
        else if (key === "Escape") {
          attnNas.light(null);
          chart.instance.dispatchAction({ type: "hideTip" });
          chart.say("");
          if (isSelecting()) attnNas.clear();
        } else if (key === "+" || key === "=") zoomBy(0.6);
        else if (key === "-") zoomBy(1 / 0.6);
        else if (key === "0") all();
        else return false;
        return true;
      };
    },
  };

  function trunkText(trunk, metric) {
    return `no attention, ${trunk.name}: ${metric.name} ${valueText(trunk.value, metric)}`;
  }
};
