/* Links and marks over a picture, as SVG text: drawn on the page and written into saved figures alike.
   box: { size: [height, width] of the picture, width, height: of the drawing }. Marks differ in shape, not in colour alone. */

const INK = "#1b1b1f";
const CURRENT = "#22d3ee"; // the query that is no pin; no colour of the heat
const PRUNED = "#fff";
const MOST_DOTS = 24; // links drawn as dots: the largest; more could not be told apart
const MOST_DIAMONDS = 400;

const short = (value) => Math.round(value * 10) / 10;
const onBox = ([x, y], { size, width, height }) => [(x * width) / size[1], (y * height) / size[0]];
const middle = (cell, grid, box) => onBox(centreOf(cell, grid, box.size), box);
const cellSide = (grid, box) => Math.min(box.width / grid[1], box.height / grid[0]);
const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

/* A stroke that can be read on any picture: colour, white around it unless `thin`, and ink around that. */
function stroked(d, colour, width, thin = colour === "#fff") {
  const line = (stroke, wide) => `<path d="${d}" stroke="${stroke}" stroke-width="${short(wide)}"/>`;
  const around = thin ? line(INK, width + 1.6) : line(INK, width + 3) + line("#fff", width + 1.6);
  return `<g fill="none" stroke-linecap="round" stroke-linejoin="round">${around}${line(colour, width)}</g>`;
}

const circlePath = ([x, y], r) => `M${short(x - r)} ${short(y)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
const crossPath = ([x, y], r) => `M${short(x - r)} ${short(y - r)}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`;
const diamondPath = ([x, y], r) => `M${short(x)} ${short(y - r)}l${r} ${r}l${-r} ${r}l${-r} ${-r}z`;
const linePath = (from, to) => `M${from.map(short).join(" ")}L${to.map(short).join(" ")}`;

/* The cell that was asked: its outline, or a ring where the cell is too small to be seen. */
function queryMark(cell, grid, box, colour) {
  const [x, y] = middle(cell, grid, box), w = box.width / grid[1], h = box.height / grid[0];
  if (Math.min(w, h) < 9) return stroked(circlePath([x, y], 6), colour, 2) + stroked(`M${short(x)} ${short(y)}h.01`, colour, 2);
  return stroked(`M${short(x - w / 2)} ${short(y - h / 2)}h${short(w)}v${short(h)}h${short(-w)}z`, colour, 2);
}

/* The largest links as dots whose area says the weight. */
function linkDots({ index, weight }, grid, box) {
  const places = largest(weight, MOST_DOTS).filter((i) => weight[i] > 0).reverse();
  const peak = places.length ? weight[places[places.length - 1]] : 0;
  const dots = places.map((i) => {
    const [x, y] = middle(index[i], grid, box);
    return `<circle cx="${short(x)}" cy="${short(y)}" r="${short(1 + 3.2 * Math.sqrt(weight[i] / peak))}"/>`;
  });
  return `<g fill="#fff" fill-opacity=".9" stroke="${INK}" stroke-width="1">${dots.join("")}</g>`;
}

/* Candidates that got no weight: hollow diamonds, or a field of them where they are many. */
function prunedMarks({ index, weight }, grid, box, id) {
  const cells = [];
  for (let i = 0; i < index.length; i++) if (weight[i] === 0) cells.push(index[i]);
  if (!cells.length) return "";
  const side = cellSide(grid, box);
  if (cells.length > MOST_DIAMONDS || side < 3) return field(cells, grid, box, `${id}-diamonds`);
  const r = clamp(0.3 * side, 2.4, 4);
  return stroked(cells.map((cell) => diamondPath(middle(cell, grid, box), r)).join(""), PRUNED, 1);
}

/* Cells that never were candidates: hatched. */
function neverMarks({ index }, grid, box, id) {
  const considered = new Uint8Array(cellsOf(grid));
  for (const cell of index) considered[cell] = 1;
  const cells = [];
  for (let i = 0; i < considered.length; i++) if (!considered[i]) cells.push(i);
  return cells.length ? field(cells, grid, box, `${id}-hatch`) : "";
}

/* Many cells as one area, its runs along the rows joined. */
function field(cells, grid, box, pattern) {
  const w = box.width / grid[1], h = box.height / grid[0];
  let d = "";
  for (let i = 0; i < cells.length; ) {
    let n = 1;
    while (cells[i + n] === cells[i] + n && cells[i + n] % grid[1]) n++;
    d += `M${short((cells[i] % grid[1]) * w)} ${short(Math.floor(cells[i] / grid[1]) * h)}h${short(n * w)}v${short(h)}h${short(-n * w)}z`;
    i += n;
  }
  return `<path d="${d}" fill="url(#${pattern})"/>`;
}

function patterns(id) {
  return `<defs><pattern id="${id}-hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect width="6" height="6" fill="${INK}" fill-opacity=".28"/><path d="M0 0v6" stroke="#fff" stroke-opacity=".5" stroke-width="1.4"/></pattern>
<pattern id="${id}-diamonds" width="9" height="9" patternUnits="userSpaceOnUse"><path d="M4.5 2.2l2.3 2.3l-2.3 2.3l-2.3 -2.3z" fill="none" stroke="${PRUNED}" stroke-opacity=".5" stroke-width=".8"/></pattern></defs>`;
}

/* The outline of a set of pixels: where the target pixels lie whose right answer was asked. */
function outline(pixels, [height, width], box) {
  const inside = new Set(pixels), sx = box.width / width, sy = box.height / height;
  let d = "";
  for (const i of inside) {
    const x = i % width, y = Math.floor(i / width), at = (a, b) => `M${short(a * sx)} ${short(b * sy)}`;
    if (y === 0 || !inside.has(i - width)) d += `${at(x, y)}h${short(sx)}`;
    if (y === height - 1 || !inside.has(i + width)) d += `${at(x, y + 1)}h${short(sx)}`;
    if (x === 0 || !inside.has(i - 1)) d += `${at(x, y)}v${short(sy)}`;
    if (x === width - 1 || !inside.has(i + 1)) d += `${at(x + 1, y)}v${short(sy)}`;
  }
  return d ? stroked(d, "#fff", 1.2) : "";
}

/* True point as a ring, the other equally right ones as thinner rings. */
function truthRings(points, box) {
  return points.map((point, i) => stroked(circlePath(onBox(point, box), i ? 5 : 7.5), "#fff", i ? 1 : 1.8)).reverse().join("");
}

/* Where a row looks: line to the truth, cross at the largest weight, dot at the expected point. */
function lookMarks(numbers, right, grid, box, colour) {
  if (!numbers.expected) return truthRings(right, box);
  const at = onBox(numbers.expected, box);
  const nearest = right.map((point) => onBox(point, box)).sort((a, b) => gap(a, at) - gap(b, at))[0];
  return [
    nearest && gap(nearest, at) > 2 ? stroked(linePath(at, nearest), colour, 1.3, true) : "",
    truthRings(right, box),
    stroked(crossPath(middle(numbers.argmax, grid, box), 4.5), colour, 2),
    `<circle cx="${short(at[0])}" cy="${short(at[1])}" r="3.4" fill="${colour}" stroke="${colour === "#fff" ? INK : "#fff"}" stroke-width="1.4"/>`,
  ].join("");
}

const gap = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

/* What the lens shows, as a frame. */
function lensFrame([x, y], reach, box) {
  const [cx, cy] = onBox([x, y], box);
  return stroked(`M${short(cx - reach)} ${short(cy - reach)}h${short(2 * reach)}v${short(2 * reach)}h${short(-2 * reach)}z`, "#fff", 0.8);
}

/* A pin's number: filled where it was set, hollow where it looks. */
function badge(point, number, colour, box, filled) {
  const [x, y] = onBox(point, box);
  const bx = clamp(x + 11, 8, box.width - 8), by = clamp(y - 11, 8, box.height - 8);
  const dot = `<circle cx="${short(x)}" cy="${short(y)}" r="3.6" fill="${colour}" stroke="#fff" stroke-width="1.4"/>`;
  const ring = stroked(circlePath([x, y], 4.5), colour, 1.8);
  return `<g>${filled ? dot : ring}<circle cx="${short(bx)}" cy="${short(by)}" r="7" fill="${filled ? colour : INK}" stroke="${filled ? "#fff" : colour}" stroke-width="1.4"/>
<text x="${short(bx)}" y="${short(by + 3.3)}" text-anchor="middle" font-family="system-ui, sans-serif" font-size="9.5" font-weight="700" fill="${filled ? inkOn(colour) : "#fff"}">${number}</text></g>`;
}

/* Black or white, whichever can be read on a colour #rrggbb. */
function inkOn(colour) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000" : "#fff";
}
