"""Programs as Python callables: the native stub where this interpreter and NumPy are laid out as it expects, else Python."""

from __future__ import annotations

import ctypes
import functools
import importlib
import platform
import sys
import sysconfig
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from graphdl.backends.native.llvm import Module
from graphdl.backends.native.runtime import layout
from graphdl.backends.native.runtime.cache import cached_object, object_key
from graphdl.backends.native.runtime.checked import CheckedCall, exchange_in_python
from graphdl.backends.native.runtime.jit import load_object
from graphdl.backends.native.runtime.layout import Field
from graphdl.backends.native.runtime.signature import Array, ArraySpec, Derived, Signature
from graphdl.backends.native.runtime.stub import emit_stub
from graphdl.backends.native.target import baseline
from graphdl.errors import BackendError

_METH_FASTCALL_KEYWORDS = 0x0080 | 0x0002
_ARRAY_FUNCTIONS = {"PyArray_NewFromDescr": 94, "PyArray_SetBaseObject": 282}  # indices in NumPy's table (numpy/__multiarray_api.h)
_BYTES = np.dtype(np.uint8)
_EXCHANGE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)


class _MethodDefinition(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


class NativeCall:
    """A program ready to be called. `call` is the callable: a built-in function, or the checked Python callable as a fallback.

    `static` (int64) and `threads` may be changed between calls.
    """

    def __init__(self, signature: Signature) -> None:
        native = _native()
        self.signature = signature
        self.checked = CheckedCall(signature, native.exchange if native else exchange_in_python)
        self.static = self.checked.static
        interned = [sys.intern(spec.name) for spec in signature.inputs]  # as keywords in a caller's code are
        names = np.array([id(name) for name in interned], np.int64)
        kept: list[object] = [None] * (layout.KEPT * len(signature.outputs))
        self._table = _table(signature, self.checked, names, kept) if native and _stub_can_take(signature) else None
        self.call: Callable[..., Any] = self.checked
        if native and self._table is not None:
            # The function owns both: the table as its `self`, what the table points at as its `module`.
            self.call = native.wrap(self._table, (self.checked, signature, interned, names, kept))

    @property
    def threads(self) -> int:
        return self.checked.threads

    @threads.setter
    def threads(self, threads: int) -> None:
        self.checked.threads = threads
        if self._table is not None:
            self._table.flags.writeable = True
            self._table[Field.THREADS] = threads
            self._table.flags.writeable = False

    def __call__(self, *args: object, **keywords: object) -> Any:
        return self.call(*args, **keywords)


class _Native:
    """The stub, loaded for the life of the process."""

    def __init__(self) -> None:
        loaded = load_object(cached_object(_text(), baseline()), _imports()).pin()
        self.exchange = _EXCHANGE(loaded.address("gd_exchange"))
        self._definition = _MethodDefinition(b"program", loaded.address("gd_call"), _METH_FASTCALL_KEYWORDS, b"A compiled graphdl program.")
        self._new_function = ctypes.pythonapi["PyCFunction_NewEx"]
        self._new_function.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]
        self._new_function.restype = ctypes.py_object

    def wrap(self, table: Array, owners: tuple[object, ...]) -> Callable[..., Any]:
        function: Callable[..., Any] = self._new_function(ctypes.addressof(self._definition), table, owners)
        return function


@functools.cache
def _native() -> _Native | None:
    return _Native() if _layouts_are_as_expected() else None


def parts() -> dict[str, bytes]:
    """The stub's object by its key in the cache."""
    return {object_key(_text(), baseline()): cached_object(_text(), baseline())} if _layouts_are_as_expected() else {}


@functools.cache
def _text() -> str:
    module = Module(target_triple=baseline().triple)
    emit_stub(module)
    return str(module)


def _layouts_are_as_expected() -> bool:
    """Whether the offsets that the stub reads hold, tried on arrays whose every property is known."""
    if platform.python_implementation() != "CPython" or sysconfig.get_config_var("Py_GIL_DISABLED") or hasattr(sys, "gettotalrefcount"):
        return False
    if ctypes.sizeof(ctypes.c_void_p) != 8 or sys.byteorder != "little":
        return False
    return all(_layout_holds(array) and _ownership_holds(array) for array in (np.zeros((3, 5, 7), np.float32), np.zeros((2, 9), np.int64), np.zeros((4, 6)).T))


def _layout_holds(array: Array) -> bool:
    def word(address: int) -> int:
        return ctypes.c_int64.from_address(address).value

    base = id(array)
    if word(base + layout.OB_TYPE) != id(np.ndarray) or word(base + layout.DATA) != array.ctypes.data or word(base + layout.DESCRIPTOR) != id(array.dtype):
        return False
    rank, flags = (ctypes.c_int32.from_address(base + offset).value for offset in (layout.RANK, layout.FLAGS))
    if rank != array.ndim or bool(flags & 1) != array.flags.c_contiguous or bool(flags & 0x100) != array.flags.aligned:
        return False
    dimensions = word(base + layout.DIMENSIONS)
    return list(array.shape) == [word(dimensions + 8 * axis) for axis in range(rank)]


def _ownership_holds(array: Array) -> bool:
    """The same for what tells that nobody refers to an array."""

    def word(offset: int) -> int:
        return ctypes.c_int64.from_address(id(array) + offset).value

    def references() -> int:
        return ctypes.c_int32.from_address(id(array) + layout.REFERENCES).value

    if bool(word(layout.FLAGS) & 4) != array.flags.owndata or bool(word(layout.FLAGS) & 0x400) != array.flags.writeable:
        return False
    if word(layout.BASE) != (0 if array.base is None else id(array.base)) or word(layout.WEAK_REFERENCES):
        return False
    before, held = references(), [array]
    grown, watcher = references() - before, weakref.ref(array)
    return grown == len(held) and watcher() is array and word(layout.WEAK_REFERENCES) != 0


def _imports() -> dict[str, int]:
    """The addresses of what the stub calls."""
    found = {name: _address(ctypes.pythonapi[name]) for name in layout.IMPORTS if name not in _ARRAY_FUNCTIONS}
    return found | {name: _numpy_function(index) for name, index in _ARRAY_FUNCTIONS.items()}


def _address(function: object) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    if not address:
        raise BackendError(f"{function} has no address")
    return address


def _numpy_function(index: int) -> int:
    get_pointer = ctypes.pythonapi["PyCapsule_GetPointer"]
    get_pointer.argtypes, get_pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    table = get_pointer(importlib.import_module("numpy._core._multiarray_umath")._ARRAY_API, None)
    return int(ctypes.c_int64.from_address(table + 8 * index).value)


def _stub_can_take(signature: Signature) -> bool:
    specs = [*signature.inputs, *signature.outputs]
    small = signature.slots + len(signature.size_names) + signature.derived <= layout.MAX_WORDS
    return small and all(len(spec.shape) <= layout.MAX_RANK and not spec.dtype.hasobject for spec in specs)


def _table(signature: Signature, checked: CheckedCall, names: Array, kept: list[object]) -> Array:
    named = len(signature.size_names)
    fields = {
        Field.INPUTS: len(signature.inputs),
        Field.OUTPUTS: len(signature.outputs),
        Field.NAMED_SIZES: named,
        Field.ALL_SIZES: named + signature.derived,
        Field.STATIC: checked.static.ctypes.data,
        Field.STATIC_COUNT: len(signature.static),
        Field.ENTRY: signature.entry,
        Field.SHAPES: signature.shapes,
        Field.ARENA_BYTES: signature.arena_bytes,
        Field.THREADS: signature.threads,
        Field.ARENA: checked.arena.table.ctypes.data,
        Field.SLOW: id(checked),
        Field.FAILED: id(signature.failed),
        Field.ARRAY_TYPE: id(np.ndarray),
        Field.RELEASE_GIL: int(signature.release_gil),
        Field.UNPACK: int(signature.unpack and len(signature.outputs) == 1),
        Field.NAMES: names.ctypes.data,
        Field.KEPT: id(kept),
        Field.BYTES: id(_BYTES),
    }
    seen: set[str] = set()
    inputs = [word for spec in signature.inputs for word in _input_words(spec, signature, seen)]
    outputs = [word for spec in signature.outputs for word in _output_words(spec, signature)]
    table = np.array([*(fields[which] for which in Field if which != Field.ARRAYS), *inputs, *outputs], np.int64)
    table.flags.writeable = False  # callers can reach it, as the function's `__self__`
    return table


def _input_words(spec: ArraySpec, signature: Signature, seen: set[str]) -> list[int]:
    words = [id(spec.dtype), len(spec.shape)]
    for size in spec.shape:
        if isinstance(size, Derived):
            raise BackendError(f"the input `{spec.name}` cannot have a derived size")
        if isinstance(size, int):
            words.append(size)
            continue
        words.append(-2 * signature.size_slot(size) - (2 if size in seen else 1))
        seen.add(size)
    return words


def _output_words(spec: ArraySpec, signature: Signature) -> list[int]:
    return [id(spec.dtype), len(spec.shape), *(size if isinstance(size, int) else -signature.size_slot(size) - 1 for size in spec.shape), spec.dtype.itemsize]
