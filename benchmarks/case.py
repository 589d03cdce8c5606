"""What a case is: sizes, equal data for everybody, and one way per framework to do the work."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from . import cases

Array = np.ndarray[Any, Any]
Sizes = Mapping[str, int]
Run = Callable[[], Sequence[Any]]  # does the work once, and returns when it is done
Limit = tuple[str, Callable[[Sizes], float]]  # "fma" and floating-point operations, or "copy" and bytes

FRAMEWORKS = {
    "graphdl": "graphdl",
    "torch": "torch",
    "torch.compile": "torch",
    "jax": "jax",
    "onnxruntime": "onnxruntime",
}  # name: the module that must be installed


@dataclass(frozen=True)
class Case:
    """One measurement. A `build` function prepares a framework's run for given sizes; the data inside are the same for all.

    `variants` are further sizes to measure by default. `tolerance` is for comparing results, relative to their largest element.
    """

    name: str
    what: str
    sizes: Sizes
    build: Mapping[str, Callable[[Sizes], Run]]
    variants: Sequence[Sizes] = ()
    limit: Limit | None = None
    tolerance: float = 1e-4

    @property
    def is_step(self) -> bool:
        """Whether it is a whole training step."""
        return self.name.endswith("_step")

    def sized(self, changes: Sizes) -> Sizes:
        """The default sizes with `changes`, as far as this case knows them."""
        return {name: changes.get(name, size) for name, size in self.sizes.items()}

    def all_sizes(self, changes: Sizes) -> list[Sizes]:
        """What to measure: the default and the variants, or one if `changes` touches this case."""
        if any(name in self.sizes for name in changes):
            return [self.sized(changes)]
        return [self.sizes, *({**self.sizes, **variant} for variant in self.variants)]


class Build(Protocol):
    """A build of PyTorch's, plain or compiled."""

    def __call__(self, sizes: Sizes, /, compiled: bool) -> Run: ...


@dataclass(frozen=True)
class Peers:
    """`torch.compile` is PyTorch's build with its functions compiled; `compiled` tells a case which of the two is wanted."""

    build: Build
    kinds: tuple[str, str] = field(default=("torch", "torch.compile"))

    def as_builds(self) -> dict[str, Callable[[Sizes], Run]]:
        return {kind: partial(self.build, compiled=k == 1) for k, kind in enumerate(self.kinds)}


def all_cases() -> dict[str, Case]:
    """Every case, found by the modules in `cases`: each has one, `CASE`, or several, `CASES`."""
    modules: list[ModuleType] = [importlib.import_module(f"{cases.__name__}.{found.name}") for found in pkgutil.iter_modules(cases.__path__)]
    listed: list[Case] = [case for module in modules for case in (module.CASES if hasattr(module, "CASES") else [module.CASE])]
    return {case.name: case for case in sorted(listed, key=lambda case: case.name)}


def normal(*shape: int, seed: int = 0) -> Array:
    """Seeded standard normal float32."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
