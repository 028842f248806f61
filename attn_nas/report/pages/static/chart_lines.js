// Line charts: learning curves, and the hypervolume over trials and time, which grows while a search runs.
attnNas.makers.lines = (chart, given) => {
  const { page, node, colours, text } = attnNas;
  const over = chart.element.dataset.over;
  const data = () => given || page.charts.growth[over] || { label: "", x: "", y: "", series: [] };
  const short = (value) => (Math.abs(value) >= 1e5 ? attnNas.short(value, false) : String(Number(value.toPrecision(5))));
  const named = () => data().series.length > 1;
  const top = () => 16 + (named() ? 18 * data().series.length : 0);

  return {
    replaced: ["series"],
    label: () => `${data().label}: ${data().y} over ${data().x}`,
    height: () => 270 + top(),
    option: () => {
      const palette = colours(), shown = data();
      const axis = { type: "value", axisLine: { show: true, onZero: false, lineStyle: { color: palette.line } }, axisLabel: { color: palette.ink, fontSize: 12, hideOverlap: true }, nameTextStyle: { color: palette.ink, fontSize: 12 }, nameLocation: "middle" };
      return {
        animation: false,
        textStyle: text(palette),
        color: [0, 1, 2, 3, 4, 5, 6].map((number) => palette[`s${number}`]),
        legend: { show: named(), orient: "vertical", left: 56, top: 0, itemGap: 4, itemHeight: 10, textStyle: { color: palette.ink, fontSize: 12 }, inactiveColor: palette.pale },
        grid: { left: 62, right: 18, top: top() + 6, bottom: 50 },
        xAxis: { ...axis, name: shown.x, nameGap: 30, splitLine: { show: false }, scale: !shown.steps, minInterval: shown.steps ? 0 : 1 },
        yAxis: { ...axis, name: shown.y, nameGap: 46, scale: true, splitLine: { lineStyle: { color: palette.grid } }, axisLabel: { ...axis.axisLabel, formatter: short } },
        dataZoom: [{ type: "inside", xAxisIndex: 0, zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false, moveOnMouseMove: matchMedia("(pointer: fine)").matches, preventDefaultMouseMove: false }],
        tooltip: { trigger: "axis", confine: true, transitionDuration: 0, backgroundColor: palette.panel, borderColor: palette.line, textStyle: { color: palette.ink, fontSize: 13 },
          formatter: (items) => node("div", { className: "chart-tip" }, node("b", { textContent: `${shown.x} ${short(items[0].value[0])}` }),
            ...items.map((item) => node("div", { textContent: named() ? `${item.seriesName}: ${short(item.value[1])}` : short(item.value[1]) }))) },
        series: shown.series.map((each, index) => ({
          id: `line-${index}`,
          type: "line",
          name: each.name,
          data: each.points,
          step: shown.steps ? "end" : false,
          symbol: shown.steps ? "none" : "circle",
          symbolSize: 5,
          lineStyle: { width: 2, type: index > 6 ? "dashed" : "solid" },
        })),
      };
    },
    ready() {
      let at = -1;
      chart.key = (key) => {
        const points = data().series[0]?.points || [];
        if (!["ArrowLeft", "ArrowRight"].includes(key) || !points.length) return false;
        at = Math.max(0, Math.min(points.length - 1, at < 0 ? (key === "ArrowRight" ? 0 : points.length - 1) : at + (key === "ArrowRight" ? 1 : -1)));
        chart.instance.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: at });
        const values = data().series.filter((each) => each.points[at]).map((each) => (named() ? `${each.name} ${short(each.points[at][1])}` : short(each.points[at][1])));
        chart.say(`${data().x} ${short(points[at][0])}: ${values.join("; ")}.`);
        return true;
      };
      if (given) return;
      const listener = (change) => { if (change === "data") chart.renew(); };
      attnNas.listeners.add(listener);
      chart.end = () => attnNas.listeners.delete(listener);
    },
  };
};
