"""Modules that hold modules: in sequence, in a list, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from ..ir import Tensor
from .module import Module


class Sequential(Module):
    """Modules applied one after another, named "0", "1", ...; or by the keys of one mapping."""

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], Mapping) else {str(k): module for k, module in enumerate(modules)}
        for name, module in named.items():
            setattr(self, name, _checked(module))

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x

    def append(self, module: Module) -> Sequential:
        """Add a module at the end."""
        setattr(self, str(len(self)), _checked(module))
        return self

    def __len__(self) -> int:
        return len(_inside(self))

    def __iter__(self) -> Iterator[Module]:
        return iter(_inside(self).values())

    @overload
    def __getitem__(self, key: int) -> Module: ...
    @overload
    def __getitem__(self, key: slice) -> Sequential: ...
    def __getitem__(self, key: int | slice) -> Module:
        if isinstance(key, slice):
            return Sequential(dict(list(_inside(self).items())[key]))
        return list(self)[key]


class ModuleList(Module):
    """A list of modules whose parameters are found; it has no forward of its own."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end."""
        return self.extend([module])

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add modules at the end."""
        for module in modules:
            setattr(self, str(len(self)), _checked(module))
        return self

    def __len__(self) -> int:
        return len(_inside(self))

    def __iter__(self) -> Iterator[Module]:
        return iter(_inside(self).values())

    @overload
    def __getitem__(self, key: int) -> Module: ...
    @overload
    def __getitem__(self, key: slice) -> ModuleList: ...
    def __getitem__(self, key: int | slice) -> Module:
        return ModuleList(list(self)[key]) if isinstance(key, slice) else list(self)[key]


class ModuleDict(Module):
    """Modules by name whose parameters are found; it has no forward of its own."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        for name, module in (modules or {}).items():
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        if hasattr(type(self), name):
            raise KeyError(f"ModuleDict: {name!r} is the name of one of its methods")
        setattr(self, name, _checked(module))

    def __getitem__(self, name: str) -> Module:
        return _inside(self)[name]

    def __contains__(self, name: object) -> bool:
        return name in _inside(self)

    def __len__(self) -> int:
        return len(_inside(self))

    def __iter__(self) -> Iterator[str]:
        return iter(_inside(self))

    def keys(self) -> Iterable[str]:
        """The names."""
        return _inside(self).keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return _inside(self).values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """The names with the modules."""
        return _inside(self).items()


def _inside(module: Module) -> dict[str, Module]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Module)}


def _checked(module: Any) -> Module:
    if isinstance(module, Module):
        return module
    hint = ": wrap a function in a class with forward" if callable(module) or isinstance(module, Tensor) else ""
    raise TypeError(f"needs modules, got {type(module).__name__}{hint}")
