"use strict";
// The drawing of one view: SVG boxes and lines, zoomed and moved as a whole.
class Drawing {
  constructor(svg, data, onChoose, onUnfold) {
    Object.assign(this, { svg, data, onChoose, onUnfold, root: svg.querySelector("#drawing"), place: { x: 0, y: 0, scale: 1 } });
    svg.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = svg.getBoundingClientRect();
      this.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    svg.addEventListener("pointerdown", (event) => this.drag(event));
    this.root.addEventListener("click", (event) => {
      const found = event.target.closest(".node");
      if (!found) return;
      const box = this.shown.boxes.get(found.dataset.key);
      if (box.group === undefined) onChoose(box.node.id);
      else onUnfold(box.group);
    });
  }

  draw(view) {
    this.shown = layout(this.data, view);
    this.elements = new Map();
    this.lines = [];
    const parts = document.createDocumentFragment();
    for (const { from, to, points, crosses } of this.shown.lines) {
      const line = this.element("path", { class: crosses ? "edge crosses" : "edge", d: "M" + points.map((p) => `${p.x.toFixed(1)},${p.y.toFixed(1)}`).join("L"), "marker-end": "url(#arrow)" }, parts);
      this.lines.push({ line, from, to });
    }
    for (const box of this.shown.boxes.values()) this.elements.set(box.key, this.box(box, view, parts));
    if (this.shown.offset) {
      for (const [text, x] of [["forward", 0], ["gradient", this.shown.offset]]) this.element("text", { class: "side", x, y: -24 }, parts).textContent = text;
    }
    this.root.replaceChildren(parts);
  }

  element(name, attributes, parent) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent.append(made);
    return made;
  }

  box(box, view, parent) {
    const kind = box.group !== undefined ? "folded" + (box.derived ? " derived" : "") : box.node.kind + (view.outputs.has(box.node.id) ? " output" : "");
    const made = this.element("g", { class: `node ${kind}`, transform: `translate(${(box.x - box.width / 2).toFixed(1)},${(box.y - HEIGHT / 2).toFixed(1)})` }, parent);
    made.dataset.key = box.key;
    this.element("rect", { width: box.width, height: HEIGHT, rx: 5 }, made);
    this.element("text", { x: box.width / 2, y: 17 }, made).textContent = box.shown;
    this.element("text", { x: box.width / 2, y: 32, class: "type" }, made).textContent = box.type.length > 34 ? box.type.slice(0, 33) + "…" : box.type;
    this.element("title", {}, made).textContent = box.group === undefined ? `${box.node.label}: ${box.node.type}` : `${box.label}: choose to unfold`;
    return made;
  }

  key(id) { return this.shown.home.get(id); }

  mark(chosen, linked, found) {
    const keys = (ids) => new Set([...ids].map((id) => this.key(id)).filter(Boolean));
    const own = chosen === null ? undefined : this.key(chosen), near = keys(linked), hits = keys(found);
    for (const [key, made] of this.elements) {
      made.classList.toggle("chosen", key === own);
      made.classList.toggle("linked", near.has(key));
      made.classList.toggle("found", hits.has(key));
    }
    for (const { line, from, to } of this.lines) line.classList.toggle("near", own !== undefined && (from === own || to === own));
  }

  show() { this.root.setAttribute("transform", `translate(${this.place.x},${this.place.y}) scale(${this.place.scale})`); }

  fit() {
    const box = this.svg.getBoundingClientRect();
    const scale = Math.max(0.05, Math.min(1.2, box.width / (this.shown.width + 60), box.height / (this.shown.height + 80)));
    this.place = { x: (box.width - this.shown.width * scale) / 2, y: 30 + 36 * scale, scale };
    this.show();
  }

  centre(id) {
    const box = this.shown.boxes.get(this.key(id)), size = this.svg.getBoundingClientRect();
    if (!box) return;
    const scale = Math.max(this.place.scale, 0.4), x = this.place.x + box.x * this.place.scale, y = this.place.y + box.y * this.place.scale;
    if (scale === this.place.scale && x > 0 && x < size.width && y > 0 && y < size.height) return;
    this.place = { x: size.width / 2 - box.x * scale, y: size.height / 2 - box.y * scale, scale };
    this.show();
  }

  zoom(factor, x, y) {
    const scale = Math.max(0.02, Math.min(4, this.place.scale * factor)), k = scale / this.place.scale;
    this.place = { x: x - (x - this.place.x) * k, y: y - (y - this.place.y) * k, scale };
    this.show();
  }

  drag(event) {
    const start = { x: event.clientX - this.place.x, y: event.clientY - this.place.y };
    const move = (e) => { this.place.x = e.clientX - start.x; this.place.y = e.clientY - start.y; this.show(); };
    const stop = () => { window.removeEventListener("pointermove", move); window.removeEventListener("pointerup", stop); };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", stop);
  }
}
