/* The view, to be taken away: one vector figure that holds its own numbers, a picture, a table. */

const PANEL = 380, MARGIN = 18, LINE = 15; // px of the figure
const FONT = 'font-family="system-ui, Helvetica, Arial, sans-serif"';

/* view: see `overlay`. */
function svgOf(view) {
  const { scene, panes, now } = view, id = "f";
  const [left, right] = [panes.target, panes.exemplar].map((pane) => ({ pane, box: { size: pane.size, width: PANEL, height: (PANEL * pane.size[0]) / pane.size[1] } }));
  const top = MARGIN + (scene.title ? 24 : 0) + LINE;
  const tall = Math.max(left.box.height, right.box.height);
  const words = now ? lines(now.numbers, now.query, scene) : [];
  const columns = [words.slice(0, Math.ceil(words.length / 2)), words.slice(Math.ceil(words.length / 2))];
  const width = 2 * PANEL + 3 * MARGIN, textTop = top + tall + 22;
  const notes = [now && caveat(now.row, now.numbers), `layer ${scene.layers[view.at.layer].name}${setting(view.at)}`].filter(Boolean);
  const height = Math.ceil(textTop + LINE * (columns[0].length + notes.length) + MARGIN / 2);
  const text = (x, y, content, more = "", size = 11) => `<text x="${short(x)}" y="${short(y)}" ${FONT} font-size="${size}" fill="${INK}" ${more}>${escaped(content)}</text>`;
  const panel = ({ pane, box }, x) => `${text(x, top - 6, caption(pane, view), 'font-weight="600"')}<svg x="${x}" y="${top}" width="${PANEL}" height="${short(box.height)}" viewBox="0 0 ${PANEL} ${short(box.height)}">
${pictures(pane, box)}${overlay(view, pane.side, box, id)}${magnified(view, pane, box, id)}</svg>`;
  const table = columns.map((column, c) => column.map(([name, , value], i) => {
    const x = MARGIN + c * (PANEL + MARGIN), y = textTop + i * LINE;
    return text(x, y, name, 'fill-opacity=".65"') + text(x + 62, y, value);
  }).join("")).join("");
  const below = notes.map((note, i) => text(MARGIN, textTop + (columns[0].length + i) * LINE, note, 'fill-opacity=".65"')).join("");
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>${escaped(scene.title || "Where a pixel comes from")}</title><metadata>${escaped(JSON.stringify(sourceData(view)))}</metadata>
${patterns(id)}<rect width="100%" height="100%" fill="#fff"/>${scene.title ? text(MARGIN, MARGIN + 10, scene.title, 'font-weight="700"', 14) : ""}
${now && view.look.heat ? ramp(scene.heat, now.numbers.peak, width - MARGIN, top - LINE, text) : ""}
${panel(left, MARGIN)}${panel(right, PANEL + 2 * MARGIN)}${table}${below}</svg>`;
}

/* The colours of the heat, ending at the right. */
function ramp(colours, peak, right, y, text) {
  const stops = Array.from({ length: 9 }, (_, i) => `<stop offset="${i / 8}" stop-color="${heatOver(colours, Math.min(32 * i, 255))}"/>`).join("");
  return `<linearGradient id="f-ramp">${stops}</linearGradient><rect x="${right - 116}" y="${y + 2}" width="80" height="8" fill="url(#f-ramp)"/>
${text(right - 126, y + 10, "0")}${text(right - 30, y + 10, peak.toPrecision(2))}`;
}

function setting({ temperature, top_k }) {
  return `${temperature === 1 ? "" : `, temperature ${temperature}`}${top_k ? `, ${top_k} largest links` : ""}`;
}

function caption(pane, { now, scene }) {
  const shown = scene[pane.side].views[pane.view].name;
  const name = shown === pane.side ? pane.side : `${pane.side}: ${shown}`;
  if (!now) return name;
  return pane.side === now.query.side ? `${name} (asked)` : `${name} (${now.query.side === "target" ? "where it comes from" : "who uses it"})`;
}

function pictures(pane, box) {
  return image(pane.picture, box) + (pane.heat.hidden ? "" : image(pane.heat, box));
}

/* The lens, as on the page. */
function magnified(view, pane, box, id) {
  const place = lensOn(view, pane.side, box);
  if (!place) return "";
  const [x, y, side] = [...place.corner, place.side].map(short);
  return `${lensFrame(place.point, place.reach, box)}<svg x="${x}" y="${y}" width="${side}" height="${side}" viewBox="${place.view}">
${pictures(pane, place.large)}${overlay(view, pane.side, place.large, id)}</svg><rect x="${x}" y="${y}" width="${side}" height="${side}" fill="none" stroke="#fff" stroke-width="1.5"/>`;
}

function image(canvas, { width, height }) {
  return `<image width="${width}" height="${short(height)}" preserveAspectRatio="none" style="image-rendering:pixelated" href="${canvas.toDataURL("image/png")}"/>`;
}

/* What the figure was drawn from: layer, query, index, weight, numbers, pins. */
function sourceData({ scene, at, now, pins }) {
  const plain = ({ query, numbers }) => ({ side: query.side, point: query.point, cell: query.cell, numbers });
  return {
    title: scene.title,
    layer: { number: at.layer, name: scene.layers[at.layer].name, query: scene.layers[at.layer].query, key: scene.layers[at.layer].key },
    temperature: at.temperature,
    top_k: at.top_k,
    off: at.off[at.layer] ?? [],
    source: now && now.source,
    query: now && { side: now.query.side, point: now.query.point, cell: now.query.cell },
    index: now ? Array.from(now.row.index) : [],
    weight: now ? Array.from(now.row.weight, (value) => Number(value.toPrecision(7))) : [],
    numbers: now && now.numbers,
    pins: pins.map(plain),
  };
}

function tableText({ scene, now, pins }) {
  const all = [...(now ? [["query", now]] : []), ...pins.map((pin, number) => [String(number + 1), pin])];
  return [COLUMNS, ...all.map(([name, one]) => tableLine(name, one.query, one.numbers, scene))].map((line) => line.join("\t")).join("\n");
}

async function pngOf(svg) {
  const picture = new Image();
  picture.src = `data:image/svg+xml;base64,${inBase64(new TextEncoder().encode(svg))}`;
  await picture.decode();
  const canvas = canvasOf(2 * picture.width, 2 * picture.height);
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/* To the clipboard, or where that is refused, to a file. Returns what to tell. */
async function copyFigure(view) {
  const png = pngOf(svgOf(view));
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
    return "Figure copied.";
  } catch {
    download(await png, "explorer.png");
    return "The clipboard was refused: the figure was saved as explorer.png.";
  }
}

function saveSvg(view) {
  download(new Blob([svgOf(view)], { type: "image/svg+xml" }), "explorer.svg");
  return "Saved as explorer.svg.";
}

async function copyTable(view) {
  const text = tableText(view);
  try {
    await navigator.clipboard.writeText(text);
    return "Table copied.";
  } catch {
    download(new Blob([text], { type: "text/tab-separated-values" }), "explorer.tsv");
    return "The clipboard was refused: the table was saved as explorer.tsv.";
  }
}
