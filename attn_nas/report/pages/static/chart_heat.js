// A heat map: what each mechanism adds at each site. Blue helps, orange harms; a frame marks an effect beyond noise.
attnNas.makers.heat = (chart, data) => {
  const { node, colours, text } = attnNas;
  const largest = Math.max(...data.cells.map((cell) => Math.abs(cell.change)), 1e-12);
  let at = -1;

  const change = (cell) => `${cell.text} ${data.unit}`.trim();
  const lines = (cell) => [
    `${data.mechanisms[cell.column]} at ${data.sites[cell.row]}`,
    ...(cell.trained ? [`${change(cell)}, 90 % interval ${cell.low} to ${cell.high}`] : [`no data; ${change(cell)} expected from other cells`]),
    cell.sure ? (cell.good ? "helps beyond noise" : "harms beyond noise") : "no effect beyond noise",
    `best placement: ${cell.placement}`,
    cell.trained === 1 ? "one network has it" : `${cell.trained} networks have it`,
  ];
  const longest = Math.max(...data.sites.map((site) => site.length));
  const room = () => ({ left: Math.max(60, Math.min(7 * longest + 14, 0.34 * chart.plot.clientWidth)), right: 10, top: 78, bottom: 8 });
  const size = () => (chart.plot.clientWidth - room().left - room().right) / Math.max(1, data.mechanisms.length);

  return {
    label: () => `${data.label}. Arrow keys move between cells.`,
    height: () => room().top + room().bottom + 30 * data.sites.length,
    option: () => {
      const palette = colours(), wide = size() >= 58;
      const axis = { type: "category", axisLine: { show: false }, axisTick: { show: false }, splitLine: { show: false },
        axisLabel: { color: palette.ink, fontSize: 12, interval: 0 } };
      return {
        animation: false,
        textStyle: text(palette),
        grid: room(),
        xAxis: { ...axis, position: "top", data: data.mechanisms, axisLabel: { ...axis.axisLabel, rotate: wide ? 30 : 60, width: 96, overflow: "truncate" } },
        yAxis: { ...axis, inverse: true, data: data.sites, axisLabel: { ...axis.axisLabel, formatter: (site) => attnNas.fitted(site, room().left - 12) } },
        tooltip: { confine: true, transitionDuration: 0, backgroundColor: palette.panel, borderColor: palette.line, textStyle: { color: palette.ink, fontSize: 13 },
          formatter: ({ dataIndex }) => node("div", { className: "chart-tip" }, ...lines(data.cells[dataIndex]).map((line, index) => node(index ? "div" : "b", { textContent: line }))) },
        series: [{
          id: "cells",
          type: "custom",
          zlevel: 0,
          data: data.cells.map((cell) => [cell.column, cell.row]),
          renderItem: ({ dataIndex }, api) => {
            const cell = data.cells[dataIndex], [x, y] = api.coord([cell.column, cell.row]), [width, height] = api.size([1, 1]);
            const strength = Math.abs(cell.change) / largest;
            const fill = cell.trained ? (cell.good ? palette.better : palette.worse) : "none";
            const opacity = cell.sure ? 0.25 + 0.75 * strength : 0.22 * strength;
            const frame = dataIndex === at ? palette.ink : cell.sure ? fill : palette.line;
            const dark = cell.trained > 0 && cell.sure && opacity > 0.6;
            return { type: "group", children: [
              { type: "rect", shape: { x: x - width / 2 + 1.5, y: y - height / 2 + 1.5, width: width - 3, height: height - 3, r: 3 },
                style: { fill: fill === "none" ? palette.paper : fill, fillOpacity: fill === "none" ? 1 : opacity, stroke: frame, lineWidth: dataIndex === at ? 3 : cell.sure ? 2 : 1, lineDash: cell.trained ? null : [3, 3] } },
              { type: "text", style: { x, y, align: "center", verticalAlign: "middle", fontSize: width < 40 ? 11 : 12, fontWeight: cell.sure ? "bold" : "normal",
                fill: dark ? palette.paper : cell.trained ? palette.ink : palette.pale, text: cell.trained ? cell.text : wide ? "no data" : "·" } },
            ] };
          },
        }],
      };
    },
    ready() {
      const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
      chart.key = (key) => {
        if (key === "Escape") {
          at = -1;
          chart.instance.dispatchAction({ type: "hideTip" });
          chart.say("");
        } else if (key in step) {
          const from = data.cells[at] || { column: -1, row: 0 };
          const [right, down] = at < 0 ? [1, 0] : step[key];
          for (let column = from.column + right, row = from.row + down;
            column >= 0 && row >= 0 && column < data.mechanisms.length && row < data.sites.length; column += right, row += down) {
            const next = data.cells.findIndex((cell) => cell.column === column && cell.row === row);
            if (next < 0) continue;
            at = next;
            break;
          }
          if (at < 0) return true;
          chart.say(`${lines(data.cells[at]).join("; ")}.`);
          chart.instance.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: at });
        } else return false;
        chart.renew();
        return true;
      };
    },
  };
};
