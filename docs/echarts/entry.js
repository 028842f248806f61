// The parts of Apache ECharts that the charts of the pages use; a page reaches them as `echarts`.
import { init, use } from "echarts/core";
import { CustomChart, LineChart, ParallelChart, ScatterChart } from "echarts/charts";
import {
  BrushComponent,
  DataZoomInsideComponent,
  GridComponent,
  LegendComponent,
  ParallelComponent,
  TooltipComponent,
} from "echarts/components";
import { LabelLayout } from "echarts/features";
import { CanvasRenderer, SVGRenderer } from "echarts/renderers";

use([
  CustomChart,
  LineChart,
  ParallelChart,
  ScatterChart,
  BrushComponent,
  DataZoomInsideComponent,
  GridComponent,
  LegendComponent,
  ParallelComponent,
  TooltipComponent,
  LabelLayout,
  CanvasRenderer, // draws a chart that is saved as PNG: the policy of the pages does not let an SVG be loaded as an image
  SVGRenderer,
]);

export { init };
