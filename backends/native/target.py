"""What the code generator must know of a processor, as a table."""

from __future__ import annotations

import functools
import os
from dataclasses import replace
from pathlib import Path

from graphdl.errors import BackendError
from graphdl.record import record

from .llvm import Type


@record(slots=True)
class Target:
    """A processor for which code is emitted. Sizes are bytes; `vector_bytes` is the widest register used."""

    triple: str
    cpu: str
    features: str
    vector_bytes: int
    vector_registers: int
    has_masks: bool  # masked loads and stores cost no more than plain ones
    has_fma: bool
    l1: int = 32 << 10
    l2: int = 512 << 10
    l3: int = 8 << 20

    @property
    def has_scale(self) -> bool:
        """Whether there is an instruction for x * 2**n on 512-bit vectors: AVX-512's vscalef."""
        return self.vector_bytes == 64 and self.triple.startswith("x86_64")

    @property
    def has_prefetch(self) -> bool:
        """Whether lines can be fetched into the caches before they are used. On RISC-V that is an extension of its own, Zicbop."""
        return self.triple.startswith(("x86_64", "aarch64", "arm64"))

    def lanes(self, type: Type) -> int:
        """How many elements of `type` fill a vector register."""
        return max(self.vector_bytes * 8 // max(type.bits, 8), 1)

    def vector(self, type: Type) -> Type:
        return type.with_lanes(self.lanes(type))


# One row per instruction set; the first whose feature the host has is taken.
FAMILIES: dict[str, Target] = {
    "avx512": Target("x86_64-unknown-linux-gnu", "x86-64-v4", "", 64, 32, True, True),
    "avx2": Target("x86_64-unknown-linux-gnu", "x86-64-v3", "", 32, 16, False, True),
    "x86-64": Target("x86_64-unknown-linux-gnu", "x86-64", "", 16, 16, False, False),
    "neon": Target("aarch64-unknown-linux-gnu", "generic", "+neon", 16, 32, False, True),
    "apple": Target("arm64-apple-darwin", "apple-m1", "", 16, 32, False, True, l1=64 << 10, l2=4 << 20),
    "riscv64": Target("riscv64-unknown-linux-gnu", "generic-rv64", "+m,+a,+f,+d,+c", 16, 32, False, False),
    "riscv64-v": Target("riscv64-unknown-linux-gnu", "generic-rv64", "+m,+a,+f,+d,+c,+v", 16, 32, False, False),
    "wasm": Target("wasm32-unknown-unknown", "generic", "+simd128,+bulk-memory", 16, 16, False, False),
}
# The rows of an architecture by the first word of its triples; first the one that all its processors can run.
_ARCHITECTURES = {
    "x86_64": ("x86-64", "avx2", "avx512"), "aarch64": ("neon", "apple"), "arm64": ("apple", "neon"), "riscv64": ("riscv64", "riscv64-v"), "wasm32": ("wasm",),
}  # fmt: skip
# What processors of a name must know at least: the levels of the x86-64 psABI (low-level system information, "Micro-architecture levels").
_X86_64_V2 = ["cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"]
_X86_64_V3 = [*_X86_64_V2, *["avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"]]
_INSTRUCTIONS = {
    "x86-64-v3": _X86_64_V3, "x86-64-v4": [*_X86_64_V3, *["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]],
    "apple-m1": ["dotprod", "fullfp16", "fp16fml", "lse", "rcpc", "rdm", "sha3"],
}  # fmt: skip
_SYSTEMS = {"linux": "linux", "darwin": "apple", "macos": "apple", "windows": "windows"}
_SIGNATURES = {"avx512": ("avx512f", "avx512vl", "avx512dq", "avx512bw"), "avx2": ("avx2", "fma"), "x86-64": ("sse2",), "neon": ("neon",)}


@functools.cache
def host() -> Target:
    """The processor this runs on, or the family that the environment variable `GRAPHDL_TARGET` names."""
    forced = os.environ.get("GRAPHDL_TARGET")
    if forced:
        return with_caches(named(forced))
    from .runtime.processor import this_processor

    here = this_processor()
    family = next(FAMILIES[name] for name, needed in _SIGNATURES.items() if here.present.issuperset(needed))
    return with_caches(replace(family, triple=here.triple, cpu=here.cpu, features=here.features))


def named(family: str) -> Target:
    """The table's row of that name. Raises KeyError with the names there are."""
    if family not in FAMILIES:
        raise KeyError(f"no target family {family!r}; there are {', '.join(FAMILIES)}")
    return FAMILIES[family]


def for_export(target: str | None) -> Target:
    """This machine's processor, a row of the table, an LLVM triple, or both as `row@triple`; a triple alone takes the row that all of its kind run.

    Raises BackendError with what there is.
    """
    if target is None:
        return host()
    if target in FAMILIES:
        return FAMILIES[target]
    family, _, triple = target.rpartition("@")
    architecture, *rest = triple.split("-")
    rows = _ARCHITECTURES.get(architecture, ())
    if not rows or family not in ("", *rows):
        raise BackendError(f"no target {target!r}: give a family ({', '.join(FAMILIES)}), a triple of {', '.join(_ARCHITECTURES)}, or family@triple")
    row = FAMILIES[family or rows[0]]
    return replace(row, triple="-".join([architecture, *["unknown"] * (rest[0] == "linux"), *rest])) if rest else row


@functools.cache
def baseline() -> Target:
    """What every processor of this machine's kind can run: for code that gains nothing from more."""
    here = host()
    row = next((rows[0] for architecture, rows in _ARCHITECTURES.items() if here.triple.startswith(f"{architecture}-")), None)
    return here if row is None else replace(FAMILIES[row], triple=here.triple)


def instructions_of(target: Target) -> frozenset[str]:
    """The extensions of the instruction set that code for `target` may use, by LLVM's names."""
    listed = (feature[1:] for feature in target.features.split(",") if feature.startswith("+"))
    return frozenset((*_INSTRUCTIONS.get(target.cpu, ()), *listed))


def system_of(triple: str) -> tuple[str, str]:
    """The architecture and the operating system that a triple names, each by one name."""
    architecture = triple.partition("-")[0]
    system = next((system for word, system in _SYSTEMS.items() if word in triple), "")
    return "aarch64" if architecture == "arm64" else architecture, system


def with_caches(target: Target) -> Target:
    """`target` with the cache sizes of this machine, where the system tells them."""
    sizes = _cache_sizes()
    return replace(target, l1=sizes.get(1, target.l1), l2=sizes.get(2, target.l2), l3=sizes.get(3, target.l3))


def _cache_sizes() -> dict[int, int]:
    found: dict[int, int] = {}
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            kind = (folder / "type").read_text().strip()
            level = int((folder / "level").read_text())
            text = (folder / "size").read_text().strip()
        except (OSError, ValueError):
            continue
        if kind != "Instruction" and level <= 3:
            found[level] = int(text.rstrip("KM")) << (10 if text.endswith("K") else 20)
    return found
