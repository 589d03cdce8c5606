"""Modules: parameters, buffers and other modules under names, and a function of tensors that uses them."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

import numpy as np

from ..errors import GraphdlError
from ..ir import Tensor, module_scope
from ..ir.provenance import user_source
from .buffer import is_buffer, is_persistent, make_buffer
from .state import load_arrays

Array = np.ndarray[Any, Any]
_open: ContextVar[str] = ContextVar("open module", default="")


class Module:
    """The base of layers and networks, as `torch.nn.Module`.

    Tensors from `gd.parameter` and modules that are assigned to attributes belong to the module under the attribute's
    name. Subclasses write `forward`; calling the module runs it, and every node it makes remembers the module's path,
    such as `encoder.layers.1`. Training and inference are told apart when a program is compiled, not here.
    """

    _parent: weakref.ref[Module] | None = None
    _name: str = ""
    _made: tuple[weakref.ref[Tensor], ...] = ()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs for given inputs; subclasses write it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._scope():
            made = self.forward(*args, **kwargs)
        object.__setattr__(self, "_made", tuple(weakref.ref(x) for x in (made if isinstance(made, tuple) else (made,)) if isinstance(x, Tensor)))
        return made

    @property
    def _outputs(self) -> tuple[Tensor, ...]:
        """What the last call gave, while anybody holds it: what `gd.explain` and the explorer show of a module."""
        return tuple(tensor for made in self._made if (tensor := made()) is not None)

    @contextmanager
    def _scope(self) -> Iterator[None]:
        """Open the module's path, which its own parameters belong to as well."""
        path, outer = self.path, _open.get()
        for tensor in (*self.parameters(recurse=False), *self.buffers(recurse=False)):
            tensor.node.provenance.modules |= {path} if path else frozenset()
        token = _open.set(path)
        try:
            with module_scope(path.removeprefix(f"{outer}.") if outer else path):
                yield
        finally:
            _open.reset(token)

    @property
    def path(self) -> str:
        """The attribute names that lead here from the outermost module, with dots between; "" for that one itself."""
        names: list[str] = []
        module = self
        while module._parent is not None and (parent := module._parent()) is not None:
            names.append(module._name)
            module = parent
        return ".".join(reversed(names))

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Module):
            self._adopt(name, value)
        object.__setattr__(self, name, value)

    def _adopt(self, name: str, child: Module) -> None:
        if self in child.modules():
            raise GraphdlError(f"{type(self).__name__}.{name}: a module cannot contain itself")
        if child._parent is None or child._parent() is None:
            object.__setattr__(child, "_parent", weakref.ref(self))
            object.__setattr__(child, "_name", name)
            for path, tensor in (*child.named_parameters(name), *child.named_buffers(name)):
                tensor.node.op.state.name = path

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Another module of the kind with copies of parameters, buffers and modules; what is shared inside stays shared."""
        made = object.__new__(type(self))
        memo[id(self)] = made
        for name, value in vars(self).items():
            if name not in ("_parent", "_name", "_made"):
                setattr(made, name, copy.deepcopy(value, memo))
        return made

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Hold state that is not trained, such as running statistics, from a parameter, an array, or None.

        It can be replaced by an assigned value at every training step (`assign`). Only persistent buffers are saved.
        """
        setattr(self, name, None if tensor is None else make_buffer(tensor, name, persistent))

    def add_module(self, name: str, module: Module | None) -> None:
        """Assign a module to the attribute `name`."""
        setattr(self, name, module)

    def children(self) -> Iterator[Module]:
        """The modules directly inside."""
        return (module for _, module in self.named_children())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, with their names, each once."""
        seen: set[Module] = set()
        for name, value in vars(self).items():
            if isinstance(value, Module) and value not in seen:
                seen.add(value)
                yield name, value

    def modules(self) -> Iterator[Module]:
        """The module and all inside it, each once, outer ones first."""
        return (module for _, module in self.named_modules())

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """The module and all inside it with their paths, outer ones first."""
        seen: set[Module] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if remove_duplicate and module in seen:
                continue
            seen.add(module)
            yield path, module
            inside = [(_join(path, name), value) for name, value in vars(module).items() if isinstance(value, Module)]
            stack.extend(reversed(inside))

    def parameters(self, recurse: bool = True) -> list[Tensor]:
        """The trained tensors, each once, in the order of declaration."""
        return [tensor for _, tensor in self.named_parameters(recurse=recurse)]

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """The trained tensors with their paths, such as `0.weight`; shared ones under their first path only, unless told."""
        return self._named(prefix, recurse, remove_duplicate, trainable=True)

    def buffers(self, recurse: bool = True) -> list[Tensor]:
        """The tensors of state that are not trained, each once."""
        return [tensor for _, tensor in self.named_buffers(recurse=recurse)]

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """The tensors of state that are not trained, with their paths."""
        return self._named(prefix, recurse, remove_duplicate, trainable=False)

    def _named(self, prefix: str, recurse: bool, remove_duplicate: bool, *, trainable: bool) -> Iterator[tuple[str, Tensor]]:
        seen: set[int] = set()
        places = self.named_modules(prefix, remove_duplicate) if recurse else iter([(prefix, self)])
        for path, module in places:
            for name, tensor in module._own(trainable=trainable).items():
                if not (remove_duplicate and id(tensor) in seen):
                    seen.add(id(tensor))
                    yield _join(path, name), tensor

    def _own(self, *, trainable: bool) -> dict[str, Tensor]:
        held = {name: value for name, value in vars(self).items() if isinstance(value, Tensor) and value.node.op.is_parameter}
        return {name: tensor for name, tensor in held.items() if is_buffer(tensor) != trainable}

    def apply(self, function: Callable[[Module], object]) -> Self:
        """Call `function` on every module inside and then on this one; returns the module."""
        for module in reversed(list(self.modules())):
            function(module)
        return self

    def state_dict(self) -> dict[str, Array]:
        """Every parameter and persistent buffer by its path: the arrays themselves, not copies."""
        return {name: tensor.value for name, tensor in self._state()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy arrays into parameters and buffers by name. All entries are checked first: nothing is changed on error.

        Raises StateError that lists every missing, unexpected and unfit entry; with `strict=False` the first two are let pass.
        """
        load_arrays(dict(self._state()), state, strict=strict, owner=told(type(self).__name__))

    def _state(self) -> Iterable[tuple[str, Tensor]]:
        """Names of the state in PyTorch's order: module by module, parameters before buffers."""
        for path, module in self.named_modules(remove_duplicate=False):
            yield from ((_join(path, name), tensor) for name, tensor in module._own(trainable=True).items())
            kept = ((name, tensor) for name, tensor in module._own(trainable=False).items() if is_persistent(tensor))
            yield from ((_join(path, name), tensor) for name, tensor in kept)

    def extra_repr(self) -> str:
        """What stands between the brackets of `repr`; subclasses tell their options here."""
        return ""

    def __repr__(self) -> str:
        inside = [f"({name}): {module!r}".replace("\n", "\n  ") for name, module in vars(self).items() if isinstance(module, Module)]
        if not inside:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [part for part in (self.extra_repr(), *inside) if part]
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


def told(name: str) -> str:
    """A name with the user's line that runs now, for errors about arguments that are no tensors."""
    source = user_source()
    return f"{name} ({source})" if source else name


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
