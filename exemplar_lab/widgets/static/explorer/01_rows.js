/* A row of weights and what can be read from it: numbers only, no page. Python twins: ops/rows.py and widgets/numbers.py.
   A row is { index: Uint32Array, weight: Float32Array | Float64Array, considered, sent }, its positions in rising order;
   `sent`, where a row comes from a pack, tells what the whole row was like. Grids and pictures are [height, width]. */

const NEAR = 1.5; // cells, along both axes: the neighbourhood of the largest weight that the expected point is the mean of
const MOST_SHARES = 3;

const cellsOf = ([height, width]) => height * width;

function cellOf([x, y], grid, picture) {
  const row = clamp(Math.floor((y * grid[0]) / picture[0]), 0, grid[0] - 1);
  return row * grid[1] + clamp(Math.floor((x * grid[1]) / picture[1]), 0, grid[1] - 1);
}

function centreOf(cell, grid, picture) {
  return [(((cell % grid[1]) + 0.5) * picture[1]) / grid[1], ((Math.floor(cell / grid[1]) + 0.5) * picture[0]) / grid[0]];
}

function total(values) {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum;
}

/* Places of the `count` largest weights, ties to the lower place; rising. */
function chosen(weight, count) {
  const least = count < weight.length ? Float64Array.from(weight).sort()[weight.length - count] : -1;
  let ties = count;
  for (let i = 0; i < weight.length; i++) if (weight[i] > least) ties--;
  const places = [];
  for (let i = 0; i < weight.length; i++) if (weight[i] > least || (weight[i] === least && ties-- > 0)) places.push(i);
  return places;
}

/* The same for a few, from large to small. */
function largest(weight, count) {
  const best = [];
  for (let i = 0; i < weight.length; i++) {
    if (best.length === count && !(weight[i] > weight[best[count - 1]])) continue;
    let at = best.length < count ? best.length : count - 1;
    for (; at > 0 && weight[best[at - 1]] < weight[i]; at--) best[at] = best[at - 1];
    best[at] = i;
  }
  return best;
}

/* The row at another temperature and with its topK largest links alone (0: all); it keeps its mass. `cut`: share let go. */
function reweighted(row, temperature, topK) {
  const { index, weight } = row;
  const drops = topK > 0 && topK < weight.length;
  if (temperature === 1 && !drops) return { ...row, cut: 0, asSent: true };
  let mass = 0, peak = 0, links = 0, kept = 0, keptLinks = 0, sum = 0;
  for (let i = 0; i < weight.length; i++) {
    mass += weight[i];
    links += weight[i] > 0;
    if (weight[i] > peak) peak = weight[i];
  }
  const powered = new Float64Array(weight.length);
  for (const i of drops ? chosen(weight, topK) : identity(weight.length)) {
    if (!(weight[i] > 0)) continue;
    keptLinks++;
    kept += weight[i];
    sum += powered[i] = (weight[i] / peak) ** (1 / temperature);
  }
  const left = { index: new Uint32Array(index.length), weight: new Float64Array(index.length) };
  let n = 0;
  for (let i = 0; i < weight.length; i++) {
    if (!(powered[i] > 0) && weight[i] !== 0) continue;
    left.index[n] = index[i];
    left.weight[n++] = powered[i] ? (powered[i] / sum) * mass : 0;
  }
  return {
    ...row,
    index: left.index.subarray(0, n),
    weight: left.weight.subarray(0, n),
    cut: keptLinks < links ? 1 - kept / mass : 0,
    asSent: temperature === 1 && keptLinks === links,
  };
}

/* mass, kept, pruned, never, entropy, argmax, expected (in cells), peak and omitted of a row that went through `reweighted`. */
function reading(row, grid) {
  const { index, weight, sent } = row;
  const mass = total(weight);
  let kept = 0, best = -1, entropy = 0;
  for (let i = 0; i < weight.length; i++) {
    if (!(weight[i] > 0)) continue;
    kept++;
    if (best < 0 || weight[i] > weight[best]) best = i;
    const share = weight[i] / mass;
    entropy -= share * Math.log(share);
  }
  const found = {
    mass, kept, entropy,
    pruned: weight.length - kept,
    never: cellsOf(grid) - row.considered,
    argmax: best < 0 ? null : index[best],
    peak: best < 0 ? 0 : weight[best],
    expected: best < 0 ? null : expectedNear(row, index[best], grid),
    omitted: 0,
  };
  if (!sent) return found;
  found.omitted = sent.complete ? 0 : Math.max(sent.mass - total(row.sentWeight), 0);
  if (!row.asSent) return found;
  return { ...found, mass: sent.mass, kept: sent.kept, entropy: sent.entropy, pruned: row.considered - sent.kept };
}

function expectedNear({ index, weight }, peak, grid) {
  const x0 = peak % grid[1], y0 = Math.floor(peak / grid[1]);
  let x = 0, y = 0, sum = 0;
  for (let i = 0; i < index.length; i++) {
    const dx = (index[i] % grid[1]) - x0, dy = Math.floor(index[i] / grid[1]) - y0;
    if (Math.abs(dx) > NEAR || Math.abs(dy) > NEAR) continue;
    x += weight[i] * dx;
    y += weight[i] * dy;
    sum += weight[i];
  }
  return [x0 + 0.5 + x / sum, y0 + 0.5 + y / sum];
}

/* Everything the page says of a row. scene: see `readScene`; query: {layer, side, cell, point}. */
function numbersOf(row, query, scene) {
  const layer = scene.layers[query.layer];
  const [own, other] = query.side === "target" ? [layer.query, layer.key] : [layer.key, layer.query];
  const there = query.side === "target" ? scene.exemplar : scene.target;
  const found = reading(row, other);
  const expected = found.expected && [(found.expected[0] * there.size[1]) / other[1], (found.expected[1] * there.size[0]) / other[0]];
  const right = query.side === "target" ? rightAnswers(scene, query.cell, own) : [];
  const gaps = expected ? right.map(([x, y]) => Math.hypot(x - expected[0], y - expected[1])) : [];
  return {
    ...found,
    expected,
    spread: Math.exp(found.entropy),
    distance: gaps.length ? Math.min(...gaps) : null,
    cut: row.cut,
    label: labelAt(scene, query.side, query.point),
    shares: labelShares(row, other, scene, query.side === "target" ? "exemplar" : "target"),
  };
}

/* The exemplar points that are right for a target cell: those of the pixel that holds its centre. */
function rightAnswers({ truth, target }, cell, grid) {
  if (!truth) return [];
  const [x, y] = centreOf(cell, grid, target.size).map(Math.floor);
  const plane = truth.width * truth.height, at = y * truth.width + x;
  const points = Array.from({ length: truth.sets }, (_, s) => [truth.points[2 * s * plane + at], truth.points[(2 * s + 1) * plane + at]]);
  return points.filter(([a, b]) => a === a && b === b);
}

/* The target pixels whose first right answer lies in a cell of the exemplar's grid, as numbers row by row. */
function trueUsers({ truth, exemplar }, cell, grid) {
  if (!truth) return [];
  const plane = truth.width * truth.height, found = [];
  const x0 = cell % grid[1], y0 = Math.floor(cell / grid[1]);
  const sx = grid[1] / exemplar.size[1], sy = grid[0] / exemplar.size[0];
  for (let i = 0; i < plane; i++) {
    if (Math.floor(truth.points[i] * sx) === x0 && Math.floor(truth.points[plane + i] * sy) === y0) found.push(i);
  }
  return found;
}

function labelName(labels, value) {
  return labels.names[value] ?? "no label";
}

function labelAt({ labels, ...sides }, side, [x, y]) {
  if (!labels) return null;
  const [height, width] = sides[side].size;
  return labelName(labels, labels[side][clamp(Math.floor(y), 0, height - 1) * width + clamp(Math.floor(x), 0, width - 1)]);
}

/* The label under the centre of every cell of a grid; kept, since each row asks for it. */
function labelsOnGrid(scene, side, grid) {
  const known = (scene.labelGrids ??= new Map()), key = `${side} ${grid}`;
  if (!known.has(key)) {
    const { size } = scene[side];
    known.set(key, Uint8Array.from({ length: cellsOf(grid) }, (_, cell) => {
      const [x, y] = centreOf(cell, grid, size);
      return scene.labels[side][Math.floor(y) * size[1] + Math.floor(x)];
    }));
  }
  return known.get(key);
}

/* {label: share of the weight that lies on it}, the three largest. */
function labelShares({ index, weight }, grid, scene, side) {
  const mass = total(weight);
  if (!scene.labels || !(mass > 0)) return {};
  const under = labelsOnGrid(scene, side, grid), share = new Float64Array(256);
  for (let i = 0; i < index.length; i++) share[under[index[i]]] += weight[i] / mass;
  const best = [...share.keys()].filter((value) => share[value] > 0).sort((a, b) => share[b] - share[a] || a - b);
  return Object.fromEntries(best.slice(0, MOST_SHARES).map((value) => [labelName(scene.labels, value), share[value]]));
}
