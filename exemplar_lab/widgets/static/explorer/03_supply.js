/* Where rows come from: Python while it answers, what was sent along when it does not. One question is under way at a time;
   of those that a moving pointer asks, only the newest waits. Pins and the strip of layers ask when nobody else does. */

const PATIENCE = 400; // ms; later answers are still taken
const CACHE_BYTES = 48e6;
const MOST_OPEN = 64; // questions that may still be answered

// Answers reach every page that looks at the same widget, so numbers must not meet.
let lastAsked = Math.floor(Math.random() * 2 ** 40);

/* model: of anywidget, or a stand-in without `send`. onState(): told when Python falls silent or answers again. */
function createSupply(model, onState) {
  const live = typeof model.send === "function";
  const cache = createCache();
  const open = new Map(); // number -> request
  const background = { pins: [], strip: [] }; // asked in this order
  let scene = null, main = null, mainAsked = 0, backgroundAsked = 0, wanted = 0, delivered = 0, silent = !live;

  function reset(nextScene) {
    scene = nextScene;
    cache.clear();
    open.clear();
    main = null;
    mainAsked = backgroundAsked = 0;
    drop();
  }

  function drop() {
    for (const channel of Object.keys(background)) background[channel] = [];
  }

  /* told.row(row | {error}, source) once, and once more when Python answers after a row that was sent along. told.waiting(): no row yet.
     moving: more will follow at once, so that rows which come too late are told as well, or nothing would be seen to move. */
  function want(request, told, moving = false) {
    main = { request, told, moving, done: false, number: ++wanted };
    background.strip = []; // they were about the query before
    const known = cache.get(keyOf(request));
    if (known) return deliver(known, "kernel");
    if (silent) fallBack();
    if (live) pump();
  }

  /* Rows for pins or the strip; replaces what that channel asked before. told(request, row). */
  function wantAll(channel, requests, told) {
    background[channel] = [];
    for (const request of requests) {
      const known = cache.get(keyOf(request)) ?? (silent && scene.layers[request.layer].pack ? packedRow(scene.layers[request.layer], request) : null);
      if (known) told(request, known);
      else if (live) background[channel].push({ request, told });
    }
    pump();
  }

  function pump() {
    if (!live) return;
    const asks = main && main.done !== "kernel" && !main.asked;
    if (asks && !mainAsked) {
      main.asked = true;
      mainAsked = ask(main.request, () => { mainAsked = 0; }, null, main);
    }
    const channel = Object.values(background).find((queue) => queue.length);
    if (!channel || mainAsked || backgroundAsked || silent) return;
    const next = channel.shift();
    backgroundAsked = ask(next.request, () => { backgroundAsked = 0; }, next.told);
  }

  function ask(request, free, told, of = null) {
    const number = ++lastAsked;
    open.set(number, { request, free, told, of });
    if (open.size > MOST_OPEN) open.delete(open.keys().next().value);
    try {
      model.send({ ask: number, layer: request.layer, side: request.side, cell: request.cell, off: request.off });
    } catch {
      late(number, request);
      return 0;
    }
    setTimeout(() => late(number, request), PATIENCE);
    return number;
  }

  function late(number, request) {
    const asked = open.get(number);
    if (!asked) return;
    asked.free();
    asked.late = true;
    if (!silent) onState(silent = true);
    if (main && main.request === request) fallBack();
    pump();
  }

  function fallBack() {
    if (!main || main.done) return;
    const layer = scene.layers[main.request.layer];
    if (layer.pack) deliver(packedRow(layer, main.request), "saved");
    else main.told.waiting();
  }

  function deliver(row, source) {
    main.done = source;
    delivered = main.number;
    main.told.row(row, source);
    pump();
  }

  function heard(message, buffers) {
    const asked = message && open.get(message.answer);
    if (!asked) return;
    open.delete(message.answer);
    if (!asked.late) asked.free();
    if (silent) onState(silent = false);
    const row = message.error ? { error: message.error } : answeredRow(message, buffers);
    if (!row.error) cache.set(keyOf(asked.request), row);
    if (asked.told && !row.error) asked.told(asked.request, row);
    if (main && main.done !== "kernel" && keyOf(main.request) === keyOf(asked.request)) deliver(row, "kernel");
    else if (!asked.told && !row.error && main?.moving && asked.of.number > delivered) {
      delivered = asked.of.number;
      asked.of.told.row(row, "kernel");
    }
    pump();
  }

  function answeredRow(message, buffers) {
    const [index, weight] = [numbersFrom(buffers[0], Uint32Array), numbersFrom(buffers[1], Float32Array)];
    const row = rowOf(index.length || !weight.length ? index : identity(weight.length), weight);
    if (message.shares) row.shares = message.shares;
    return row;
  }

  if (live) model.on("msg:custom", heard);
  return {
    reset, want, wantAll,
    forget() {
      main = null;
      drop();
    },
    get silent() { return silent; },
    get live() { return live; },
    close: () => live && model.off("msg:custom", heard),
  };
}

const keyOf = ({ layer, side, cell, off }) => `${layer} ${side} ${cell} ${off}`;

/* The newest rows, up to CACHE_BYTES of them. */
function createCache() {
  const rows = new Map();
  let bytes = 0;
  const sizeOf = (row) => row.weight.byteLength + row.index.byteLength;
  return {
    get: (key) => rows.get(key),
    set(key, row) {
      if (rows.has(key)) return;
      rows.set(key, row);
      bytes += sizeOf(row);
      for (const [oldest, old] of rows) {
        if (bytes <= CACHE_BYTES) break;
        bytes -= sizeOf(old);
        rows.delete(oldest);
      }
    },
    clear() {
      rows.clear();
      bytes = 0;
    },
  };
}
