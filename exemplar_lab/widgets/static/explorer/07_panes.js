/* The two pictures: canvases, marks, and the pointer and arrow keys that choose a query. */

const OTHER = { target: "exemplar", exemplar: "target" };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FAR = 4; // cells that an arrow key goes with Shift

function drawing(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", name);
  svg.setAttribute("aria-hidden", "true");
  return svg;
}

/* act: { choose(side, point, event), steps(side, dx, dy, event), drag(moving), follows(side), read(side, point | null), view(side, number) } */
function createPane(side, act) {
  const picture = make("canvas", { class: "exl-picture" });
  const heat = make("canvas", { class: "exl-heat" });
  const marks = drawing("exl-marks");
  const stage = make("div", {
    class: "exl-stage", tabindex: 0, "data-testid": side, role: "application", "aria-roledescription": "picture to ask",
  }, picture, heat, marks);
  const views = make("select", { "data-testid": `view-${side}`, "aria-label": `what is shown of the ${side}`, onchange: () => act.view(side, views.selectedIndex) });
  const role = make("span", { class: "exl-role" });
  const lens = createLens();
  stage.append(lens.node);
  const node = make("figure", { class: "exl-pane" }, make("figcaption", {}, make("b", {}, side), role, views), stage);
  const pane = { side, node, stage, picture, heat, marks, lens, views, role, under: null, size: [1, 1], box: null, bitmaps: [], view: 0, drawn: null };
  listen(pane, act);
  return pane;
}

function listen(pane, act) {
  const { stage, side } = pane;
  let held = null;
  const pointAt = (event) => {
    const edge = stage.getBoundingClientRect(), [height, width] = pane.size;
    const along = (at, from, length, pixels) => clamp(((at - from) / length) * pixels, 0, pixels - 0.01);
    return [along(event.clientX, edge.left, edge.width, width), along(event.clientY, edge.top, edge.height, height)].map((v) => Math.round(v * 100) / 100);
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    held = event.pointerId;
    stage.setPointerCapture?.(held);
    stage.focus({ preventScroll: true });
    act.drag(true);
    act.choose(side, pointAt(event), event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse") act.read(side, pointAt(event));
    if (held === event.pointerId || (held === null && act.follows(side))) act.choose(side, pointAt(event), event);
  });
  const release = (event) => {
    if (held !== event.pointerId) return;
    held = null;
    act.drag(false);
  };
  stage.addEventListener("pointerleave", () => act.read(side, null));
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);
  stage.addEventListener("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const far = event.shiftKey ? FAR : 1;
    act.steps(side, step[0] * far, step[1] * far, event);
  });
}

/* New pictures for a side; the view stays what it was when there still is one of that name. */
function fillPane(pane, { size, views }) {
  const before = pane.views.value;
  pane.bitmaps = views.map((view) => view.picture);
  pane.size = size;
  pane.views.replaceChildren(...views.map((view) => make("option", { value: view.name }, view.name)));
  pane.view = Math.max(views.findIndex((view) => view.name === before), 0);
  pane.views.selectedIndex = pane.view;
  pane.views.hidden = views.length < 2;
  pane.node.style.setProperty("--aspect", size[1] / size[0]);
  pane.drawn = null;
}

/* The picture, dim where heat lies over it; drawn anew only when it changes. */
function showPicture(pane, dark) {
  const shown = `${pane.view} ${dark}`;
  if (pane.drawn === shown) return;
  pane.drawn = shown;
  (dark ? drawInTheDark : drawPicture)(pane.picture, pane.bitmaps[pane.view]);
}

function showMarks(pane, text, id) {
  if (!pane.box) return;
  pane.marks.setAttribute("viewBox", `0 0 ${pane.box.width} ${pane.box.height}`);
  pane.marks.innerHTML = text ? patterns(id) + text : "";
}

function createLens() {
  const canvas = make("canvas", { class: "exl-picture" }), marks = drawing("exl-marks");
  const node = make("div", { class: "exl-lens" }, canvas, marks);
  node.hidden = true;
  return { node, canvas, marks };
}

/* place: of `lensPlace`, or null for no lens; text: marks for its large box. */
function showLens({ lens, picture, heat }, place, box, text) {
  lens.node.hidden = !place;
  if (!place) return;
  const { side, reach, centre, corner } = place, pixels = Math.round(side * (globalThis.devicePixelRatio || 1));
  Object.assign(lens.node.style, { width: `${side}px`, height: `${side}px`, left: `${corner[0]}px`, top: `${corner[1]}px` });
  [lens.canvas.width, lens.canvas.height] = [pixels, pixels];
  const context = lens.canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  for (const layer of heat.hidden ? [picture] : [picture, heat]) {
    const sx = layer.width / box.width, sy = layer.height / box.height;
    context.drawImage(layer, (centre[0] - reach) * sx, (centre[1] - reach) * sy, 2 * reach * sx, 2 * reach * sy, 0, 0, pixels, pixels);
  }
  lens.marks.setAttribute("viewBox", place.view);
  lens.marks.innerHTML = text;
}

/* How large the pane is on the screen; `changed` when that changes, which is also when it is seen for the first time. */
function watchSize(panes, changed) {
  const observer = new ResizeObserver((entries) => {
    for (const { target, contentRect: { width, height } } of entries) {
      const pane = panes.find((one) => one.stage === target);
      pane.box = width && height ? { width, height } : null;
    }
    changed();
  });
  for (const pane of panes) observer.observe(pane.stage);
  return () => observer.disconnect();
}
