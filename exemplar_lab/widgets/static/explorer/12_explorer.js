/* The explorer: what is chosen, what is drawn, and who is told. */

const TRAITS = ["point", "side", "layer", "temperature", "top_k", "off", "pins", "sample"];
const TELL_EVERY = 100; // ms, while something is dragged
const REST = 120; // ms without a new query before the other layers are asked

const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);
let views = 0;

function render({ model, el }) {
  const id = `exl${++views}`;
  const root = make("div", { class: "exl", "data-testid": "explorer", "data-state": "loading", "data-seq": 0, "data-lm-suppress-shortcuts": "true" });
  const look = { heat: true, links: true, pruned: true, never: false, lens: true, follow: false };
  let at = readTraits(), scene = null, now = null, asking = null, newest = null, pins = [], others = new Map();
  let untold = {}, drawnCards = [], tellTimer = 0, restTimer = 0, loads = 0, loaded = 0, dragging = false, reading = false, pending = false, flash = 0;

  const supply = createSupply(model, () => { says(); if (now) rested(); });
  const act = {
    choose, steps,
    drag(on) { dragging = on; if (!on) tellNow(); },
    follows: (side) => look.follow && side === at.side,
    read(side, point) { panes[side].under = point; caption(panes[side]); },
    view(side, number) { panes[side].view = number; redraw(); },
    reverse, pin, clearPins: () => change({ pins: [] }),
    follow() { look.follow = !look.follow; syncControls(); },
    look(name) { look[name] = !look[name]; redraw(); },
    layer: (layer) => change({ layer }),
    temperature: (temperature) => change({ temperature }),
    topK: (top_k) => change({ top_k }),
    sample: (sample) => change({ sample: clamp(Math.round(sample) || 0, 0, scene.samples - 1) }),
    regions: (off) => change({ off: { ...at.off, [at.layer]: off } }),
    goTo: (number) => change({ point: [at.pins[number].x, at.pins[number].y], side: at.pins[number].side }),
    unpin: (number) => change({ pins: at.pins.filter((_, i) => i !== number) }),
    copyFigure: () => take(copyFigure), saveSvg: () => take(saveSvg), copyTable: () => take(copyTable),
    help() { help.hidden = !help.hidden; },
  };

  const panes = { target: createPane("target", act), exemplar: createPane("exemplar", act) };
  const toolbar = createToolbar(act), sliders = createSliders(act), legend = createLegend(), help = createHelp();
  const strip = createStrip(act), regions = createRegions(act), numbers = createNumbers(), table = createPins(act);
  const title = make("b", { class: "exl-title" }), status = make("span", { class: "exl-status", "data-testid": "status", role: "status" });
  root.append(
    make("div", { class: "exl-head" }, title, status), toolbar.node, help,
    make("div", { class: "exl-body" },
      make("div", { class: "exl-main" }, make("div", { class: "exl-pair" }, panes.target.node, panes.exemplar.node), legend.node),
      make("div", { class: "exl-side" }, sliders.node, numbers.node)),
    strip.node, regions.node, table.node);
  el.append(root);
  root.addEventListener("keydown", keyed);
  root.addEventListener("keydown", () => { root.dataset.by = "keys"; }, true);
  root.addEventListener("pointerdown", () => { root.dataset.by = "pointer"; }, true);
  for (const kind of ["keypress", "keyup"]) root.addEventListener(kind, (event) => event.stopPropagation());
  const unwatch = watchSize(Object.values(panes), () => scene && drawMarks());
  model.on("change:shown", load);
  for (const name of TRAITS) model.on(`change:${name}`, traitChanged);
  load();

  /* --- state -------------------------------------------------------------------------------------------------------- */

  function readTraits() {
    const state = Object.fromEntries(TRAITS.map((name) => [name, model.get(name)]));
    return {
      ...state, point: state.point ?? [], side: state.side === "exemplar" ? "exemplar" : "target", layer: state.layer ?? 0,
      temperature: state.temperature > 0 ? state.temperature : 1, top_k: state.top_k ?? 0, off: state.off ?? {}, pins: state.pins ?? [], sample: state.sample ?? 0,
    };
  }

  async function load() {
    const shown = model.get("shown"), mine = ++loads;
    root.dataset.state = "loading";
    supply.reset(scene); // what is under way was asked of what was shown before
    if (!shown?.layers?.length) return says("nothing is shown yet");
    let next;
    try {
      next = await decode(readScene(shown));
    } catch (problem) {
      return fail(`What Python sent could not be read: ${problem.message}`);
    }
    if (mine !== loads) return;
    loaded = mine;
    drawnCards = [];
    scene = next;
    now = asking = null;
    pins = [];
    others = new Map();
    at = { ...readTraits(), ...untold };
    supply.reset(scene);
    for (const side of ["target", "exemplar"]) fillPane(panes[side], scene[side]);
    strip.fill(scene);
    title.textContent = scene.title;
    ask();
  }

  /* Somebody else changed the state: Python, or another view of the same widget. */
  function traitChanged() {
    if (reading) return;
    reading = true;
    queueMicrotask(() => {
      reading = false;
      const told = readTraits(), changes = {};
      for (const name of TRAITS) if (!(name in untold) && !same(told[name], at[name])) changes[name] = told[name];
      if (dragging) delete changes.point;
      if (Object.keys(changes).length && loaded === loads) apply(changes);
    });
  }

  /* The person changed the state. */
  function change(changes, event) {
    if (!scene) return;
    if (changes.off) changes.off = Object.fromEntries(Object.entries(changes.off).filter(([, off]) => off.length));
    Object.assign(untold, changes);
    apply(changes, event);
  }

  function apply(changes, event) {
    const asks = ["point", "side", "layer", "off"].some((name) => name in changes && !same(changes[name], at[name])) || "point" in changes;
    at = { ...at, ...changes };
    if (loaded !== loads) return tell(); // asked when what is to be shown is there
    if (asks) return ask(event);
    if ("pins" in changes) askPins();
    redraw(event);
    tell();
  }

  function tell() {
    if (!Object.keys(untold).length) return;
    if (!dragging && !tellTimer) return tellNow();
    tellTimer ||= setTimeout(tellNow, TELL_EVERY);
  }

  function tellNow() {
    clearTimeout(tellTimer);
    tellTimer = 0;
    const changes = untold;
    untold = {};
    for (const [name, value] of Object.entries(changes)) if (!same(model.get(name), value)) model.set(name, value);
    if (Object.keys(changes).length) model.save_changes();
  }

  /* --- asking ------------------------------------------------------------------------------------------------------- */

  function queryAt(point, side, layer = layerNow()) {
    return { layer, side, cell: cellOf(point, gridOf(scene, { layer }, side), scene[side].size), point, off: at.off[layer] ?? [] };
  }

  function layerNow() {
    return clamp(at.layer, 0, scene.layers.length - 1);
  }

  function ask(event) {
    clearTimeout(restTimer);
    at.layer = layerNow();
    askPins();
    if (!at.point.length) {
      supply.forget();
      now = asking = null;
      pending = false;
      redraw(event);
      return tell();
    }
    const query = newest = queryAt(at.point, at.side);
    pending = true;
    root.dataset.state = "waiting";
    supply.want(query, {
      row: (row, source) => arrived(query, row, source, event),
      waiting() {
        now = null;
        asking = query;
        redraw();
        tell();
      },
    }, event?.type === "pointermove" || event?.repeat);
  }

  function arrived(query, row, source, event) {
    if (query === newest) pending = false;
    if (row.error) return fail(row.error);
    now = { query, raw: row, source };
    asking = null;
    redraw(event);
    tell();
    clearTimeout(restTimer);
    restTimer = setTimeout(rested, REST);
  }

  /* The pointer rests: ask the other layers, and how much each region has in the row, which is what is left when all others are off. */
  function rested() {
    if (!now) return;
    others = new Map();
    const requests = scene.layers.map((_, layer) => queryAt(now.query.point, now.query.side, layer)).filter((one) => one.layer !== now.query.layer);
    supply.wantAll("strip", requests, (request, row) => {
      others.set(request.layer, { query: request, raw: row });
      drawCard(request.layer);
    });
  }

  function askPins() {
    pins = at.pins.map(({ x, y, side }) => ({ query: queryAt([x, y], side), raw: null, row: null, numbers: null }));
    let together = true;
    supply.wantAll("pins", pins.map((pin) => pin.query), (request, row) => {
      for (const pin of pins) if (keyOf(pin.query) === keyOf(request)) pin.raw = row;
      if (!together) redrawPins();
    });
    together = false;
  }

  /* --- drawing ------------------------------------------------------------------------------------------------------ */

  function shape(one) {
    if (!one.raw) return;
    one.row = reweighted(one.raw, at.temperature, at.top_k);
    one.numbers = numbersOf(one.row, one.query, scene);
  }

  function redraw(event) {
    if (!scene) return;
    pins.forEach(shape);
    if (now) shape(now);
    const there = panes[OTHER[at.side]];
    for (const pane of Object.values(panes)) {
      const heated = Boolean(now && look.heat && pane === there);
      showPicture(pane, heated);
      pane.heat.hidden = !heated;
    }
    if (now && look.heat) drawHeat(there.heat, gridOf(scene, now.query, OTHER[at.side]), now.row, scene.heat);
    drawMarks();
    numbers.sync(view());
    syncControls();
    publish(event);
    table.sync(pins, scene);
    strip.ground(scene[OTHER[at.side]]);
    scene.layers.forEach((_, layer) => drawCard(layer));
  }

  function view() {
    return { scene, at, look, panes, now, asking, pins };
  }

  function redrawPins() {
    pins.forEach(shape);
    drawMarks();
    table.sync(pins, scene);
  }

  function drawMarks() {
    for (const pane of Object.values(panes)) {
      if (!pane.box) continue;
      const box = { ...pane.box, size: pane.size }, place = lensOn(view(), pane.side, box);
      showMarks(pane, overlay(view(), pane.side, box, id) + (place ? lensFrame(place.point, place.reach, box) : ""), id);
      showLens(pane, place, box, place ? overlay(view(), pane.side, place.large, id) : "");
    }
  }

  function drawCard(layer) {
    const one = now && (now.query.layer === layer ? now : others.get(layer));
    const stamp = one && `${keyOf(one.query)} ${one.source} ${at.temperature} ${at.top_k}`;
    if (stamp === drawnCards[layer]) return;
    drawnCards[layer] = stamp;
    if (!one) return strip.row(layer, null, null, null, "");
    if (one !== now) shape(one);
    const words = one.numbers.distance == null ? `mass ${one.numbers.mass.toFixed(2)}` : `${one.numbers.distance.toFixed(1)} px`;
    strip.row(layer, one.row, gridOf(scene, one.query, OTHER[one.query.side]), scene.heat, words);
  }

  function syncControls() {
    const layer = scene.layers[at.layer], widest = now ? now.raw.considered : cellsOf(layer.key);
    toolbar.sync(at, look, now?.numbers);
    sliders.sync(at, scene, widest, supply);
    legend.sync(at, scene, look, now?.numbers);
    strip.sync(at);
    regions.sync(layer, scene, at.off[at.layer] ?? [], now?.raw.shares);
    const words = now ? sentence(now.numbers, now.query, scene) : "nothing asked yet.";
    for (const pane of Object.values(panes)) {
      caption(pane);
      pane.stage.setAttribute("aria-label", `${pane.side}, ${pane.side === at.side ? "arrow keys choose a pixel" : roleOf(pane)}: ${words}`);
    }
  }

  function roleOf({ side }) {
    return side === at.side ? "ask here" : at.side === "target" ? "where it comes from" : "who uses it";
  }

  /* What a picture is for, or what lies under the mouse. */
  function caption(pane) {
    if (!scene) return;
    pane.role.textContent = pane.under ? underWords(view(), pane.side, pane.under) : roleOf(pane);
    pane.role.classList.toggle("exl-under", Boolean(pane.under));
  }

  /* What a test, or a curious person, can read. */
  function publish(event) {
    root.shownRow = now && { ...pick(now.query, ["layer", "side", "cell"]), index: now.row.index, weight: Float32Array.from(now.row.weight), numbers: now.numbers };
    root.dataset.source = now?.source ?? "";
    root.dataset.state = pending ? "waiting" : "ready";
    if (now) root.dataset.seq = Number(root.dataset.seq) + 1;
    if (event) root.dataset.latencyMs = (performance.now() - event.timeStamp).toFixed(1);
    says();
  }

  function pick(object, names) {
    return Object.fromEntries(names.map((name) => [name, object[name]]));
  }

  function says(words) {
    clearTimeout(flash);
    const saved = now ? now.source === "saved" : supply.silent;
    const source = asking ? "Python is busy or gone; the row comes when it answers" : saved ? "saved rows (no Python)" : "live: rows come from Python";
    status.textContent = words ?? source;
    status.classList.toggle("exl-live", !words && !saved && !asking);
  }

  function fail(words) {
    root.dataset.state = "error";
    says(words);
  }

  /* --- what a person does ------------------------------------------------------------------------------------------- */

  function choose(side, point, event) {
    if (!scene) return;
    const moved = event.type === "pointermove", query = queryAt(point, side);
    if (moved && side === at.side && at.point.length && query.cell === queryAt(at.point, side).cell) return;
    change({ side, point }, event);
  }

  /* dx, dy cells further in a picture; from its middle where nothing is chosen there. */
  function steps(side, dx, dy, event) {
    if (!scene) return;
    const grid = gridOf(scene, at, side), size = scene[side].size;
    const asked = at.side === side && at.point.length;
    const from = cellOf(asked ? at.point : [size[1] / 2, size[0] / 2], grid, size);
    const x = clamp((from % grid[1]) + (asked ? dx : 0), 0, grid[1] - 1), y = clamp(Math.floor(from / grid[1]) + (asked ? dy : 0), 0, grid[0] - 1);
    change({ side, point: centreOf(y * grid[1] + x, grid, size) }, event);
  }

  /* To the other side, and there to the place that is looked at. */
  function reverse() {
    change({ side: OTHER[at.side], point: now?.numbers.expected ?? [] });
  }

  function pin() {
    if (!at.point.length) return;
    const [x, y] = at.point, one = { x, y, side: at.side };
    if (!at.pins.some((other) => same(other, one))) change({ pins: [...at.pins, one] });
  }

  async function take(how) {
    try {
      says(await how(view()));
    } catch (problem) {
      says(`This could not be taken away: ${problem.message}`);
    }
    flash = setTimeout(() => says(), 4000);
  }

  function keyed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Tab") return;
    event.stopPropagation();
    if (!scene || event.target.matches("input[type=number], select")) return;
    const does = {
      p: pin, r: reverse, "?": act.help, Escape: () => (help.hidden ? change({ point: [] }) : act.help()),
      "[": () => change({ layer: Math.max(at.layer - 1, 0) }), "]": () => change({ layer: Math.min(at.layer + 1, scene.layers.length - 1) }),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  }

  return () => {
    unwatch();
    supply.close();
    numbers.close();
    for (const timer of [tellTimer, restTimer, flash]) clearTimeout(timer);
    model.off("change:shown", load);
    for (const name of TRAITS) model.off(`change:${name}`, traitChanged);
    root.remove();
  };
}

export default { render };
