/* A picture to paint on. `strokes` is a byte for each pixel: 0 nothing, else 1 + the number of the colour; Python gets it when a
   stroke ends. Traits: shown { title, width, height, png, labels, names, colours }, strokes, colour (-1: eraser), brush. */

const KEPT = 40; // strokes that can be undone
const KEPT_BYTES = 2 ** 25; // fewer of them where the picture is large
const FAR = 8; // pixels that an arrow key goes with Shift
const UNKNOWN = 255;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HELP = [
  ["drag", "paint"],
  ["arrows", `move the brush, with Shift ${FAR} pixels`],
  ["space", "paint where the brush is"],
  ["p", "pen down: arrows paint, until p or Esc"],
  ["1 … 9", "one of the first nine"],
  [",  .", "the one before, the one after"],
  ["e", "eraser"],
  ["[  ]", "smaller and larger brush"],
  ["z", "undo"],
  ["Delete", "clear all"],
];

const bytesOf = (view) => (view ? new Uint8Array(view.buffer ?? view, view.byteOffset ?? 0, view.byteLength) : new Uint8Array());
const css = ([r, g, b]) => `rgb(${[r, g, b].map((one) => Math.round(one * 255)).join(" ")})`;

/* Every pixel whose centre lies under a round brush at (x, y); at least the one that holds the point. Outside of the picture
   there is none. */
function stamp(strokes, { width, height }, [x, y], brush, value) {
  const r = brush / 2;
  if (x >= 0 && x < width && y >= 0 && y < height) strokes[Math.floor(y) * width + Math.floor(x)] = value;
  for (let row = Math.max(0, Math.floor(y - r)); row <= Math.min(height - 1, Math.floor(y + r)); row++) {
    for (let column = Math.max(0, Math.floor(x - r)); column <= Math.min(width - 1, Math.floor(x + r)); column++) {
      const dx = column + 0.5 - x, dy = row + 0.5 - y;
      if (dx * dx + dy * dy <= r * r) strokes[row * width + column] = value;
    }
  }
}

/* The brush drawn from one point to another, without gaps. */
function sweep(strokes, size, from, to, brush, value) {
  const steps = Math.max(1, Math.ceil(2 * Math.hypot(to[0] - from[0], to[1] - from[1])));
  for (let i = 0; i <= steps; i++) {
    stamp(strokes, size, [0, 1].map((axis) => from[axis] + ((to[axis] - from[axis]) * i) / steps), brush, value);
  }
}

/* Classes where no stroke is, and strokes, over the picture. */
function overlay(canvas, { width, height, colours, labels }, strokes, strength) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height), start = bytesOf(labels), { data } = image;
  for (let i = 0; i < strokes.length; i++) {
    const number = strokes[i] ? strokes[i] - 1 : start.length && start[i] !== UNKNOWN ? start[i] : -1;
    if (number < 0) continue;
    const [r, g, b, alpha] = colours[number];
    data.set([r * 255, g * 255, b * 255, (start.length ? strength : alpha) * 255].map(Math.round), 4 * i);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/* The brush: a ring of its size, white in ink so that it is seen on any picture. */
function ring(svg, { width, height }, at, brush, down) {
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const circle = (stroke, wide) =>
    `<circle cx="${at[0]}" cy="${at[1]}" r="${Math.max(brush, 1) / 2}" fill="none" stroke="${stroke}" stroke-width="${wide}" vector-effect="non-scaling-stroke"/>`;
  svg.innerHTML = circle("#1b1b1f", down ? 4.5 : 3) + circle("#fff", down ? 2.5 : 1.2);
}

/* The colours or classes as radio buttons, the eraser first. act: { colour(number) } */
function createPalette({ names, colours }, kind, act) {
  const group = `exp-${Math.random()}`; // each painter is a module of its own: a count would give all of them one group
  const entry = (number, name, colour) => {
    const input = make("input", { type: "radio", name: group, value: number, "data-testid": `colour-${number}`, onchange: () => act.colour(number) });
    const swatch = make("span", { class: number < 0 ? "exp-swatch exp-none" : "exp-swatch", style: colour && `--colour:${css(colour)}`, "aria-hidden": "true" });
    return { input, node: make("label", { class: "exp-colour" }, input, swatch, make("span", {}, name)) };
  };
  const entries = [entry(-1, "eraser"), ...names.map((name, number) => entry(number, name, colours[number]))];
  const node = make("div", { class: "exp-palette", role: "radiogroup", "aria-label": kind }, ...entries.map((one) => one.node));
  const sync = (colour) => { entries[colour + 1].input.checked = true; };
  return { node, sync };
}

function createSlider(name, id, low, high, step, act) {
  const value = make("span", { class: "exp-value" });
  const input = make("input", { type: "range", min: low, max: high, step, "data-testid": id, oninput: () => act(Number(input.value)) });
  const node = make("label", { class: "exp-slider" }, make("span", {}, name), input, value);
  const sync = (now, words) => {
    input.value = now;
    input.setAttribute("aria-valuetext", words);
    value.textContent = words;
  };
  return { node, sync };
}

function button(id, words, title, onclick) {
  return make("button", { type: "button", class: "exp-button", "data-testid": id, title, onclick }, words);
}

function render({ model, el }) {
  const shown = model.get("shown"), { width, height, names } = shown, withLabels = shown.labels.byteLength > 0;
  const start = bytesOf(shown.labels);
  let strokes = Uint8Array.from(bytesOf(model.get("strokes")));
  let at = [Math.floor(width / 2) + 0.5, Math.floor(height / 2) + 0.5];
  let drawn = at; // where the pointer was last, which may be outside
  let held = null, before = null, down = false, strength = 0.6, sent = 0, waiting = 0;
  const past = [];

  const picture = make("img", { class: "exp-picture", alt: "" });
  const address = URL.createObjectURL(new Blob([bytesOf(shown.png)], { type: "image/png" }));
  picture.src = address;
  const canvas = make("canvas", { class: "exp-over" });
  const brushRing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  brushRing.setAttribute("class", "exp-ring");
  brushRing.setAttribute("aria-hidden", "true");
  const stage = make("div", {
    class: "exp-stage", tabindex: 0, "data-testid": "canvas", role: "application", "aria-roledescription": "picture to paint on",
    "aria-label": `${shown.title || "picture"}, ${width} by ${height} pixels`, style: `--aspect:${width / height}`,
  }, picture, canvas, brushRing);
  const palette = createPalette(shown, withLabels ? "class" : "colour", { colour: (number) => choose("colour", number) });
  const brush = createSlider("brush", "brush", 1, Math.max(2, Math.ceil(Math.min(width, height) / 2)), 1, (value) => choose("brush", value));
  const over = createSlider("labels over picture", "strength", 0, 1, 0.05, (value) => { strength = value; draw(); });
  over.node.hidden = !withLabels;
  const undone = button("undo", "Undo", "Take the last stroke back (z)", undo);
  const cleared = button("clear", "Clear", "Remove all strokes (Delete)", clear);
  const help = make("dl", { class: "exp-help", hidden: true }, ...HELP.flatMap(([key, words]) => [make("dt", {}, key), make("dd", {}, words)]));
  const asks = button("help", "Keys", "What the keys do (?)", toggleHelp);
  asks.setAttribute("aria-expanded", "false");
  const status = make("div", { class: "exp-status", "data-testid": "status" });
  const spoken = make("p", { class: "exp-spoken", "aria-live": "polite" });
  const buttons = make("div", { class: "exp-buttons", role: "group", "aria-label": "strokes" }, undone, cleared, asks);
  const side = make("div", { class: "exp-side" }, palette.node, brush.node, over.node, buttons, help);
  const title = shown.title ? make("div", { class: "exp-title" }, shown.title) : null;
  const root = make("div", { class: "exp", "data-lm-suppress-shortcuts": "true", "data-testid": "painter" }, title, make("div", { class: "exp-body" }, make("div", { class: "exp-main" }, stage, status), side), spoken);

  function choose(name, value) {
    model.set(name, value);
    model.save_changes();
    sync();
  }

  const valueInHand = () => model.get("colour") + 1;
  const nameInHand = () => (model.get("colour") < 0 ? "eraser" : names[model.get("colour")]);
  const count = () => strokes.reduce((sum, one) => sum + (one > 0), 0);

  function here() {
    const i = Math.floor(at[1]) * width + Math.floor(at[0]);
    if (strokes[i]) return names[strokes[i] - 1];
    return withLabels ? (start[i] === UNKNOWN ? "unknown" : names[start[i]]) : "not painted";
  }

  function say(words) {
    spoken.textContent = words;
  }

  function draw() {
    overlay(canvas, shown, strokes, strength);
    ring(brushRing, shown, at, model.get("brush"), down || held !== null);
    status.textContent = `${nameInHand()}, brush ${model.get("brush")} px${down ? ", pen down" : ""} · at ${Math.floor(at[0])}, ${Math.floor(at[1])}: ${here()} · ${count()} pixels painted`;
    over.sync(strength, `${Math.round(strength * 100)} %`);
    undone.disabled = !past.length;
    cleared.disabled = !count();
  }

  function sync() {
    palette.sync(model.get("colour"));
    brush.sync(model.get("brush"), `${model.get("brush")} px`);
    draw();
  }

  /* What is drawn while a pointer moves is drawn once for each frame. */
  function drawSoon() {
    waiting ||= requestAnimationFrame(() => { waiting = 0; draw(); });
  }

  /* What was before, for undo; what is too old to keep is given up. */
  function keep(was) {
    past.push(was);
    while (past.length > Math.max(1, Math.min(KEPT, Math.floor(KEPT_BYTES / was.length)))) past.shift();
  }

  /* Keeps what was before, and tells Python, where a stroke changed anything. */
  function done(was) {
    if (was.every((one, i) => one === strokes[i])) return draw();
    keep(was);
    send();
  }

  function send() {
    const copy = strokes.slice();
    root.dataset.seq = String(++sent);
    model.set("strokes", new DataView(copy.buffer));
    model.save_changes();
    draw();
  }

  function undo() {
    if (!past.length) return;
    strokes = past.pop();
    send();
    say(`taken back, ${count()} pixels painted`);
  }

  function clear() {
    const was = strokes.slice();
    strokes.fill(0);
    done(was);
    say("cleared");
  }

  function toggleHelp() {
    help.hidden = !help.hidden;
    asks.setAttribute("aria-expanded", String(!help.hidden));
  }

  function paint(from, to) {
    sweep(strokes, shown, from, to, model.get("brush"), valueInHand());
  }

  /* Where a pointer is, in pixels of the picture: outside of it too, while it is held. */
  function pointAt(event) {
    const edge = stage.getBoundingClientRect();
    return [((event.clientX - edge.left) / edge.width) * width, ((event.clientY - edge.top) / edge.height) * height];
  }

  const inside = ([x, y]) => [clamp(x, 0, width - 0.01), clamp(y, 0, height - 0.01)];

  stage.addEventListener("pointerdown", (event) => {
    if (event.button || held !== null) return;
    held = event.pointerId;
    stage.setPointerCapture?.(held);
    root.dataset.by = "pointer";
    stage.focus({ preventScroll: true });
    before = strokes.slice();
    drawn = pointAt(event);
    at = inside(drawn);
    paint(drawn, drawn);
    draw();
  });
  stage.addEventListener("pointermove", (event) => {
    if (held !== null && held !== event.pointerId) return;
    const next = pointAt(event);
    if (held !== null) paint(drawn, next);
    drawn = next;
    at = inside(next);
    drawSoon();
  });
  const lift = (event) => {
    if (held !== event.pointerId) return;
    held = null;
    done(before);
    say(`${count()} pixels painted`);
  };
  stage.addEventListener("pointerup", lift);
  stage.addEventListener("pointercancel", lift);

  function move([dx, dy], far) {
    const step = far ? FAR : 1, was = strokes.slice(), from = at;
    at = [clamp(Math.floor(at[0]) + 0.5 + dx * step, 0.5, width - 0.5), clamp(Math.floor(at[1]) + 0.5 + dy * step, 0.5, height - 0.5)];
    if (down) paint(from, at);
    done(was);
    say(`${Math.floor(at[0])}, ${Math.floor(at[1])}: ${here()}`);
  }

  function turn(by) {
    choose("colour", clamp(model.get("colour") + by, -1, names.length - 1));
    say(nameInHand());
  }

  function key(event) {
    const number = Number(event.key) - 1;
    const does = {
      " ": () => { const was = strokes.slice(); paint(at, at); done(was); say(`${nameInHand()} painted`); },
      p: () => { down = !down; draw(); say(down ? "pen down" : "pen up"); },
      Escape: () => { down = false; draw(); say("pen up"); },
      e: () => { choose("colour", -1); say("eraser"); },
      "[": () => choose("brush", Math.max(1, model.get("brush") - 1)),
      "]": () => choose("brush", Math.min(Math.max(width, height), model.get("brush") + 1)),
      ",": () => turn(-1),
      ".": () => turn(1),
      z: undo,
      Delete: clear,
      "?": toggleHelp,
    }[event.key];
    const arrow = ARROWS[event.key];
    if (event.altKey || ((event.ctrlKey || event.metaKey) && event.key !== "z")) return;
    if (arrow) move(arrow, event.shiftKey);
    else if (does) does();
    else if (number >= 0 && number < Math.min(9, names.length)) { choose("colour", number); say(names[number]); }
    else return;
    root.dataset.by = "keys";
    event.preventDefault();
    event.stopPropagation();
  }
  stage.addEventListener("keydown", key);
  stage.addEventListener("blur", () => { delete root.dataset.by; }); // whoever comes back with Tab sees where they are

  /* Strokes that Python made, told apart from the echo of one's own. */
  function heard() {
    const given = bytesOf(model.get("strokes"));
    if (held !== null || given.length !== strokes.length || given.every((one, i) => one === strokes[i])) return;
    keep(strokes);
    strokes = Uint8Array.from(given);
    draw();
  }
  model.on("change:strokes", heard);
  model.on("change:colour", sync);
  model.on("change:brush", sync);

  el.append(root);
  sync();
  root.dataset.state = "ready";
  return () => {
    cancelAnimationFrame(waiting);
    URL.revokeObjectURL(address);
    model.off("change:strokes", heard);
    model.off("change:colour", sync);
    model.off("change:brush", sync);
  };
}

export default { render };
