"""The explorer: a graph, its gradients, every pass and every kernel as one self-contained page, with no network and no server."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from ..compiler import Executable
from ..ir import Graph
from .contents import contents_of

SCRIPTS = ("dagre.min.js", "data.js", "layout.js", "drawing.js", "panel.js", "kernels.js", "page.js")
PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>{style}</style></head>
<body>
<header><h1>{title}</h1><nav id="views" role="tablist"></nav><span id="count" role="status"></span>
<input id="search" type="search" placeholder="search ( / )" aria-label="search">
<button id="fold">fold</button><button id="unfold">unfold</button><button id="fit">fit</button><button id="theme">dark / light</button></header>
<main><svg role="img" aria-label="the graph" tabindex="0"><defs>
<marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="6" markerHeight="6" orient="auto">
<path d="M0,0L8,4L0,8z" fill="currentColor" opacity=".4"/></marker></defs><g id="drawing"></g></svg>
<div id="table" hidden></div></main>
<aside></aside>
<noscript>This page needs JavaScript.</noscript>
<script type="application/octet-stream" id="graph">{data}</script>
<script type="application/octet-stream" id="code">{code}</script>
{scripts}
</body>
</html>
"""


def write_page(of: Graph | Executable, path: str | Path, title: str = "graphdl", profile: Any = None, code: bool = True) -> None:
    """Write the page to `path`. Raises OSError where that cannot be written."""
    target = Path(path)
    with target.open("a", encoding="utf-8"):  # whether it can be written shows before anything is compiled
        pass
    target.write_text(page(of, title, profile, code), encoding="utf-8")


def page(of: Graph | Executable, title: str = "graphdl", profile: Any = None, code: bool = True) -> str:
    """The page as text. `profile` puts measured times to the kernels; without `code` it leaves their IR and assembly out."""
    data, functions = contents_of(of, profile, code)
    scripts = "\n".join(f"<script>{_asset(name)}</script>" for name in SCRIPTS)
    parts = {"style": _asset("page.css"), "scripts": scripts, "title": escape(title), "data": _packed(data), "code": _packed(functions)}
    return re.sub(r"\{(\w+)\}", lambda match: parts[match[1]], PAGE)


def _packed(data: Any) -> str:
    """JSON, compressed: letters and digits only, whatever it holds."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _asset(name: str) -> str:
    return (resources.files("graphdl.inspect") / "assets" / name).read_text(encoding="utf-8")
