"""Show what graphdl knows of this machine: target, vector width, caches, measured peaks, versions."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
from importlib import metadata
from typing import Any

from graphdl.backends.native.runtime.cache import default_folder, default_limit
from graphdl.backends.native.runtime.peak import measure_peaks
from graphdl.backends.native.target import Target, host
from graphdl.budget import format_bytes
from graphdl.version import __version__

DEPENDENCIES = ("llvmlite", "numpy", "sympy", "networkx", "rich", "safetensors", "ml_dtypes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")


def run(arguments: argparse.Namespace) -> int:
    """Examine the machine and print what was found."""
    found = examine(host())
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        print_tables(found)
    return 0


def examine(target: Target) -> dict[str, Any]:
    """All that `doctor` prints, by section. Sizes are bytes; peaks are operations or bytes a second, by number of threads."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "versions": {
            "graphdl": __version__,
            "python": platform.python_version(),
            "system": platform.platform(),
            **{name: metadata.version(name) for name in DEPENDENCIES},
        },
        "target": {"processors": processors, **dataclasses.asdict(target)},
        "object_cache": describe_cache(),
        "peaks": {str(threads): measure(target, threads) for threads in sorted({1, processors})},
    }


def describe_cache() -> dict[str, Any]:
    """Where compiled objects are kept, how many there are, their bytes and the most that are kept. No folder if switched off."""
    folder = default_folder()
    sizes = [entry.stat().st_size for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)] if folder and folder.is_dir() else []
    return {"folder": str(folder) if folder else None, "entries": len(sizes), "size": sum(sizes), "limit": default_limit()}


def measure(target: Target, threads: int) -> dict[str, float]:
    """The machine's peaks on that many threads, measured now."""
    peaks = measure_peaks(target, threads)
    return {
        "fma_flops_f32": peaks.fma_flops_f32,
        "fma_flops_f64": peaks.fma_flops_f64,
        "copy_bytes_per_second": peaks.copy_bytes_per_second,
    }


def print_tables(found: dict[str, Any]) -> None:
    """Print the sections for people."""
    from rich.console import Console
    from rich.table import Table

    target, cache = found["target"], found["object_cache"]
    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    facts.add_row("versions", ", ".join(f"{name} {version}" for name, version in found["versions"].items()))
    facts.add_row("target", f"{target['cpu']} ({target['triple']}), {target['processors']} processors")
    extras = ", masked" * target["has_masks"] + ", fma" * target["has_fma"]
    facts.add_row("vectors", f"{target['vector_bytes'] * 8} bits, {target['vector_registers']} registers{extras}")
    facts.add_row("caches", ", ".join(f"{level.upper()} {format_bytes(target[level])}" for level in ("l1", "l2", "l3")))
    kept = f"{cache['entries']} entries, {format_bytes(cache['size'])} of at most {format_bytes(cache['limit'])}"
    facts.add_row("object cache", f"{cache['folder']}: {kept}" if cache["folder"] else "switched off")

    peaks = Table("threads", "fma float32", "fma float64", "copy")
    for threads, peak in found["peaks"].items():
        flops = (f"{peak[name] / 1e9:.1f} GFLOP/s" for name in ("fma_flops_f32", "fma_flops_f64"))
        peaks.add_row(threads, *flops, f"{peak['copy_bytes_per_second'] / 1e9:.1f} GB/s")
    console = Console(highlight=False)
    console.print(facts)
    console.print(peaks)
