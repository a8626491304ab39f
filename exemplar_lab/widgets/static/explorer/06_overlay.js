/* What lies over the two pictures. view: { scene, at, look, panes, now, asking, pins }, as the page has it;
   `asking`: the query whose row is not there yet. */

const LENS_SHARE = 0.38, LENS_TIMES = 4; // of the picture's shorter side; how much larger it shows
const SMALL_CELL = 16; // px on the screen; larger ones need no lens
const CLOSE = 40; // cells; a row spread over more is no place to look at

const gridOf = (scene, { layer }, side) => (side === "target" ? scene.layers[layer].query : scene.layers[layer].key);

/* The query, or the row of it, and then the pins, over the picture of `side`. id: of the patterns. */
function overlay(view, side, box, id) {
  const { scene, now, pins } = view, query = now?.query ?? view.asking;
  const asked = query?.side === side ? queryMark(query.cell, gridOf(scene, query, side), box, CURRENT) : "";
  const own = asked || (now ? rowMarks(view, side, box, id) : "");
  const numbered = pins.map(({ query, numbers }, i) => {
    const point = side === query.side ? query.point : numbers?.expected;
    return point ? badge(point, i + 1, scene.pinColours[i % scene.pinColours.length], box, side === query.side) : "";
  });
  return own + numbered.join("");
}

function rowMarks({ scene, now, look, panes }, side, box, id) {
  const { query, row, raw, numbers } = now, grid = gridOf(scene, query, side), asked = gridOf(scene, query, query.side);
  const forward = side === "exemplar";
  return [
    look.never && forward && numbers.never ? neverMarks(raw, grid, box, id) : "",
    look.pruned && forward ? prunedMarks(row, grid, box, id) : "",
    forward ? "" : outline(trueUsers(scene, query.cell, asked), panes.target.size, box),
    look.links ? linkDots(row, grid, box) : "",
    lookMarks(numbers, forward ? rightAnswers(scene, query.cell, asked) : [], grid, box, CURRENT),
  ].join("");
}

/* The lens over the place that is looked at, where that is a place and its cells are small; else null. */
function lensOn({ scene, now, look }, side, box) {
  if (!look.lens || !now?.numbers.expected || side === now.query.side || now.numbers.spread > CLOSE) return null;
  return cellSide(gridOf(scene, now.query, side), box) < SMALL_CELL ? lensPlace(now.numbers.expected, box) : null;
}

/* Where a lens on `point` stands, in the corner that is furthest from it: all in px of the box. */
function lensPlace(point, box) {
  const side = LENS_SHARE * Math.min(box.width, box.height), reach = side / LENS_TIMES / 2;
  const centre = onBox(point, box).map((value, i) => clamp(value, reach, [box.width, box.height][i] - reach));
  const corner = centre.map((value, i) => (value > [box.width, box.height][i] / 2 ? 6 : [box.width, box.height][i] - side - 6));
  const large = { size: box.size, width: box.width * LENS_TIMES, height: box.height * LENS_TIMES };
  const view = [...centre.map((value) => value * LENS_TIMES - side / 2), side, side].map(short).join(" ");
  return { side, reach, centre, corner, large, view, point: [(centre[0] * box.size[1]) / box.width, (centre[1] * box.size[0]) / box.height] };
}
