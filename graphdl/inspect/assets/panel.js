"use strict";
// All that is known of a chosen node or kernel, with ways to everything it is linked to.
const MOST_LINKS = 60;

class Panel {
  constructor(root, data, { onChoose, onKernel, onFold }) { Object.assign(this, { root, data, onChoose, onKernel, onFold }); }

  welcome(title) {
    const words = "Forward nodes are blue, derivatives orange, inputs and state green. Choose a box to unfold it or to see what is known of it: its formula, rule, line, forward node and kernel. "
      + "The wheel zooms; / searches, Enter goes to the next find, f fits, d changes light and dark, u and z unfold and fold, [ and ] change the view, arrows walk to operands, users and origins.";
    const rows = make("dl");
    for (const [name, value] of Object.entries(this.data.total)) this.row(rows, name, value);
    if (this.data.remark) this.row(rows, "not compiled", this.data.remark);
    this.root.replaceChildren(make("h2", {}, title), make("p", {}, words), rows);
  }

  row(list, title, content) {
    if (!content || (Array.isArray(content) && !content.length)) return;
    list.append(make("dt", {}, title), make("dd", {}, ...(Array.isArray(content) ? content : [content])));
  }

  link(id) {
    const node = this.data.nodes[id];
    return make("button", { onclick: () => this.onChoose(id), "data-node": node.name }, `%${node.name} ${node.label === node.name ? "" : node.label}`.trim());
  }

  links(ids) {
    const rest = ids.length - MOST_LINKS;
    return [...ids.slice(0, MOST_LINKS).map((id) => this.link(id)), ...(rest > 0 ? [`and ${rest} more`] : [])];
  }

  kernelLink(k) {
    const kernel = this.data.kernels[k];
    const told = [kernel.facts.time, kernel.facts["of the limit"] && `${kernel.facts["of the limit"]} of the limit`, kernel.facts.flops.length < 30 && `${kernel.facts.flops} flops`].filter(Boolean).join(", ");
    return make("button", { onclick: () => this.onKernel(k), "data-kernel": k }, `${k} ${kernel.name}`, ...(told ? [make("small", {}, ` ${told}`)] : []));
  }

  lines(sources) { return sources.map((k) => this.data.sources[k]).map(({ place, text }) => make("code", { class: "line" }, `${place}\n${text}`)); }

  node(id, view) {
    const node = this.data.nodes[id], list = make("dl");
    this.row(list, "type", node.type);
    this.row(list, "in the derivation", node.told && make("code", {}, node.told));
    this.row(list, "formula", node.formula && make("code", {}, node.formula));
    this.row(list, "attributes", node.attributes && make("code", {}, node.attributes));
    this.row(list, "line", this.lines(node.sources));
    this.row(list, "module", node.modules.join(", "));
    this.row(list, "rule", node.rules.join(", "));
    this.row(list, "changed by", node.passes.join(", "));
    this.row(list, "forward node", this.links(node.origins));
    this.row(list, "derived from it", this.links(node.derivedFromIt));
    this.row(list, "kernel", node.kernels.slice(0, MOST_LINKS).map((k) => this.kernelLink(k)));
    this.row(list, "computed together", this.links(node.parts));
    this.row(list, "operands", this.links(node.operands));
    this.row(list, "used by", this.links(view.users.get(id) || []));
    this.row(list, "also in", this.data.views.map((one, k) => [one, k]).filter(([one, k]) => this.data.view(k) !== view && this.data.view(k).group.has(id)).map(([one, k]) => make("button", { onclick: () => this.onChoose(id, k) }, one.name)));
    const group = view.group.get(id), groups = group === undefined || group < 0 ? [] : this.data.around(group);
    this.row(list, "fold", groups.map((one) => make("button", { onclick: () => this.onFold(one) }, this.data.groupName(one))));
    this.root.replaceChildren(make("h2", {}, `%${node.name} ${node.label}`), list);
    this.root.scrollTop = 0;
  }

  kernel(k, code) {
    const kernel = this.data.kernels[k], list = make("dl");
    for (const [name, value] of Object.entries(kernel.facts)) this.row(list, name, value);
    this.row(list, "line", this.lines(kernel.sources));
    this.row(list, "computes", this.links(kernel.members));
    this.row(list, "declared as", this.links(this.data.view(0).nodes.filter((id) => this.data.nodes[id].kernels.includes(k))));
    this.row(list, "function", make("code", {}, kernel.function));
    const texts = (code[kernel.function] || []).map((text, side) => make("details", {}, make("summary", {}, side ? "assembly" : "LLVM IR"), make("pre", {}, text)));
    this.root.replaceChildren(make("h2", {}, `kernel ${k}: ${kernel.name}`), list, ...texts);
    this.root.scrollTop = 0;
  }
}
