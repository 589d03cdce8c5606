"""From LLVM IR text to object files, and from object files to callable addresses.

Measured with LLVM 22 on a Zen 5 core, for a straight-line 12x32 float micro-kernel of 212 lines: parsing 0.5 ms; parsing and
emitting 1.5 ms at level 0, 4.7 ms at 1, 5.1 ms at 2 and 5.2 ms at 3, whatever the code model. So level 2 is the default, and no
IR passes run unless asked for. At levels 1 to 3 each function costs some 0.4 ms and each loop some 0.7 ms; at level 0 a tenth.
Objects for x86-64 on Linux are linked here and mapped, without LLVM, whose library takes 20 ms to load. For others: loading that object took
0.61 ms with an MCJIT engine of its own and 0.08 ms with one shared ORC LLJIT, hence ORC. JITLink lays out an object in one stretch of memory, so
that the small code model always reaches the object's own constants and functions; it costs no more than RuntimeDyld.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from graphdl.backends.native.runtime.image import Image, MappedImage
from graphdl.backends.native.target import Target
from graphdl.errors import BackendError

_names = itertools.count()


def compile_object(ir_text: str, target: Target, level: int = 2, passes: str | None = None, *, verify: bool = False) -> bytes:
    """The relocatable, position-independent object file of `ir_text`.

    `level` (0 to 3) is the effort of code generation. `passes` is a comma-separated list of llvmlite's pass names run
    first (`"sroa,instruction_combine,simplify_cfg"`), or `"default"` for LLVM's whole pipeline of that level.
    Raises BackendError where LLVM refuses the text, with LLVM's own message.
    """
    machine = _machine(target.triple, target.cpu, target.features, level, threading.get_ident())
    module = _parse(ir_text)
    try:
        if verify:
            module.verify()
        if passes:
            _run_passes(module, machine, level, passes)
        return _emit_object(machine, module)
    except RuntimeError as error:
        raise BackendError(f"LLVM could not compile the module: {error}") from error


def assembly(ir_text: str, target: Target, level: int = 2) -> str:
    """The assembly text of `ir_text` for `target`. Raises BackendError."""
    machine = _machine(target.triple, target.cpu, target.features, level)
    return str(machine.emit_assembly(_parse(ir_text)))


def _emit_object(machine: Any, module: Any) -> bytes:
    """`machine.emit_object(module)` beside other threads that do the same.

    llvmlite holds one lock around every call into LLVM. A module in a context of its own and a machine of its own share nothing
    with others (LLVM's programmer's manual, "Threads and LLVM"), so this longest call is made without the lock where llvmlite lets us.
    """
    from llvmlite.binding import ffi

    locked = ffi.lib.LLVMPY_TargetMachineEmitToMemory
    with ffi.OutputString() as message:
        buffer = getattr(locked, "_cfn", locked)(machine, module, 1, message)
        if not buffer:
            raise RuntimeError(str(message))
    try:
        return ctypes.string_at(ffi.lib.LLVMPY_GetBufferStart(buffer), ffi.lib.LLVMPY_GetBufferSize(buffer))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


def data_layout(target: Target) -> str:
    """LLVM's description of sizes and alignments on `target`: code for other processors needs it in its module. Raises BackendError."""
    return str(_machine(target.triple, target.cpu, target.features, 2).target_data)


class Loaded:
    """Code in memory. It is freed when this is collected, unless `pin` was called."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def address(self, symbol: str) -> int:
        """The address of a function or global. Raises BackendError if there is none, or if linking fails."""
        return self._library.address(symbol)

    def pin(self) -> Loaded:
        """Never free this: threads or callbacks may be inside its code for as long as the process lives."""
        _pinned.append(self)
        return self


class Library(Protocol):
    """What holds code in memory."""

    def address(self, symbol: str) -> int: ...


_pinned: list[Loaded] = []


class _LinkedByLLVM:
    """Objects that LLVM's JITLink has loaded. It keeps about 8 KiB of bookkeeping per object loaded and freed."""

    def __init__(self, objects: Sequence[bytes], symbols: Mapping[str, int]) -> None:
        import llvmlite.binding as llvm

        self._name = f"graphdl.{next(_names)}"
        builder = llvm.JITLibraryBuilder()
        for data in objects:
            builder.add_object_img(data)
        builder.add_current_process()
        for symbol, address in symbols.items():
            builder.import_symbol(symbol, address)
        try:
            self._trackers = [builder.link(_linker(), self._name)]
        except RuntimeError as error:
            raise BackendError(f"cannot load the object file: {error}") from error
        self._addresses: dict[str, int] = {}

    def address(self, symbol: str) -> int:
        if symbol not in self._addresses:
            try:
                tracker = _linker().lookup(self._name, symbol)
            except RuntimeError as error:
                raise BackendError(f"cannot resolve `{symbol}`: {error}") from error
            self._trackers.append(tracker)
            self._addresses[symbol] = tracker[symbol]
        return self._addresses[symbol]


def load_object(data: bytes, symbols: Mapping[str, int] | None = None) -> Loaded:
    """Load one object file into this process; see `load_objects`."""
    return load_objects([data], symbols)


def load_objects(objects: Sequence[bytes], symbols: Mapping[str, int] | None = None) -> Loaded:
    """Load object files, or what `linked` has made of them, into this process as one library.

    Undefined symbols resolve among the objects, to the addresses in `symbols`, then to the symbols of the process (`memcpy`,
    `pthread_create`), at the latest with the first `Loaded.address`. Raises BackendError if one is no object file of this machine.
    """
    parts = objects if _are_linked(objects) else linked(objects)
    if _are_linked(parts):
        return Loaded(MappedImage(Image.from_bytes(parts[0]), symbols or {}))
    return Loaded(_LinkedByLLVM(parts, symbols or {}))


def linked(objects: Sequence[bytes]) -> Sequence[bytes]:
    """Objects for x86-64 on Linux as one image, which loads without LLVM; others as they are. Raises BackendError."""
    from graphdl.backends.native.runtime.elf import is_linkable
    from graphdl.backends.native.runtime.linking import link

    return [link(objects).to_bytes()] if objects and all(map(is_linkable, objects)) else objects


def _are_linked(objects: Sequence[bytes]) -> bool:
    return len(objects) == 1 and Image.is_image(objects[0])


def versions() -> str:
    """The version on which emitted code depends, as part of a cache key: that of LLVM follows from it, and is not loaded for it."""
    import llvmlite

    return f"llvmlite {llvmlite.__version__}"


@functools.cache
def _initialize(native: bool) -> None:
    import llvmlite.binding as llvm

    if native:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()


@functools.lru_cache(64)
def _machine(triple: str, cpu: str, features: str, level: int, thread: int = 0) -> Any:
    """LLVM's code generator, which one thread at a time may use."""
    import llvmlite.binding as llvm

    _initialize(native=triple.partition("-")[0] == llvm.get_default_triple().partition("-")[0])
    relocation = "static" if triple.startswith("wasm") else "pic"  # WebAssembly's linker places code itself
    try:
        return llvm.Target.from_triple(triple).create_target_machine(cpu, features, opt=level, reloc=relocation, codemodel="small")
    except RuntimeError as error:
        raise BackendError(f"LLVM has no target {triple!r} with cpu {cpu!r}: {error}") from error


@functools.cache
def _linker() -> Any:
    import llvmlite.binding as llvm

    _initialize(native=True)
    machine = llvm.Target.from_default_triple().create_target_machine(reloc="pic", codemodel="small")
    return llvm.create_lljit_compiler(machine, use_jit_link=True, suppress_errors=True)


def _parse(ir_text: str) -> Any:
    """A module in a context of its own, so that nothing outlives the compilation."""
    import llvmlite.binding as llvm

    try:
        return llvm.parse_assembly(ir_text, llvm.create_context())
    except RuntimeError as error:
        raise BackendError(str(error)) from error


def _run_passes(module: Any, machine: Any, level: int, passes: str) -> None:
    import llvmlite.binding as llvm

    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(level))
    manager = builder.getModulePassManager() if passes == "default" else llvm.create_new_module_pass_manager()
    for name in [] if passes == "default" else passes.split(","):
        add = getattr(manager, f"add_{name.strip()}_pass", None)
        if add is None:
            raise BackendError(f"llvmlite has no pass {name.strip()!r}")
        add()
    manager.run(module, builder)
