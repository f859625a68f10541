"use strict";
// Draws the figures in the page's own palette, again when the reader switches between light and dark, and in light for print.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;

  const painted = (value, key, palette) => {
    if (Array.isArray(value)) return value.map((one) => painted(one, key, palette));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, painted(one, name, palette)]));
    }
    const role = typeof value === "string" && /color/.test(key) && /^@([a-z0-9]+)$/.exec(value);
    return role ? palette.getPropertyValue("--" + role[1]).trim() : value;
  };

  const draw = (plot) => {
    const palette = getComputedStyle(root);
    const figure = painted(figures[plot.dataset.figure], "", palette);
    figure.layout.font.family = getComputedStyle(document.body).fontFamily;
    if (plot.clientWidth) figure.layout.width = plot.clientWidth;
    return Plotly.react(plot, figure.data, figure.layout, { displayModeBar: false, responsive: true, showTips: false }).then(() => {
      plot.dataset.drawn = "true";
    });
  };

  const plots = [...document.querySelectorAll("[data-figure]")];
  const all = () => plots.forEach((plot) => draw(plot).catch((error) => { plot.textContent = "This chart could not be drawn: " + error; }));
  const opened = new Map();
  all();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  addEventListener("beforeprint", () => {
    root.classList.add("printing");
    document.querySelectorAll("details").forEach((one) => { opened.set(one, one.open); one.open = true; });
    all();
  });
  addEventListener("afterprint", () => {
    root.classList.remove("printing");
    opened.forEach((was, one) => { one.open = was; });
    all();
  });
})();
