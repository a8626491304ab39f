// A place to drop a picture on: it is handed to Python as a file chosen with a button would be.

function handOver(model, file) {
  file.arrayBuffer().then((content) => {
    const about = { name: file.name, type: file.type, size: file.size, last_modified: file.lastModified };
    model.set("file", { ...about, content: new DataView(content) });
    model.save_changes();
  });
}

function render({ model, el }) {
  const place = document.createElement("div");
  place.className = "exl-drop";
  place.dataset.testid = "drop";
  const say = () => {
    place.textContent = model.get("words");
  };
  say();
  model.on("change:words", say);
  const mark = (over) => (event) => {
    event.preventDefault();
    event.stopPropagation();
    place.classList.toggle("exl-over", over);
  };
  place.addEventListener("dragenter", mark(true));
  place.addEventListener("dragover", mark(true));
  place.addEventListener("dragleave", mark(false));
  place.addEventListener("drop", (event) => {
    mark(false)(event);
    const [file] = event.dataTransfer.files;
    if (file) handOver(model, file);
  });
  el.append(place);
  return () => model.off("change:words", say);
}

export default { render };
