// A live area chart, drawn as SVG; for a screen reader, a sentence. It starts with one minute and grows, as there is
// more to show, to ten.

import { duration } from "./format.js";

const WIDTH = 1_000;
const HEIGHT = 100;
// The spans a chart may show, and how far apart the labels of its axis are, in seconds.
const SPANS = [[60, 15], [120, 60], [300, 60], [600, 120]];
const SVG = "http://www.w3.org/2000/svg";
const GRID_SHARES = [0, 0.5, 1];

function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function label(className, box) {
  const element = document.createElement("span");
  element.className = className;
  element.ariaHidden = "true";
  box.append(element);
  return element;
}

// The next number above `value` that makes a good end of an axis, and so does its half.
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return [1, 1.6, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value);
}

export class Chart {
  #picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  #area;
  #line = svg("path", { class: "line" });
  #now;
  #scale;
  #axis;
  #name;

  constructor(box, name) {
    this.#name = name;
    const fade = `${box.id}-fade`;
    const stops = [svg("stop", { class: "full", offset: 0 }), svg("stop", { class: "none", offset: 1 })];
    this.#area = svg("path", { class: "area", fill: `url(#${fade})` });
    this.#picture.append(
      svg("defs", {}, svg("linearGradient", { id: fade, x1: 0, x2: 0, y1: 0, y2: 1 }, ...stops)),
      ...GRID_SHARES.map((share) => svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT * share, y2: HEIGHT * share })),
      this.#area,
      this.#line,
    );
    const plot = document.createElement("div");
    plot.className = "plot";
    plot.append(this.#picture);
    box.append(plot);
    this.#now = label("now", plot);
    this.#scale = GRID_SHARES.map((share) => {
      const text = label("scale", plot);
      text.style.top = `${100 * share}%`;
      return text;
    });
    this.#axis = label("axis", box);
  }

  // The scale goes up to at least `least`, so that a quiet hour looks quiet.
  draw(points, format, least) {
    const end = points.at(-1).at;
    const begun = points.find((point) => point.value > 0)?.at ?? end;
    const [span, step] = SPANS.find(([seconds]) => seconds >= end - begun) ?? SPANS.at(-1);
    const seen = points.filter((point, index) => (points[index + 1]?.at ?? end) >= end - span);
    const most = Math.max(...seen.map((point) => point.value));
    const top = roundUp(Math.max(most, least));
    const x = (point) => (WIDTH * (point.at - end + span)) / span;
    const y = (point) => HEIGHT * (1 - point.value / top);
    const path = seen.map((point) => `${x(point).toFixed(1)},${y(point).toFixed(2)}`).join("L");
    this.#line.setAttribute("d", `M${path}`);
    this.#area.setAttribute("d", `M${x(seen[0]).toFixed(1)},${HEIGHT}L${path}L${WIDTH},${HEIGHT}Z`);
    this.#now.style.top = `${y(seen.at(-1))}%`;
    GRID_SHARES.forEach((share, index) => { this.#scale[index].textContent = share === 1 ? "" : format(top * (1 - share)); });
    this.#showAxis(span, step);
    const said = `${this.#name}: now ${format(seen.at(-1).value)}, at most ${format(most)} in the last ${duration(span)}.`;
    this.#picture.setAttribute("aria-label", said);
  }

  #showAxis(span, step) {
    const texts = ["now"];
    for (let ago = step; ago <= span; ago += step) {
      texts.unshift(`−${duration(ago)}`);
    }
    if (this.#axis.childElementCount !== texts.length || this.#axis.firstChild.textContent !== texts[0]) {
      this.#axis.replaceChildren();
      texts.forEach((text) => { label("tick", this.#axis).textContent = text; });
    }
  }
}
