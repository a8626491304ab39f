/* Buttons, sliders and what the marks mean. Each part is { node, sync(at, …) }: made once, then told what to show. */

const TEMPERATURES = [0.1, 4];
const HELP = [
  ["click, drag", "ask where a pixel comes from; in the exemplar: who uses it"],
  ["arrows", "the next cell; with Shift 4 cells"],
  ["p", "pin the query"],
  ["[  ]", "layer before, layer after"],
  ["r", "go to the other side: who uses the place it looks at"],
  ["Esc", "clear the query"],
  ["double click on a slider", "back to where it started"],
  ["?", "this help"],
];

/* A small drawing of a mark, for legends and buttons. */
function glyph(name) {
  const box = { size: [16, 16], width: 16, height: 16 }, at = [8, 8];
  const drawn = {
    argmax: () => stroked(crossPath(at, 4), CURRENT, 2),
    expected: () => `<circle cx="8" cy="8" r="3.6" fill="${CURRENT}" stroke="#fff" stroke-width="1.4"/>`,
    truth: () => stroked(circlePath(at, 5), "#fff", 1.8),
    pruned: () => stroked(diamondPath(at, 4), PRUNED, 1.2),
    never: () => `<rect x="2" y="2" width="12" height="12" fill="${INK}" fill-opacity=".45"/>` + stroked("M3 13L13 3", "#fff", 1),
    links: () => [[5, 9, 3.6], [11.5, 5.5, 1.8]].map(([x, y, r]) => `<circle cx="${x}" cy="${y}" r="${r}" fill="#fff" stroke="${INK}"/>`).join(""),
    copy: () => `<path d="M5.5 5.5h7v8h-7zM3.5 10.5v-8h7" fill="none" stroke="currentColor" stroke-width="1.3"/>`,
    save: () => `<path d="M8 2.5v7.5m-3.2 -3l3.2 3.2l3.2 -3.2M3 13.5h10" fill="none" stroke="currentColor" stroke-width="1.3"/>`,
    outline: () => stroked("M3 5h7v3h3v5h-10z", "#fff", 1.2),
  }[name];
  const svg = drawing("exl-glyph");
  svg.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
  if (drawn) svg.innerHTML = drawn();
  return svg;
}

function button(id, words, title, onclick, mark = null) {
  return make("button", { type: "button", class: "exl-button", "data-testid": id, title, onclick }, mark && glyph(mark), make("span", {}, words));
}

const press = (node, on) => node.setAttribute("aria-pressed", String(Boolean(on)));

/* act: { reverse, follow, pin, clearPins, look(name), copyFigure, saveSvg, copyTable, help } */
function createToolbar(act) {
  const asks = {
    reverse: button("reverse", "Reverse", "Ask the exemplar: who uses this pixel? (r)", act.reverse),
    follow: button("follow", "Follow", "The query follows the mouse without a click", act.follow),
  };
  const pin = button("pin", "Pin", "Keep this query in a colour of its own (p)", act.pin);
  const clear = button("clear-pins", "Clear", "Remove all pins", act.clearPins);
  const looks = {
    heat: button("heat", "Heat", "The row of weights as heat", () => act.look("heat")),
    links: button("links", "Links", `The ${MOST_DOTS} largest links as dots; their area says the weight`, () => act.look("links"), "links"),
    pruned: button("pruned", "Pruned", "Candidates that were considered and got no weight", () => act.look("pruned"), "pruned"),
    never: button("never", "Never", "Cells that were never considered", () => act.look("never"), "never"),
    lens: button("lens", "Lens", `Where the row looks, ${LENS_TIMES} times as large, when its cells are small`, () => act.look("lens")),
  };
  const group = (name, ...nodes) => make("div", { class: "exl-group", role: "group", "aria-label": name }, ...nodes);
  const node = make("div", { class: "exl-toolbar" },
    group("ask", asks.reverse, asks.follow, pin, clear),
    group("show", ...Object.values(looks)),
    group("copy and save",
      button("copy-figure", "Figure", "Copy this view as a picture to the clipboard", act.copyFigure, "copy"),
      button("save-svg", "SVG", "Save this view as a vector figure, with its numbers inside", act.saveSvg, "save"),
      button("copy-table", "Table", "Copy the query and the pins as a table, for a spreadsheet", act.copyTable, "copy"),
      button("help", "?", "Keys", act.help)));
  return {
    node,
    sync(at, look, numbers) {
      press(asks.reverse, at.side === "exemplar");
      press(asks.follow, look.follow);
      for (const name of Object.keys(looks)) press(looks[name], look[name]);
      const reversed = at.side === "exemplar";
      for (const name of ["pruned", "never"]) looks[name].classList.toggle("exl-none", reversed || !numbers?.[name]);
      pin.disabled = !at.point.length;
      clear.disabled = !at.pins.length;
    },
  };
}

function slider(id, words, title, attributes, moved, reset) {
  const input = make("input", { type: "range", "data-testid": id, "aria-label": words, title, ...attributes, oninput: () => moved(Number(input.value)), ondblclick: reset });
  const shown = make("span", { class: "exl-value", "aria-hidden": "true" });
  const node = make("label", { class: "exl-slider", title }, make("span", {}, words), input, shown);
  const show = (value, text) => {
    input.value = value;
    shown.textContent = text;
    input.setAttribute("aria-valuetext", text);
    const span = input.max - input.min;
    input.style.setProperty("--filled", `${span ? (100 * (input.value - input.min)) / span : 0}%`);
  };
  return { node, input, show };
}

/* Numbers of links that the slider stops at, about a fifth apart; 0, all of them, is the last. */
function linkSteps(most) {
  const steps = [1, 2, 3];
  for (let power = 1; 4 * power < most; power *= 2) steps.push(4 * power, 5 * power, 6 * power, 7 * power);
  return [...steps.filter((step) => step < most), 0];
}

/* act: { layer, temperature, topK, sample } */
function createSliders(act, samples) {
  let steps = [0];
  const [low, high] = TEMPERATURES.map(Math.log10);
  const layer = slider("layer", "layer", "Which layer's row is shown ([ and ])", { min: 0, max: 0, step: 1 }, act.layer, () => {});
  const temperature = slider("temperature", "temperature", "Below 1 the row becomes more decided, above 1 less: weights to the power of 1/T, the mass kept. Double click: 1",
    { min: low, max: high, step: "any" }, (value) => act.temperature(Math.abs(value) < 0.012 ? 1 : Number((10 ** value).toPrecision(3))), () => act.temperature(1));
  const topK = slider("top-k", "top-k", "How many of the largest links are kept; they share the row's mass. Double click: all",
    { min: 0, max: 0, step: 1 }, (value) => act.topK(steps[value]), () => act.topK(0));
  const sample = make("input", { type: "number", min: 0, "data-testid": "sample", onchange: () => act.sample(Number(sample.value)) });
  const sampleNode = make("label", { class: "exl-slider", title: "Which pair of the batch" }, make("span", {}, "sample"), sample, make("span", { class: "exl-value" }));
  return {
    node: make("div", { class: "exl-sliders" }, layer.node, temperature.node, topK.node, sampleNode),
    /* links: how many the row has; supply: see `createSupply`. */
    sync(at, scene, links, { live, silent }) {
      layer.input.max = scene.layers.length - 1;
      layer.input.disabled = scene.layers.length < 2;
      layer.show(at.layer, scene.layers[at.layer].name);
      temperature.show(Math.log10(at.temperature), at.temperature.toFixed(2));
      if (steps.most !== links) steps = Object.assign(linkSteps(links), { most: links });
      topK.input.max = steps.length - 1;
      const nearest = at.top_k ? steps.findIndex((step) => !step || step >= at.top_k) : steps.length - 1;
      topK.show(nearest, at.top_k ? String(at.top_k) : "all");
      sampleNode.hidden = !live || scene.samples < 2;
      sample.max = scene.samples - 1;
      sample.value = at.sample;
      sample.disabled = silent;
      sampleNode.lastChild.textContent = `of ${scene.samples}`;
    },
  };
}

/* What the marks mean, and the colours of the heat. */
function createLegend() {
  const entries = { argmax: "largest", expected: "expected", truth: "truth", outline: "true users" };
  const nodes = Object.fromEntries(Object.entries(entries).map(([name, words]) => [name, make("span", { class: "exl-key" }, glyph(name), words)]));
  const ramp = make("i", { class: "exl-ramp" }), peak = make("span", {});
  const heat = make("span", { class: "exl-key exl-heat-key" }, "0", ramp, peak);
  return {
    node: make("div", { class: "exl-legend" }, ...Object.values(nodes), heat),
    sync(at, scene, look, numbers) {
      ramp.style.background = heatGradient(scene.heat);
      peak.textContent = numbers ? numbers.peak.toPrecision(2) : "weight";
      heat.hidden = !look.heat;
      nodes.truth.hidden = !scene.truth || at.side === "exemplar";
      nodes.outline.hidden = !scene.truth || at.side === "target";
    },
  };
}

function createHelp() {
  const rows = HELP.flatMap(([key, words]) => [make("dt", {}, key), make("dd", {}, words)]);
  const node = make("dl", { class: "exl-help", "data-testid": "help-text" }, ...rows);
  node.hidden = true;
  return node;
}
