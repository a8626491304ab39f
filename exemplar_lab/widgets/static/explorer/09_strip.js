/* All layers at once, and the regions of a factored one. */

const MOST_IN_A_LINE = 5; // cards, in a narrow page
const aspect = ({ size }) => size[1] / size[0];

/* Canvases over each other, in the shape of a side's picture. */
function thumb(side, ...canvases) {
  return make("span", { class: "exl-thumb", style: `--aspect:${aspect(side)}` }, ...canvases);
}

/* A card for each layer: what it carries over, and the same query there. act: { layer(number) } */
function createStrip(act) {
  const node = make("div", { class: "exl-strip", role: "radiogroup", "aria-label": "layers", onkeydown: walk });
  let cards = [], ground = null;

  function walk(event) {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const next = clamp(cards.findIndex((card) => card.node === event.target) + step, 0, cards.length - 1);
    act.layer(next);
    cards[next].node.focus({ preventScroll: true });
  }

  function fill(scene) {
    cards = scene.layers.map((layer, number) => card(scene, layer, number));
    ground = null;
    node.replaceChildren(...cards.map((one) => one.node));
    node.hidden = cards.length < 2;
    node.toggleAttribute("data-few", cards.length <= MOST_IN_A_LINE);
    node.style.setProperty("--layers", cards.length);
  }

  function card(scene, layer, number) {
    const carried = make("canvas", { class: "exl-picture" }), below = make("canvas", { class: "exl-picture" }), heat = make("canvas", { class: "exl-heat" });
    drawPicture(carried, layer.picture);
    const small = make("small", {}), there = thumb(scene.exemplar, below, heat);
    const box = make("button", { type: "button", class: "exl-card", role: "radio", "data-testid": `layer-${number}`, onclick: () => act.layer(number),
      title: `${layer.name}: ${layer.kind}, ${layer.query.join("×")} cells look at ${layer.key.join("×")}. Left: the exemplar as this layer carries it. Right: the query's row.` },
      make("span", { class: "exl-thumbs" }, thumb(scene.target, carried), there),
      make("span", { class: "exl-name" }, layer.name), small);
    return { node: box, below, heat, small, there };
  }

  return {
    node, fill,
    sync(at) {
      cards.forEach((one, number) => {
        one.node.setAttribute("aria-checked", String(number === at.layer));
        one.node.tabIndex = number === at.layer ? 0 : -1;
      });
    },
    /* The row of a layer over the picture that it lies on; null for none. */
    row(number, row, grid, colours, words) {
      const one = cards[number];
      one.heat.hidden = !row;
      if (row) drawHeat(one.heat, grid, row, colours);
      one.small.textContent = words;
    },
    ground(side) {
      if (side === ground) return;
      ground = side;
      for (const one of cards) {
        drawInTheDark(one.below, side.views[0].picture);
        one.there.style.setProperty("--aspect", aspect(side));
      }
    },
  };
}

/* The regions that a factored layer gathers, as switches. act: { regions(off) } */
function createRegions(act) {
  const list = make("div", { class: "exl-region-list" });
  const node = make("section", { class: "exl-regions", "aria-label": "regions" },
    make("header", {}, make("b", {}, "Regions"), button("regions-all", "all", "Switch all regions on", () => act.regions([])),
      button("regions-none", "none", "Switch all regions off", () => act.regions(chips.map((_, r) => r)))), list);
  let chips = [], layerOf = null;

  function fill(layer, scene) {
    layerOf = layer;
    const keys = cellsOf(layer.key);
    chips = Array.from({ length: layer.regions }, (_, r) => {
      const canvas = make("canvas", { class: "exl-heat" }), share = make("i", {}), words = make("small", {});
      const ground = make("canvas", { class: "exl-picture" });
      drawInTheDark(ground, scene.exemplar.views[0].picture);
      if (layer.region_maps) drawRegion(canvas, layer.key, layer.region_maps.subarray(r * keys, (r + 1) * keys), scene.heat);
      const gate = layer.gates ? layer.gates[r].toFixed(2) : "";
      const chip = make("button", { type: "button", class: "exl-region", role: "switch", "data-testid": `region-${r}`, "aria-label": `region ${r + 1}, gate ${gate}`,
        title: `Region ${r + 1}: where it gathers; its gate, from 0 (shut) to 1; its share of this row`, onclick: () => toggle(r) },
        thumb(scene.exemplar, ground, canvas), make("span", { class: "exl-name" }, `${r + 1}`), words, make("span", { class: "exl-share" }, share), make("small", { class: "exl-gate" }, gate && `gate ${gate}`));
      return { node: chip, share, words };
    });
    list.replaceChildren(...chips.map((chip) => chip.node));
  }

  let off = [];
  function toggle(r) {
    act.regions(off.includes(r) ? off.filter((one) => one !== r) : [...off, r].sort((a, b) => a - b));
  }

  return {
    node,
    sync(layer, scene, nowOff, shares) {
      node.hidden = !layer.regions;
      if (!layer.regions) return;
      if (layer !== layerOf) fill(layer, scene);
      off = nowOff;
      chips.forEach((chip, r) => {
        chip.node.setAttribute("aria-checked", String(!off.includes(r)));
        chip.share.style.width = shares ? `${Math.round(100 * shares[r])}%` : "0";
        chip.words.textContent = shares ? `${(100 * shares[r]).toFixed(0)} %` : "–";
      });
    },
  };
}
