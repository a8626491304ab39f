/* What a row says, in words: the numbers, what a screen reader hears, and the table of pins. */

const SPEAK_AFTER = 500; // ms without change, so that dragging does not flood a screen reader
const decimals = (value, digits) => (value == null ? "–" : value.toFixed(digits));
/* Three figures, without an exponent. */
const few = (value) => String(value >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
const pixels = (point) => (point ? `(${point.map((one) => one.toFixed(1)).join(", ")})` : "–");
const place = (cell, grid) => (cell == null ? "–" : `(${cell % grid[1]}, ${Math.floor(cell / grid[1])})`);

/* [name, title, text] of each line. */
function lines(numbers, query, scene) {
  const layer = scene.layers[query.layer], reverse = query.side === "exemplar";
  const [own, other] = reverse ? [layer.key, layer.query] : [layer.query, layer.key];
  const shares = Object.entries(numbers.shares).map(([name, share]) => `${name} ${share < 0.005 ? "< 1" : Math.round(100 * share)} %`).join(", ");
  const found = [
    ["query", "The cell (column, row) in this layer's grid of height × width cells, and what lies under it", `${place(query.cell, own)} of ${own[0]}×${own[1]}${numbers.label == null ? "" : `, ${numbers.label}`}`],
    ["mass", "Sum of the weights; 1 where nothing was lost", decimals(numbers.mass, 3)],
    reverse ? ["users", "Target cells that take something from here", `${numbers.kept}`]
      : ["links", "Links with weight; candidates that got none (cut, or too little for a float); cells that never were candidates", `${numbers.kept} kept, ${numbers.pruned} pruned, ${numbers.never} never`],
    ["spread", "exp(entropy): over how many cells the weight is spread; entropy in nats", numbers.kept ? `${few(numbers.spread)} cells (${decimals(numbers.entropy, 2)} nats)` : "–"],
    ["largest", "The cell with the largest weight, and that weight", numbers.argmax == null ? "–" : `${place(numbers.argmax, other)}, ${numbers.peak.toPrecision(2)}`],
    ["expected", "Mean point of the weight near the largest, (x, y) in pixels of the other picture", numbers.expected ? `${pixels(numbers.expected)} px` : "–"],
  ];
  if (scene.truth && !reverse) found.push(["distance", "From the expected point to the nearest right answer, in pixels of the exemplar", numbers.distance == null ? "no right answer here" : `${decimals(numbers.distance, 1)} px`]);
  if (scene.labels) found.push([reverse ? "used by" : "looks at", "Share of the weight that lies on each label, the three largest", shares || "–"]);
  if (numbers.cut > 0) found.push(["cut", "Share of the mass that lay in links which top-k let go", decimals(numbers.cut, 3)]);
  return found;
}

/* In words, what is not known of a row that was sent along. */
function caveat(row, numbers) {
  if (row.partial) return "Of the links that were sent: small ones may be missing.";
  if (numbers.omitted > 0.0005) return `${decimals(numbers.omitted, 2)} of the mass was not sent${row.asSent ? "" : "; numbers are of the links sent"}.`;
  return "";
}

function sentence(numbers, query, scene) {
  const parts = lines(numbers, query, scene).filter(([name]) => ["query", "distance", "looks at", "used by"].includes(name));
  return `${scene.layers[query.layer].name}: ${parts.map(([name, , text]) => `${name} ${text}`).join("; ")}; mass ${decimals(numbers.mass, 2)}.`;
}

/* What lies under the mouse: the weight that the query gives to that cell, and the label. */
function underWords({ scene, now }, side, point) {
  const label = labelAt(scene, side, point), after = label == null ? "" : `, ${label}`;
  if (!now || side === now.query.side) return `${pixels(point)}${after}`;
  const grid = gridOf(scene, now.query, side), cell = cellOf(point, grid, scene[side].size);
  const at = now.row.index.indexOf(cell);
  if (at >= 0) return `${now.row.weight[at] > 0 ? `weight ${now.row.weight[at].toPrecision(2)}` : "pruned"}${after}`;
  const left = now.raw.index.includes(cell) ? "cut by top-k" : side === "target" ? "takes nothing" : now.raw.considered > now.raw.index.length ? "not sent" : "never considered";
  return `${left}${after}`;
}

function createNumbers() {
  const list = make("dl", {}), note = make("p", { class: "exl-caveat" });
  const spoken = make("p", { class: "exl-spoken", "aria-live": "polite" });
  let timer = 0;
  return {
    node: make("section", { class: "exl-numbers", "data-testid": "numbers", "aria-label": "numbers of this row" }, list, note, spoken),
    sync({ now, asking, scene }) {
      clearTimeout(timer);
      const shown = now ? lines(now.numbers, now.query, scene) : [];
      const nodes = shown.flatMap(([name, title, text]) => [make("dt", { title }, name), make("dd", { title }, text)]);
      list.replaceChildren(...nodes);
      note.textContent = now ? caveat(now.row, now.numbers) : asking ? "The row is asked for." : "Click a pixel of the target, or use the arrow keys, to see where it comes from.";
      if (now) timer = setTimeout(() => { spoken.textContent = `${sentence(now.numbers, now.query, scene)} ${note.textContent}`; }, SPEAK_AFTER);
    },
    close: () => clearTimeout(timer),
  };
}

const COLUMNS = ["pin", "asked", "layer", "largest", "expected", "distance", "mass", "entropy", "label"];

/* The cells of one line of the table. query: {layer, side, cell, point}; numbers: null while they are asked for. */
function tableLine(name, query, numbers, scene) {
  const layer = scene.layers[query.layer];
  const other = query.side === "target" ? layer.key : layer.query;
  const known = numbers ? [place(numbers.argmax, other), pixels(numbers.expected), decimals(numbers.distance, 1), decimals(numbers.mass, 3), decimals(numbers.entropy, 2), numbers.label ?? "–"]
    : ["…", "", "", "", "", ""];
  return [name, `${query.side} ${pixels(query.point)}`, layer.name, ...known];
}

/* act: { goTo(number), unpin(number) } */
function createPins(act) {
  const body = make("tbody", {});
  const table = make("table", { class: "exl-pins", "data-testid": "pins" },
    make("caption", {}, "Pins"), make("thead", {}, make("tr", {}, ...COLUMNS.map((name) => make("th", { scope: "col", class: `exl-col-${name}` }, name)), make("th", { scope: "col", "aria-label": "remove" }))), body);
  return {
    node: table,
    sync(pins, scene) {
      table.hidden = !pins.length;
      body.replaceChildren(...pins.map((pin, number) => {
        const colour = scene.pinColours[number % scene.pinColours.length];
        const go = make("button", { type: "button", class: "exl-badge", style: `background:${colour};color:${inkOn(colour)}`, title: "Ask this again", "aria-label": `pin ${number + 1}: ask this again`, onclick: () => act.goTo(number) }, `${number + 1}`);
        const remove = make("button", { type: "button", class: "exl-remove", title: "Remove this pin", "aria-label": `remove pin ${number + 1}`, "data-testid": `unpin-${number}`, onclick: () => act.unpin(number) }, "×");
        const cells = tableLine(go, pin.query, pin.numbers, scene);
        return make("tr", {}, ...cells.map((cell, i) => make("td", { class: `exl-col-${COLUMNS[i]}` }, cell)), make("td", {}, remove));
      }));
    },
  };
}
