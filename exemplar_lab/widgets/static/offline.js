// Joined after the explorer's own files in a page without Python: a model that keeps what it is told, and nothing more.

function offlineModel(text) {
  const state = JSON.parse(text, (_, value) => (typeof value?.$bytes === "string" ? bytesOf(value.$bytes) : value));
  const heard = new Map();
  return {
    get: (name) => state[name],
    set(name, value) {
      state[name] = value;
      for (const told of heard.get(`change:${name}`) ?? []) told();
    },
    save_changes() {},
    on: (event, told) => heard.set(event, [...(heard.get(event) ?? []), told]),
    off: (event, told) => heard.set(event, told ? (heard.get(event) ?? []).filter((one) => one !== told) : []),
  };
}

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new DataView(bytes.buffer);
}

render({ model: offlineModel(document.getElementById("state").textContent), el: document.getElementById("explorer") });
