// The dashboard's panels, drawn by Grafana's own components from answers of Prometheus that `draw` has put into the page.
//
// What Grafana's server and its panel plugins add to the components is done here: the grid, defaults of the panel's own
// options, and the marks of annotations.

import { useLayoutEffect } from "react";
import { createRoot } from "react-dom/client";
import {
  applyFieldOverrides,
  createTheme,
  dateTime,
  FieldConfigOptionsRegistry,
  FieldType,
  getFieldDisplayValues,
  identityOverrideProcessor,
  ThemeContext,
  toDataFrame,
} from "@grafana/data";
import {
  BigValue,
  BigValueColorMode,
  BigValueGraphMode,
  BigValueJustifyMode,
  BigValueTextMode,
  GlobalStyles,
  PanelChrome,
  TimeSeries,
} from "@grafana/ui";

const { board, answers, marks, from, to, width, dark } = (window as any).drawn;
const theme = createTheme({ colors: { mode: dark ? "dark" : "light" } });
const GAP = 8;
const ROW = 30;
const timeRange = {
  from: dateTime(from * 1000),
  to: dateTime(to * 1000),
  raw: { from: dateTime(from * 1000), to: dateTime(to * 1000) },
};

// What the plugin "timeseries" says where a dashboard says nothing.
const TIMESERIES = {
  drawStyle: "line",
  lineInterpolation: "linear",
  lineWidth: 1,
  fillOpacity: 0,
  gradientMode: "none",
  pointSize: 5,
  showPoints: "auto",
  spanNulls: false,
  axisPlacement: "auto",
  axisColorMode: "text",
  axisBorderShow: false,
  scaleDistribution: { type: "linear" },
  stacking: { mode: "none", group: "A" },
  thresholdsStyle: { mode: "off" },
  hideFrom: { legend: false, tooltip: false, viz: false },
  barAlignment: 0,
};

// What can be overridden for a series, by its path in the field's config.
function registry() {
  const standard = ["unit", "min", "max", "decimals", "displayName", "noValue", "color", "thresholds", "mappings", "links"];
  const item = (path: string, isCustom: boolean) => ({
    id: isCustom ? `custom.${path}` : path,
    path,
    name: path,
    isCustom,
    override: identityOverrideProcessor,
    process: identityOverrideProcessor,
    shouldApply: () => true,
    getItemsCount: () => 0,
    editor: () => null,
  });
  const items = [...standard.map((path) => item(path, false)), ...Object.keys(TIMESERIES).map((path) => item(path, true))];
  return new FieldConfigOptionsRegistry(() => items as any);
}
const fieldConfigRegistry = registry();

function frames(panel: any) {
  const custom = panel.type === "timeseries" ? { ...TIMESERIES, ...panel.fieldConfig.defaults.custom } : {};
  const color = panel.fieldConfig.defaults.color ?? { mode: panel.type === "stat" ? "thresholds" : "palette-classic" };
  const data = answers[panel.id].map((series: any) =>
    toDataFrame({
      refId: series.refId,
      name: series.name,
      fields: [
        { name: "Time", type: FieldType.time, values: series.times.map((at: number) => at * 1000), config: {} },
        {
          name: "Value",
          type: FieldType.number,
          values: series.values,
          labels: series.labels,
          config: { displayNameFromDS: series.name },
        },
      ],
    }),
  );
  return applyFieldOverrides({
    data,
    fieldConfig: { defaults: { ...panel.fieldConfig.defaults, color, custom }, overrides: panel.fieldConfig.overrides },
    fieldConfigRegistry,
    replaceVariables: (text: string) => text,
    theme,
    timeZone: "utc",
  });
}

function Marks({ config }: any) {
  useLayoutEffect(() => {
    config.addHook("draw", (plot: any) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.lineWidth = devicePixelRatio;
      for (const mark of marks) {
        const x = Math.round(plot.valToPos(mark.at * 1000, "x", true));
        ctx.strokeStyle = ctx.fillStyle = theme.visualization.getColorByName(mark.color);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        const side = 4 * devicePixelRatio;
        ctx.fillRect(x - side, bbox.top + bbox.height, 2 * side, side);
      }
      ctx.restore();
    });
  }, [config]);
  return null;
}

function Stat({ panel, width, height }: any) {
  const { options, fieldConfig } = panel;
  const values = getFieldDisplayValues({
    fieldConfig: { ...fieldConfig, defaults: { ...fieldConfig.defaults, custom: {} } },
    reduceOptions: options.reduceOptions,
    replaceVariables: (text: string) => text,
    theme,
    data: frames(panel),
    sparkline: options.graphMode !== "none",
    timeZone: "utc",
  });
  const each = width / Math.max(values.length, 1);
  return (
    <div style={{ display: "flex" }}>
      {values.map((value: any, index: number) => (
        <BigValue
          key={index}
          value={value.display}
          count={values.length}
          sparkline={value.sparkline}
          width={each}
          height={height}
          theme={theme}
          colorMode={options.colorMode as BigValueColorMode}
          graphMode={options.graphMode as BigValueGraphMode}
          justifyMode={options.justifyMode as BigValueJustifyMode}
          textMode={options.textMode as BigValueTextMode}
        />
      ))}
    </div>
  );
}

function Graph({ panel, width, height }: any) {
  const data = frames(panel);
  if (!data.length) return <span>No data</span>;
  return (
    <TimeSeries
      frames={data}
      structureRev={1}
      timeRange={timeRange as any}
      timeZone="utc"
      width={width}
      height={height}
      legend={{ ...panel.options.legend }}
      options={panel.options}
    >
      {(config: any) => <Marks config={config} />}
    </TimeSeries>
  );
}

function Dashboard() {
  const column = (width + GAP) / 24;
  let bottom = 0;
  const panels = board.panels.map((panel: any) => {
    const { x, y, w, h } = panel.gridPos;
    const place = { left: x * column, top: y * (ROW + GAP), width: w * column - GAP, height: h * (ROW + GAP) - GAP };
    bottom = Math.max(bottom, place.top + place.height);
    const Body = panel.type === "stat" ? Stat : Graph;
    return (
      <div key={panel.id ?? y} className="placed" data-title={panel.title} style={{ position: "absolute", ...place }}>
        {panel.type === "row" ? (
          <h4 style={{ margin: "6px 0" }}>{panel.title}</h4>
        ) : (
          <PanelChrome title={panel.title} width={place.width} height={place.height}>
            {(width: number, height: number) => <Body panel={panel} width={width} height={height} />}
          </PanelChrome>
        )}
      </div>
    );
  });
  return <div style={{ position: "relative", height: bottom, width, margin: GAP }}>{panels}</div>;
}

createRoot(document.getElementById("root")!).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles isExtensionSidebarOpen={false} hackNoBackdropBlur />
    <Dashboard />
  </ThemeContext.Provider>,
);
