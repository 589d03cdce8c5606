"use strict";
// Boxes for what is shown, and their places: forward from top to bottom, and beside it the gradient from bottom to top.
const HEIGHT = 40, GAP = 80, MANY = 120, MOST = 4000, SPACE = 24, WIDE = 24;

function boxesOf(data, view) {
  const boxes = new Map(), home = new Map(), edges = new Map();
  for (const id of view.nodes) {
    const group = view.group.get(id), folded = group < 0 ? undefined : data.around(group).find((one) => view.folded.has(one));
    const key = folded === undefined ? `n${id}` : `g${folded}`;
    home.set(id, key);
    if (!boxes.has(key)) {
      const node = data.nodes[id];
      boxes.set(key, folded === undefined
        ? { key, node, label: node.label, type: node.type, derived: node.kind === "derived" }
        : { key, group: folded, label: data.groupName(folded), count: 0, derived: data.isDerived(folded) });
    }
    const box = boxes.get(key);
    if (box.group !== undefined) { box.count += 1; box.type = `${box.count} nodes`; }
  }
  for (const id of view.nodes) for (const operand of data.nodes[id].operands) {
    const from = home.get(operand), to = home.get(id);
    if (from !== undefined && from !== to) edges.set(`${from} ${to}`, [from, to]);
  }
  for (const box of boxes.values()) {
    box.shown = box.label.length > 34 ? "…" + box.label.slice(-33) : box.label;
    box.width = Math.max(70, 6.6 * Math.max(box.shown.length, Math.min(box.type.length, 34)) + 16);
  }
  return { boxes, home, edges: [...edges.values()] };
}

// A row in pieces that a screen can show.
function wrapped(row) {
  const pieces = Math.ceil(row.length / WIDE), size = Math.ceil(row.length / pieces);
  return Array.from({ length: pieces }, (_, k) => row.slice(k * size, (k + 1) * size));
}

// How deep each box lies, by the longest path, in one sweep: nodes come in order of computation, and groups where their first node does.
function depths(boxes, edges) {
  const rank = new Map(boxes.map((box) => [box.key, 0])), order = new Map(boxes.map((box, k) => [box.key, k]));
  for (const [from, to] of [...edges].sort((a, b) => order.get(a[0]) - order.get(b[0]))) {
    if (order.get(from) < order.get(to)) rank.set(to, Math.max(rank.get(to), rank.get(from) + 1));
  }
  return rank;
}

// Layers by depth.
function layered(boxes, edges, rank, upwards) {
  const ranks = [], places = new Map(), near = new Map(boxes.map((box) => [box.key, []]));
  for (const box of boxes) (ranks[rank.get(box.key)] ||= []).push(box);
  const rows = ranks.flatMap((row) => wrapped(row));
  for (const [from, to] of edges) { near.get(from).push(to); near.get(to).push(from); }
  const put = (row) => row.reduce((x, box) => { places.set(box.key, x + box.width / 2); return x + box.width + SPACE; }, 0);
  rows.forEach(put);
  for (let sweep = 0; sweep < 3; sweep++) for (const row of rows) {  // each box towards the middle of those it is linked to
    const wanted = new Map(row.map((box) => {
      const others = near.get(box.key);
      return [box, others.length ? others.reduce((sum, key) => sum + places.get(key), 0) / others.length : places.get(box.key)];
    }));
    row.sort((a, b) => wanted.get(a) - wanted.get(b));
    put(row);
  }
  const widths = rows.map(put), width = Math.max(...widths, 0);
  for (const [k, row] of rows.entries()) for (const box of row) Object.assign(box, { x: places.get(box.key) + (width - widths[k]) / 2, y: (upwards ? rows.length - 1 - k : k) * GAP + HEIGHT / 2 });
  return { width, height: rows.length * GAP, paths: new Map() };
}

function arranged(boxes, edges, upwards) {
  if (!boxes.length) return { width: 0, height: 0, paths: new Map() };
  const rank = depths(boxes, edges);
  // Dagre takes as long as all layers that edges cross are many.
  const crossed = edges.reduce((sum, [from, to]) => sum + Math.abs(rank.get(to) - rank.get(from)), 0);
  if (boxes.length + crossed > MANY) return layered(boxes, edges, rank, upwards);
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: upwards ? "BT" : "TB", nodesep: 16, ranksep: 30 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const box of boxes) graph.setNode(box.key, { width: box.width, height: HEIGHT });
  for (const [from, to] of edges) graph.setEdge(from, to);
  dagre.layout(graph);
  for (const box of boxes) Object.assign(box, { x: graph.node(box.key).x, y: graph.node(box.key).y });
  const paths = new Map(edges.map(([from, to]) => [`${from} ${to}`, graph.edge(from, to).points]));
  return { width: graph.graph().width, height: graph.graph().height, paths };
}

function layout(data, view) {
  const shown = boxesOf(data, view);
  const all = [...shown.boxes.values()].slice(0, MOST), drawn = new Set(all.map((box) => box.key));
  const edges = shown.edges.filter(([from, to]) => drawn.has(from) && drawn.has(to));
  const sides = [false, true].map((derived) => {
    const own = all.filter((box) => box.derived === derived), keys = new Set(own.map((box) => box.key));
    return { own, ...arranged(own, edges.filter(([from, to]) => keys.has(from) && keys.has(to)), derived) };
  });
  const offset = sides[0].width ? sides[0].width + 3 * GAP : 0, height = Math.max(sides[0].height, sides[1].height);
  for (const [k, side] of sides.entries()) {
    const dx = k ? offset : 0, dy = (height - side.height) / 2;
    for (const box of side.own) { box.x += dx; box.y += dy; }
    for (const points of side.paths.values()) for (const point of points) { point.x += dx; point.y += dy; }
  }
  const lines = edges.map(([from, to]) => {
    const own = sides.map((side) => side.paths.get(`${from} ${to}`)).find(Boolean), a = shown.boxes.get(from), b = shown.boxes.get(to);
    return { from, to, points: own || [a, b], crosses: a.derived !== b.derived };
  });
  return { ...shown, boxes: new Map(all.map((box) => [box.key, box])), hidden: shown.boxes.size - all.length, lines, width: offset + sides[1].width, height, offset };
}
