"use strict";
// The explorer of one graph. All text comes from the JSON in the page and is set as text, never as markup.
const data = JSON.parse(document.getElementById("graph").textContent);
const svg = document.querySelector("svg"), drawing = document.getElementById("drawing"), panel = document.querySelector("aside");
const MANY = 120, TOO_MANY = 1200, HEIGHT = 40;
const byId = new Map(data.nodes.map((node) => [node.id, node]));
const users = new Map(data.nodes.map((node) => [node.id, []]));
for (const node of data.nodes) for (const operand of node.operands) users.get(operand).push(node.id);
const folded = new Set();
let chosen = null, found = new Set(), view = { x: 0, y: 0, scale: 1 }, size = { width: 1, height: 1 };

// A module's forward and derived nodes fold apart from each other.
const groupsOf = (node) => {
  const parts = node.module ? node.module.split(".") : [];
  return parts.map((_, k) => (node.derived ? "∂ " : "") + parts.slice(0, k + 1).join("."));
};
const shownAs = (node) => groupsOf(node).find((group) => folded.has(group)) || node.id;

function element(name, attributes, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
}

function visible() {
  const boxes = new Map(), edges = new Map();
  for (const node of data.nodes) {
    const id = shownAs(node);
    if (!boxes.has(id)) boxes.set(id, id === node.id ? { id, node, label: node.label, type: node.type } : { id, group: id, count: 0, label: id, derived: node.derived });
    if (boxes.get(id).group) { boxes.get(id).count += 1; boxes.get(id).type = boxes.get(id).count + " nodes"; }
  }
  for (const node of data.nodes) for (const operand of node.operands) {
    const from = shownAs(byId.get(operand)), to = shownAs(node);
    if (from !== to) edges.set(from + "\n" + to, [from, to]);
  }
  for (const box of boxes.values()) box.width = Math.max(70, 7 * Math.max(box.label.length, box.type.length) + 16);
  return { boxes, edges: [...edges.values()] };
}

// Layers by longest path, for graphs on which the better layout would take too long.
function layers({ boxes, edges }) {
  const rank = new Map([...boxes.keys()].map((id) => [id, 0]));
  for (let round = 0, changed = true; changed && round < boxes.size; round++) {
    changed = false;
    for (const [from, to] of edges) if (rank.get(to) <= rank.get(from) && rank.get(from) < boxes.size) { rank.set(to, rank.get(from) + 1); changed = true; }
  }
  const filled = new Map();
  for (const box of boxes.values()) {
    const row = rank.get(box.id), x = filled.get(row) || 0;
    Object.assign(box, { x: x + box.width / 2, y: row * 80 + 30 });
    filled.set(row, x + box.width + 20);
  }
  return { width: Math.max(...filled.values(), 1), height: (Math.max(...filled.keys(), 0) + 1) * 80, lines: edges.map(([from, to]) => [from, to, [boxes.get(from), boxes.get(to)]]) };
}

function layout(shown) {
  if (shown.boxes.size > TOO_MANY) return layers(shown);
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "TB", nodesep: 18, ranksep: 34 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const box of shown.boxes.values()) graph.setNode(box.id, { width: box.width, height: HEIGHT });
  for (const [from, to] of shown.edges) graph.setEdge(from, to);
  dagre.layout(graph);
  for (const box of shown.boxes.values()) Object.assign(box, { x: graph.node(box.id).x, y: graph.node(box.id).y });
  const lines = shown.edges.map(([from, to]) => [from, to, graph.edge(from, to).points]);
  return { width: graph.graph().width, height: graph.graph().height, lines };
}

function draw() {
  const shown = visible();
  size = layout(shown);
  drawing.replaceChildren();
  for (const [from, to, points] of size.lines) {
    const line = element("path", { class: "edge", d: "M" + points.map((p) => p.x + "," + p.y).join("L"), "marker-end": "url(#arrow)" }, drawing);
    Object.assign(line.dataset, { from, to });
  }
  for (const box of shown.boxes.values()) {
    const kind = box.group ? "folded" + (box.derived ? " derived" : "") : box.node.kind;
    const node = element("g", { class: "node " + kind, transform: `translate(${box.x - box.width / 2},${box.y - HEIGHT / 2})` }, drawing);
    node.dataset.id = box.id;
    element("rect", { width: box.width, height: HEIGHT, rx: 5 }, node);
    element("text", { x: box.width / 2, y: 17 }, node).textContent = box.label;
    element("text", { x: box.width / 2, y: 32, class: "type" }, node).textContent = box.type;
    node.addEventListener("click", () => (box.group ? unfold(box.group) : choose(box.id)));
  }
  mark();
}

function mark() {
  const linked = new Set(chosen ? [...byId.get(chosen).origins, ...data.nodes.filter((n) => n.origins.includes(chosen)).map((n) => n.id)].map((id) => shownAs(byId.get(id))) : []);
  const hits = new Set([...found].map((id) => shownAs(byId.get(id)))), own = chosen && shownAs(byId.get(chosen));
  for (const node of drawing.querySelectorAll(".node")) {
    node.classList.toggle("chosen", node.dataset.id === own);
    node.classList.toggle("linked", linked.has(node.dataset.id));
    node.classList.toggle("found", hits.has(node.dataset.id));
  }
  for (const edge of drawing.querySelectorAll(".edge")) edge.classList.toggle("near", edge.dataset.from === own || edge.dataset.to === own);
}

function unfold(group) { folded.delete(group); draw(); }

function row(list, title, content) {
  if (!content || (Array.isArray(content) && !content.length)) return;
  const term = document.createElement("dt"), value = document.createElement("dd");
  term.textContent = title;
  if (Array.isArray(content)) value.append(...content);
  else value.textContent = content;
  list.append(term, value);
}

function code(text) { const made = document.createElement("code"); made.textContent = text; return made; }

function jump(id) {
  const made = document.createElement("button");
  made.textContent = "%" + id + " " + byId.get(id).label;
  made.addEventListener("click", () => choose(id));
  return made;
}

function choose(id) {
  const node = byId.get(id);
  if (!node) return;
  chosen = id;
  history.replaceState(null, "", "#" + encodeURIComponent(id));
  const groups = groupsOf(node).filter((group) => folded.has(group));
  if (groups.length) { groups.forEach((group) => folded.delete(group)); draw(); }
  const head = document.createElement("h2"), list = document.createElement("dl");
  head.textContent = "%" + id + " " + node.label;
  row(list, "type", node.type);
  row(list, "formula", node.formula);
  row(list, "attributes", node.attributes && [code(node.attributes)]);
  row(list, "line", node.sources.flatMap((source) => [code(source.place + "\n" + source.text), document.createElement("br")]));
  row(list, "module", node.modules.join(", "));
  row(list, "rule", node.rules.join(", "));
  row(list, "forward node", node.origins.map(jump));
  row(list, "derived from it", data.nodes.filter((other) => other.origins.includes(id)).map((other) => jump(other.id)));
  row(list, "kernel", node.kernels.map((k) => code(data.kernels[k])));
  row(list, "operands", node.operands.map(jump));
  row(list, "used by", users.get(id).map(jump));
  panel.replaceChildren(head, list, ...foldButtons(node));
  mark();
  centre(id);
}

function foldButtons(node) {
  return groupsOf(node).map((group) => {
    const made = document.createElement("button");
    made.textContent = "fold " + group;
    made.addEventListener("click", () => { folded.add(group); draw(); fit(); });
    return made;
  });
}

function show() { drawing.setAttribute("transform", `translate(${view.x},${view.y}) scale(${view.scale})`); }

function fit() {
  const box = svg.getBoundingClientRect();
  view.scale = Math.max(0.05, Math.min(1.2, box.width / (size.width + 40), box.height / (size.height + 40)));
  view.x = (box.width - size.width * view.scale) / 2;
  view.y = 20;
  show();
}

function centre(id) {
  const node = [...drawing.querySelectorAll(".node")].find((one) => one.dataset.id === shownAs(byId.get(id)));
  if (!node) return;
  const place = node.getBoundingClientRect(), box = svg.getBoundingClientRect();
  if (place.left > box.left && place.right < box.right && place.top > box.top && place.bottom < box.bottom) return;
  view.x += box.left + box.width / 2 - place.left - place.width / 2;
  view.y += box.top + box.height / 2 - place.top - place.height / 2;
  show();
}

function zoom(factor, x, y) {
  const scale = Math.max(0.02, Math.min(4, view.scale * factor)), k = scale / view.scale;
  view = { x: x - (x - view.x) * k, y: y - (y - view.y) * k, scale };
  show();
}

function search(text) {
  const wanted = text.toLowerCase();
  const matches = (node) => [node.id, node.label, node.module, ...node.rules, ...node.sources.map((s) => s.place)].some((part) => part.toLowerCase().includes(wanted));
  found = new Set(wanted ? data.nodes.filter(matches).map((node) => node.id) : []);
  document.getElementById("count").textContent = wanted ? found.size + " found" : "";
  mark();
}

function foldAll() { for (const node of data.nodes) { const groups = groupsOf(node); if (groups.length) folded.add(groups[0]); } }

svg.addEventListener("wheel", (event) => { event.preventDefault(); const box = svg.getBoundingClientRect(); zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.clientX - box.left, event.clientY - box.top); }, { passive: false });
svg.addEventListener("pointerdown", (event) => {
  const start = { x: event.clientX - view.x, y: event.clientY - view.y };
  const move = (e) => { view.x = e.clientX - start.x; view.y = e.clientY - start.y; show(); };
  const stop = () => { window.removeEventListener("pointermove", move); window.removeEventListener("pointerup", stop); };
  window.addEventListener("pointermove", move);
  window.addEventListener("pointerup", stop);
});
const box = document.getElementById("search");
box.addEventListener("input", () => search(box.value));
box.addEventListener("keydown", (event) => { if (event.key === "Enter" && found.size) choose([...found][0]); });
document.getElementById("fold").addEventListener("click", () => { foldAll(); draw(); fit(); });
document.getElementById("unfold").addEventListener("click", () => { folded.clear(); draw(); fit(); });
document.getElementById("theme").addEventListener("click", () => document.documentElement.classList.toggle("dark"));
document.addEventListener("keydown", (event) => {
  if (event.target === box) { if (event.key === "Escape") box.blur(); return; }
  if (event.key === "/") { event.preventDefault(); box.focus(); }
  if (event.key === "f") fit();
  if (chosen && event.key === "ArrowUp" && byId.get(chosen).operands.length) choose(byId.get(chosen).operands[0]);
  if (chosen && event.key === "ArrowDown" && users.get(chosen).length) choose(users.get(chosen)[0]);
});
window.addEventListener("hashchange", () => choose(decodeURIComponent(location.hash.slice(1))));
if (matchMedia("(prefers-color-scheme: dark)").matches) document.documentElement.classList.add("dark");
if (data.nodes.length > MANY) foldAll();
draw();
fit();
if (location.hash) choose(decodeURIComponent(location.hash.slice(1)));
