// Draws the charts that mlops/dashboards/charts.py describes. Every text and number comes from there.
"use strict";

const drawn = new Map();

function colours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = ["primary", "second", "good", "warn", "bad", "muted", "text", "soft", "line", "card", "fill-warn", "fill-bad"];
  return Object.fromEntries(names.map((name) => [name, read(name)]));
}

// A value without neighbours makes no line, so it is a dot.
function isAlone(values, index) {
  return (values[index - 1] ?? null) === null && (values[index + 1] ?? null) === null;
}

function dataset(series, colour) {
  const isBar = series.kind === "bar";
  const tone = (isBar && colour[`fill-${series.tone}`]) || colour[series.tone];
  return {
    type: isBar ? "bar" : "line",
    label: series.name,
    data: series.values,
    texts: series.texts,
    borderColor: tone,
    backgroundColor: tone,
    borderWidth: isBar ? 0 : 2,
    borderDash: series.kind === "dashes" ? [6, 4] : [],
    borderRadius: isBar ? 2 : 0,
    pointRadius: (point) => (!isBar && isAlone(series.values, point.dataIndex) ? 3 : 0),
    pointHoverRadius: 4,
    maxBarThickness: 56,
    order: isBar ? 1 : 0,
  };
}

function axes(spec, colour) {
  const texts = new Map(spec.ticks.map((tick) => [tick.value, tick.text]));
  const font = { family: "Inter, system-ui, sans-serif", size: 12 };
  const values = {
    stacked: spec.stacked,
    min: spec.ticks[0].value,
    max: spec.ticks[spec.ticks.length - 1].value,
    border: { display: false },
    grid: { color: colour.line },
    afterBuildTicks: (axis) => { axis.ticks = spec.ticks.map((tick) => ({ value: tick.value })); },
    ticks: { callback: (value) => texts.get(value), color: colour.soft, font, autoSkip: false },
  };
  const names = {
    stacked: spec.stacked,
    grid: { display: false },
    border: { color: colour.line },
    ticks: { color: colour.soft, font, maxRotation: 0, autoSkip: spec.kind !== "across", autoSkipPadding: 16 },
  };
  return spec.kind === "across" ? { x: values, y: names } : { x: names, y: values };
}

function open(spec, found) {
  const address = found.length ? spec.links[found[0].index] : undefined;
  if (address) window.location.assign(address);
}

function draw(canvas) {
  const spec = JSON.parse(document.getElementById(canvas.dataset.chart).textContent);
  const colour = colours();
  if (spec.kind === "across") canvas.parentElement.style.height = `${spec.labels.length * 26 + 48}px`;
  return new Chart(canvas, {
    data: { labels: spec.labels, datasets: spec.series.map((series) => dataset(series, colour)) },
    options: {
      indexAxis: spec.kind === "across" ? "y" : "x",
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: "index", axis: spec.kind === "across" ? "y" : "x", intersect: false },
      onClick: (_event, found) => open(spec, found),
      onHover: (event, found) => {
        event.native.target.style.cursor = found.length && spec.links.length ? "pointer" : "default";
      },
      scales: axes(spec, colour),
      plugins: {
        legend: {
          display: spec.series.length > 1,
          align: "start",
          labels: { color: colour.text, boxWidth: 12, boxHeight: 12, font: { family: "Inter, system-ui, sans-serif" } },
        },
        tooltip: {
          backgroundColor: colour.text,
          titleColor: colour.card,
          bodyColor: colour.card,
          callbacks: { label: (item) => ` ${item.dataset.label}: ${item.dataset.texts[item.dataIndex]}` },
        },
      },
    },
  });
}

function drawAll() {
  for (const [canvas, chart] of drawn) {
    chart.destroy();
    drawn.delete(canvas);
  }
  for (const canvas of document.querySelectorAll("canvas[data-chart]")) drawn.set(canvas, draw(canvas));
}

document.addEventListener("DOMContentLoaded", drawAll);
document.addEventListener("content-replaced", drawAll);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
