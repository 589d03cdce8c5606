"use strict";
// The page's data. All text comes from the compressed JSON in the page and is set as text, never as markup.
const NODE = ["name", "label", "kind", "type", "attributes", "told", "formula", "sources", "modules", "rules", "passes", "origins", "operands", "kernels", "parts"];
const KERNEL = ["name", "function", "facts", "members", "sources"];
const KINDS = ["forward", "derived", "state"];

async function unpack(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (letter) => letter.charCodeAt(0));
  const text = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  return JSON.parse(text);
}

const named = (fields, row) => Object.fromEntries(fields.map((field, k) => [field, row[k]]));

class Data {
  constructor(plain) {
    Object.assign(this, plain);
    this.nodes = plain.nodes.map((row, id) => {
      const node = named(NODE, row);
      for (const field of ["type", "attributes"]) node[field] = this.texts[node[field]];
      for (const field of ["modules", "rules", "passes"]) node[field] = node[field].map((k) => this.texts[k]);
      return Object.assign(node, { id, kind: KINDS[node.kind], derivedFromIt: [] });
    });
    this.kernels = plain.kernels.map((row, id) => Object.assign(named(KERNEL, row), { id }));
    this.byName = new Map(this.nodes.map((node) => [node.name, node.id]));
    for (const node of this.nodes) for (const origin of node.origins) this.nodes[origin].derivedFromIt.push(node.id);
    for (const node of this.nodes) node.text = [node.name, node.label, ...node.modules, ...node.rules, ...node.sources.map((k) => this.sources[k].place)].join("\n").toLowerCase();
    this.loaded = new Map();
  }

  // One view with what is known of its nodes alone: the groups they fold into and who reads them.
  view(k) {
    if (!this.loaded.has(k)) {
      const { name, nodes, groups, outputs } = this.views[k];
      const group = new Map(nodes.map((id, place) => [id, groups[place]])), users = new Map(nodes.map((id) => [id, []]));
      for (const id of nodes) for (const operand of this.nodes[id].operands) if (users.has(operand)) users.get(operand).push(id);
      this.loaded.set(k, { name, nodes, group, users, outputs: new Set(outputs), folded: null });
    }
    return this.loaded.get(k);
  }

  // The groups around a group, the outermost first.
  around(group) {
    const found = [];
    for (let one = group; one >= 0; one = this.groups[one][1]) found.unshift(one);
    return found;
  }

  groupName(group) {
    const parts = this.around(group).map((one) => this.groups[one][0]);
    return parts.join(".");
  }

  isDerived(group) { return this.groups[this.around(group)[0]][0].startsWith("∂ "); }
}

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") made.addEventListener("click", value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
