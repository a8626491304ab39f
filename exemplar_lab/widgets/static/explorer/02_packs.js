/* Bytes from Python, and the rows that were sent along with the page so that no Python is needed. */

const STEPS = 65535; // weights are sent as whole numbers of 16 bits
const identities = new Map();

/* Bytes as numbers, little endian; copied, because the bytes of a message may start anywhere. */
function numbersFrom(bytes, Kind) {
  if (!bytes) return new Kind(0);
  const start = bytes.byteOffset ?? 0;
  const whole = bytes.buffer ?? bytes;
  return new Kind(whole.slice(start, start + bytes.byteLength));
}

function bytesFrom(bytes) {
  return numbersFrom(bytes, Uint8Array);
}

/* 0 … n − 1, made once for each n. */
function identity(n) {
  if (!identities.has(n)) identities.set(n, Uint32Array.from({ length: n }, (_, i) => i));
  return identities.get(n);
}

/* The trait `shown` as the page uses it: numbers instead of bytes, sizes as [height, width]. */
function readScene(shown) {
  const side = ({ width, height, views }) => ({ size: [height, width], views: views.map((view) => ({ ...view, png: bytesFrom(view.png) })) });
  const { truth, labels } = shown;
  return {
    title: shown.title ?? "",
    target: side(shown.target),
    exemplar: side(shown.exemplar),
    layers: shown.layers.map(readLayer),
    truth: truth && { ...truth, points: numbersFrom(truth.points, Float32Array) },
    labels: labels && { names: labels.names, target: bytesFrom(labels.target), exemplar: bytesFrom(labels.exemplar) },
    heat: bytesFrom(shown.heat),
    pinColours: shown.pin_colours,
    samples: shown.samples ?? 1,
  };
}

function readLayer(layer) {
  return {
    ...layer,
    warp: bytesFrom(layer.warp),
    region_maps: layer.region_maps ? bytesFrom(layer.region_maps) : null,
    pack: layer.pack && (layer.pack.kind === "factors" ? readFactors(layer.pack) : readLinks(layer.pack)),
  };
}

function readLinks(pack) {
  return {
    ...pack,
    void: pack.wide ? 0xffffffff : 0xffff,
    index: numbersFrom(pack.index, pack.wide ? Uint32Array : Uint16Array),
    weight: numbersFrom(pack.weight, Uint16Array),
    peak: numbersFrom(pack.peak, Float32Array),
    mass: numbersFrom(pack.mass, Float32Array),
    entropy: numbersFrom(pack.entropy, Float32Array),
    kept: numbersFrom(pack.kept, Uint32Array),
    considered: numbersFrom(pack.considered, Uint32Array),
  };
}

function readFactors(pack) {
  return { ...pack, query: numbersFrom(pack.query, Float32Array), key: numbersFrom(pack.key, Float32Array) };
}

/* The row of {side, cell, off} from what was sent with a layer. */
function packedRow(layer, { side, cell, off }) {
  const { pack } = layer;
  if (pack.kind === "factors") return factoredRow(layer, side, cell, off);
  return side === "target" ? linkedRow(pack, cell) : usersRow(pack, cell);
}

function rowOf(index, weight, considered = index.length) {
  return { index, weight, considered, sent: null };
}

function linkedRow(pack, query) {
  const start = query * pack.t, scale = pack.peak[query] / STEPS;
  let places = [];
  for (let i = start; i < start + pack.t; i++) if (pack.index[i] !== pack.void) places.push(i);
  places = places.sort((a, b) => pack.index[a] - pack.index[b]);
  const weight = Float32Array.from(places, (i) => pack.weight[i] * scale);
  const row = rowOf(Uint32Array.from(places, (i) => pack.index[i]), weight, pack.considered[query]);
  row.sent = { mass: pack.mass[query], entropy: pack.entropy[query], kept: pack.kept[query], complete: pack.complete };
  row.sentWeight = weight;
  return row;
}

/* Who uses an exemplar cell: all queries whose sent links go there. What was not sent cannot be known here. */
function usersRow(pack, key) {
  const index = [], weight = [];
  for (let i = 0; i < pack.index.length; i++) {
    if (pack.index[i] !== key || pack.weight[i] === 0) continue;
    const query = Math.floor(i / pack.t);
    index.push(query);
    weight.push((pack.weight[i] * pack.peak[query]) / STEPS);
  }
  const row = rowOf(Uint32Array.from(index), Float32Array.from(weight));
  row.partial = !pack.complete;
  return row;
}

function factoredRow(layer, side, cell, off) {
  const { pack } = layer, regions = pack.gate.length;
  const queries = cellsOf(layer.query), keys = cellsOf(layer.key);
  const count = side === "target" ? keys : queries;
  const weight = new Float32Array(count), parts = new Float64Array(regions);
  for (let r = 0; r < regions; r++) {
    if (off.includes(r)) continue;
    const fixed = (side === "target" ? pack.query[cell * regions + r] : pack.key[r * keys + cell]) * pack.gate[r];
    for (let i = 0; i < count; i++) {
      const value = fixed * (side === "target" ? pack.key[r * keys + i] : pack.query[i * regions + r]);
      weight[i] += value;
      parts[r] += value;
    }
  }
  const row = side === "target" ? rowOf(identity(count), weight) : positive(weight);
  const mass = total(parts);
  row.shares = Array.from(parts, (part) => (mass > 0 ? part / mass : 0));
  return row;
}

/* Of a dense column the users alone, as Python answers. */
function positive(weight) {
  const places = [];
  for (let i = 0; i < weight.length; i++) if (weight[i] > 0) places.push(i);
  return rowOf(Uint32Array.from(places), Float32Array.from(places, (i) => weight[i]));
}
