/* Pictures and heat on canvases. Heat has one pixel for each cell; the style sheet makes it as large as the picture. */

const DIM = 0.42, GLOW = 0.05; // viz/matches.py `in_the_dark`

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

/* All pictures of a scene, decoded: `picture` of each view and layer. */
async function decode(scene) {
  const holders = [...scene.target.views, ...scene.exemplar.views, ...scene.layers];
  await Promise.all(holders.map(async (one) => {
    one.picture = await createImageBitmap(new Blob([one.png ?? one.warp], { type: "image/png" }));
  }));
  return scene;
}

function drawPicture(canvas, picture) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").drawImage(picture, 0, 0);
}

const dimmed = new WeakMap();

/* Grey and dim, as a ground that heat can be read on. */
function drawInTheDark(canvas, picture) {
  if (!dimmed.has(picture)) dimmed.set(picture, dimCopy(picture));
  drawPicture(canvas, dimmed.get(picture));
}

function dimCopy(picture) {
  const canvas = canvasOf(picture.width, picture.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const image = context.getImageData(0, 0, canvas.width, canvas.height), { data } = image;
  for (let i = 0; i < data.length; i += 4) {
    data[i] = data[i + 1] = data[i + 2] = ((data[i] + data[i + 1] + data[i + 2]) / 3) * DIM + 255 * GLOW;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/* Heat relative to the largest weight, fainter where there is little of it. */
function drawHeat(canvas, [height, width], { index, weight }, colours) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer), lookup = heatPixels(colours);
  let peak = 0;
  for (let i = 0; i < weight.length; i++) if (weight[i] > peak) peak = weight[i];
  const scale = peak > 0 ? 255 / peak : 0;
  for (let i = 0; i < index.length; i++) if (weight[i] > 0) pixels[index[i]] = lookup[(weight[i] * scale + 0.5) | 0];
  canvas.getContext("2d").putImageData(image, 0, 0);
}

let lookupOf = { colours: null, pixels: null };

/* The 256 colours as pixels (little endian), the opacity of each the root of its weight. */
function heatPixels(colours) {
  if (lookupOf.colours === colours) return lookupOf.pixels;
  const pixels = Uint32Array.from({ length: 256 }, (_, i) => {
    const alpha = Math.round(Math.sqrt(i / 255) * 255);
    return ((alpha << 24) | (colours[3 * i + 2] << 16) | (colours[3 * i + 1] << 8) | colours[3 * i]) >>> 0;
  });
  lookupOf = { colours, pixels };
  return pixels;
}

/* The colours from low to high as a CSS gradient, on the dark ground they are drawn over. */
function heatGradient(colours) {
  const stops = Array.from({ length: 17 }, (_, i) => heatOver(colours, Math.min(16 * i, 255)));
  return `linear-gradient(to right, ${stops.join(", ")})`;
}

/* The colour of a relative weight, 0 … 255, as it looks on a dark ground. */
function heatOver(colours, at) {
  const alpha = Math.sqrt(at / 255);
  return `rgb(${[0, 1, 2].map((c) => Math.round(colours[3 * at + c] * alpha + 64 * (1 - alpha)))})`;
}

/* Where a region gathers, bytes scaled to its largest. */
function drawRegion(canvas, grid, bytes, colours) {
  drawHeat(canvas, grid, { index: identity(bytes.length), weight: bytes }, colours);
}

function inBase64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}
