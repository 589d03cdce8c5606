"use strict";
// The view of all launches, as a table.
function kernelTable(data, onKernel) {
  const columns = ["#", "kernel", ...["time", "share", "of the limit", "flops", "bytes"].filter((name) => data.kernels.some((kernel) => kernel.facts[name])), "line"];
  const cell = (kernel, name) => ({ "#": kernel.id, kernel: kernel.name, line: kernel.sources.length ? data.sources[kernel.sources[0]].place : "" })[name] ?? kernel.facts[name] ?? "";
  const rows = data.kernels.map((kernel) => make("tr", { tabindex: "0", "data-kernel": kernel.id, onclick: () => onKernel(kernel.id) }, ...columns.map((name) => make("td", {}, String(cell(kernel, name)).slice(0, 60)))));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...columns.map((name) => make("th", {}, name)))), make("tbody", {}, ...rows));
  table.addEventListener("keydown", (event) => { if (event.key === "Enter") event.target.click(); });
  return table;
}
