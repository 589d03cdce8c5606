"use strict";
// The explorer: one graph through all passes, its kernels, and the ways between them.
class Page {
  constructor(data) {
    this.data = data;
    this.current = 0;
    this.chosen = null;
    this.kernel = null;
    this.found = [];
    this.svg = document.querySelector("svg");
    this.table = document.getElementById("table");
    this.drawing = new Drawing(this.svg, data, (id) => this.choose(id), (group) => this.unfold(group));
    this.panel = new Panel(document.querySelector("aside"), data, { onChoose: (id, k) => this.choose(id, k), onKernel: (k) => this.chooseKernel(k), onFold: (group) => this.fold(group) });
    this.tabs = [...data.views.map((view) => view.name), ...(data.kernels.length ? ["kernels"] : [])].map((name, k) => make("button", { role: "tab", onclick: () => this.open(k) }, name));
    document.getElementById("views").append(...this.tabs);
  }

  get view() { return this.data.view(Math.min(this.current, this.data.views.length - 1)); }

  get isTable() { return this.current === this.data.views.length; }

  open(k) {
    this.current = k;
    for (const [place, tab] of this.tabs.entries()) tab.setAttribute("aria-selected", place === k);
    this.svg.toggleAttribute("hidden", this.isTable);
    this.table.toggleAttribute("hidden", !this.isTable);
    if (this.isTable) {
      if (!this.table.firstChild) this.table.append(kernelTable(this.data, (kernel) => this.chooseKernel(kernel)));
      this.markKernel();
      return;
    }
    if (!this.view.folded) this.view.folded = new Set(this.view.nodes.length > 60 ? this.allGroups() : []);
    this.redraw();
    this.drawing.fit();
  }

  allGroups() { return [...new Set([...this.view.group.values()].filter((group) => group >= 0).flatMap((group) => this.data.around(group)))]; }

  redraw() {
    this.drawing.draw(this.view);
    this.count(this.drawing.shown.hidden ? `${this.drawing.shown.hidden} boxes are not drawn: fold some` : "");
    this.mark();
  }

  count(text) { document.getElementById("count").textContent = text; }

  mark() {
    if (this.isTable) return;
    const node = this.chosen === null ? null : this.data.nodes[this.chosen];
    const linked = node ? [...node.origins, ...node.derivedFromIt] : this.kernel !== null ? this.data.view(0).nodes.filter((id) => this.data.nodes[id].kernels.includes(this.kernel)) : [];
    this.drawing.mark(this.chosen, linked, this.found);
  }

  fold(group) { this.view.folded.add(group); this.redraw(); this.drawing.fit(); }

  // What was folded is shown whole if it can be read, else from its first node on.
  unfold(group) {
    this.view.folded.delete(group);
    this.redraw();
    this.drawing.fit();
    if (this.drawing.place.scale < 0.3) this.drawing.centre(this.view.nodes.find((id) => this.data.around(this.view.group.get(id)).includes(group)));
  }

  foldAll(folded) { this.view.folded = new Set(folded ? this.allGroups() : []); this.open(this.isTable ? 0 : this.current); }

  reveal(id) {
    const group = this.view.group.get(id), folded = group < 0 ? [] : this.data.around(group).filter((one) => this.view.folded.has(one));
    for (const one of folded) this.view.folded.delete(one);
    if (folded.length) this.redraw();
  }

  choose(id, k = null) {
    if (this.data.nodes[id] === undefined) return;
    const places = this.data.views.map((_, place) => place).filter((place) => this.data.view(place).group.has(id));
    const wanted = k !== null ? k : places.includes(this.current) ? this.current : places[0];
    this.chosen = id;
    this.kernel = null;
    if (wanted !== undefined && wanted !== this.current) this.open(wanted);
    if (wanted !== undefined) this.reveal(id);
    this.panel.node(id, this.view);
    this.mark();
    if (wanted !== undefined) this.drawing.centre(id);
    history.replaceState(null, "", `#${wanted ? `${wanted}/` : ""}${encodeURIComponent(this.data.nodes[id].name)}`);
  }

  async chooseKernel(k) {
    this.kernel = k;
    this.chosen = null;
    this.code ??= await unpack("code");
    this.panel.kernel(k, this.code);
    if (this.isTable) this.markKernel();
    else this.mark();
    history.replaceState(null, "", `#kernel/${k}`);
  }

  markKernel() {
    for (const row of this.table.querySelectorAll("tr.chosen")) row.classList.remove("chosen");
    const row = this.kernel === null ? null : this.table.querySelector(`tr[data-kernel="${this.kernel}"]`);
    row?.classList.add("chosen");
    row?.scrollIntoView({ block: "nearest" });
  }

  search(text) {
    const wanted = text.toLowerCase();
    this.found = wanted ? this.view.nodes.filter((id) => this.data.nodes[id].text.includes(wanted)) : [];
    this.next = 0;
    this.count(wanted ? `${this.found.length} found` : "");
    this.mark();
  }

  goToFound() {
    if (!this.found.length) return;
    this.choose(this.found[this.next % this.found.length]);
    this.next += 1;
  }

  goToHash() {
    const text = decodeURIComponent(location.hash.slice(1)), kernel = /^kernel\/(\d+)$/.exec(text), place = /^(\d+)\/(.*)$/.exec(text);
    if (kernel && this.data.kernels[kernel[1]]) { this.open(this.data.views.length); this.chooseKernel(Number(kernel[1])); return; }
    const id = this.data.byName.get(place ? place[2] : text);
    if (id !== undefined) this.choose(id, place ? Number(place[1]) : null);
  }

  walk(key) {
    const node = this.chosen === null ? null : this.data.nodes[this.chosen];
    if (!node) return;
    const ways = { ArrowUp: node.operands, ArrowDown: this.view.users.get(node.id), ArrowLeft: node.origins, ArrowRight: node.derivedFromIt };
    const there = (ways[key] || []).find((id) => this.view.group.has(id));
    if (there !== undefined) this.choose(there);
  }

  key(event, box) {
    if (event.target === box) {
      if (event.key === "Escape") box.blur();
      if (event.key === "Enter") this.goToFound();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const changed = (step) => this.open((this.current + step + this.tabs.length) % this.tabs.length);
    const keys = {
      "/": () => { event.preventDefault(); box.focus(); }, f: () => this.drawing.fit(), d: toggleTheme, u: () => this.foldAll(false), z: () => this.foldAll(true),
      n: () => this.goToFound(), "[": () => changed(-1), "]": () => changed(1), "+": () => this.drawing.zoom(1.3, 300, 300), "-": () => this.drawing.zoom(1 / 1.3, 300, 300),
    };
    if (event.key.startsWith("Arrow")) { if (!this.isTable) { event.preventDefault(); this.walk(event.key); } }
    else keys[event.key]?.();
  }

  listen() {
    const box = document.getElementById("search"), on = (id, action) => document.getElementById(id).addEventListener("click", action);
    box.addEventListener("input", () => this.search(box.value));
    on("fold", () => this.foldAll(true));
    on("unfold", () => this.foldAll(false));
    on("fit", () => this.drawing.fit());
    on("theme", toggleTheme);
    document.addEventListener("keydown", (event) => this.key(event, box));
    window.addEventListener("hashchange", () => this.goToHash());
  }
}

function toggleTheme() { document.documentElement.classList.toggle("dark"); }

async function start() {
  if (matchMedia("(prefers-color-scheme: dark)").matches) document.documentElement.classList.add("dark");
  const page = new Page(new Data(await unpack("graph")));
  page.listen();
  page.panel.welcome(document.title);
  page.open(0);
  page.goToHash();
  document.documentElement.dataset.ready = Math.round(performance.now());
  window.explorer = page;
}
start();
