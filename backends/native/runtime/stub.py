"""The native function behind every program's Python callable: checks, allocates, calls, without a line of Python run.

It is one function for all programs, with the calling convention METH_FASTCALL | METH_KEYWORDS, and interprets a table of i64 that
is the data of the array given as `self`. Whatever it does not expect goes, unchanged, to the program's Python callable.
The structures read are those of CPython's and NumPy's stable ABI; `call.py` checks them before it relies on them.
"""

from __future__ import annotations

from graphdl.backends.native.llvm import I32, I64, PTR, Function, Module, Value
from graphdl.backends.native.runtime.arrays import at, emit_create, emit_match, require
from graphdl.backends.native.runtime.layout import DATA, IMPORTS, KEPT, Field


def emit_stub(module: Module) -> None:
    """Add `gd_call(self, args, count, keywords)` and `gd_exchange(address, value)` to `module`."""
    for name, signature in IMPORTS.items():
        module.declare(name, signature)
    _emit_exchange(module)
    _emit_find(module)
    emit_match(module)
    emit_create(module)
    _emit_enter(module)
    _emit_call(module)


def _emit_exchange(module: Module) -> None:
    f = module.function("gd_exchange", [("address", PTR), ("value", I64)], I64)
    f.ret(f.atomic_rmw("xchg", f.parameters[0], f.parameters[1]))


def _field(f: Function, table: Value, which: Field) -> Value:
    return f.load(f.offset(table, I64.const(which), "i64"), I64)


def _pointer(f: Function, table: Value, which: Field) -> Value:
    return f.load(f.offset(table, I64.const(which), "i64"), PTR)


def _emit_enter(module: Module) -> None:
    """`i64 gd_enter(table, pointers, sizes)`: run the program, without the GIL if the table says so."""
    f = module.function("gd_enter", [("table", PTR), ("pointers", PTR), ("sizes", PTR)], I64, "internal")
    table, pointers, sizes = f.parameters
    call = f"call i64 {_pointer(f, table, Field.ENTRY).text}({pointers.typed}, {sizes.typed}, {_field(f, table, Field.THREADS).typed})"
    f.branch_if(f.compare("ne", _field(f, table, Field.RELEASE_GIL), I64.const(0)), "release", "keep")
    f.label("keep")
    f.ret(f.emit(I64, call))
    f.label("release")
    thread = f.call("PyEval_SaveThread", PTR)
    assert thread is not None
    status = f.emit(I64, call)
    f.call("PyEval_RestoreThread", None, thread)
    f.ret(status)


def _emit_call(module: Module) -> None:
    f = module.function("gd_call", [("self", PTR), ("args", PTR), ("count", I64), ("keywords", PTR)], PTR)
    self, args, count, keywords = f.parameters
    table = f.load(at(f, self, DATA), PTR)
    inputs = _field(f, table, Field.INPUTS)
    ordered = _order(f, table, args, count, keywords, inputs)
    pointers, sizes, static = _stack_tables(f, table, inputs)
    outputs_spec = _match_inputs(f, table, ordered, pointers, sizes)
    _derive_sizes(f, table, sizes)
    result = _create_outputs(f, table, outputs_spec, f.offset(pointers, inputs, "i64"), sizes)
    _copy_static(f, table, static)
    _run(f, table, pointers, sizes, static, result)
    f.ret(result)
    _emit_ends(f, table, args, count, keywords, result)


def _order(f: Function, table: Value, args: Value, count: Value, keywords: Value, inputs: Value) -> Value:
    """The arguments in the order of the inputs: `args` itself, or, if there are keywords, an array on the stack."""
    f.branch_if(f.compare("eq", keywords, PTR.const(0)), "positional", "named")
    f.label("positional")
    f.branch_if(f.compare("eq", count, inputs), "ordered", "slow")
    f.label("named")
    given = f.call("PyTuple_Size", I64, keywords)
    assert given is not None
    require(f, f.compare("eq", f.add(count, given), inputs), "slow")
    copy = f.emit(PTR, f"alloca ptr, {inputs.typed}, align 16")
    with f.loop(I64.const(0), count) as loop:
        f.store(f.load(f.offset(args, loop.index, "ptr"), PTR), f.offset(copy, loop.index, "ptr"))
    with f.loop(I64.const(0), given) as loop:
        name = f.call("PyTuple_GetItem", PTR, keywords, loop.index)
        assert name is not None
        place = f.call("gd_find", I64, _pointer(f, table, Field.NAMES), name, count, inputs)
        assert place is not None
        require(f, f.compare("slt", place, inputs), "slow")
        f.store(f.load(f.offset(args, f.add(count, loop.index), "ptr"), PTR), f.offset(copy, place, "ptr"))
    f.branch("named.end")
    f.label("named.end")
    f.branch("ordered")
    f.label("ordered")
    return f.emit(PTR, f"phi ptr [ {args.text}, %positional ], [ {copy.text}, %named.end ]")


def _emit_find(module: Module) -> None:
    """`i64 gd_find(names, name, begin, end)`: the index of that very string among the interned names, else `end`."""
    f = module.function("gd_find", [("names", PTR), ("name", PTR), ("begin", I64), ("end", I64)], I64, "internal")
    names, name, begin, end = f.parameters
    with f.loop(begin, end) as loop:
        here = f.compare("eq", f.load(f.offset(names, loop.index, "ptr"), PTR), name)
        f.branch_if(here, "found", "other")
        f.label("found")
        f.ret(loop.index)
        f.label("other")
    f.ret(end)


def _stack_tables(f: Function, table: Value, inputs: Value) -> tuple[Value, Value, Value]:
    """The table of pointers, that of sizes, and where in the former the static pointers begin."""
    arrays = f.add(inputs, _field(f, table, Field.OUTPUTS))
    words = f.add(f.add(arrays, _field(f, table, Field.STATIC_COUNT)), I64.const(1))
    pointers = f.emit(PTR, f"alloca i64, {words.typed}, align 16")
    sizes = f.emit(PTR, f"alloca i64, {f.add(_field(f, table, Field.ALL_SIZES), I64.const(1)).typed}, align 16")
    return pointers, sizes, f.offset(pointers, arrays, "i64")


def _match_inputs(f: Function, table: Value, args: Value, pointers: Value, sizes: Value) -> Value:
    spec = f.offset(table, I64.const(Field.ARRAYS), "i64")
    type_ = _pointer(f, table, Field.ARRAY_TYPE)
    with f.loop(I64.const(0), _field(f, table, Field.INPUTS), carried=[spec]) as loop:
        array = f.load(f.offset(args, loop.index, "ptr"), PTR)
        words = f.call("gd_match", I64, array, loop.carried[0], type_, sizes)
        assert words is not None
        require(f, f.compare("ne", words, I64.const(0)), "slow")
        f.store(f.load(at(f, array, DATA), PTR), f.offset(pointers, loop.index, "i64"))
        loop.next[0] = f.offset(loop.carried[0], words, "i64")
    return loop.carried[0]


def _derive_sizes(f: Function, table: Value, sizes: Value) -> None:
    shapes = _pointer(f, table, Field.SHAPES)
    f.branch_if(f.compare("ne", shapes, PTR.const(0)), "derive", "derived")
    f.label("derive")
    derived = f.offset(sizes, _field(f, table, Field.NAMED_SIZES), "i64")
    status = f.emit(I64, f"call i64 {shapes.text}({sizes.typed}, {derived.typed})")
    f.branch_if(f.compare("eq", status, I64.const(0)), "derived", "slow")
    f.label("derived")


def _create_outputs(f: Function, table: Value, spec: Value, pointers: Value, sizes: Value) -> Value:
    """The result: a tuple, or the only output itself."""
    type_, bytes_, kept = (_pointer(f, table, field) for field in (Field.ARRAY_TYPE, Field.BYTES, Field.KEPT))
    outputs = _field(f, table, Field.OUTPUTS)
    f.branch_if(f.compare("ne", _field(f, table, Field.UNPACK), I64.const(0)), "single", "several")
    f.label("single")
    only = f.call("gd_create", PTR, spec, type_, bytes_, sizes, kept, I64.const(0))
    assert only is not None
    require(f, f.compare("ne", only, PTR.const(0)), "raised")
    f.store(f.load(at(f, only, DATA), PTR), pointers)
    f.branch("single.end")
    f.label("single.end")
    f.branch("created")
    f.label("several")
    tuple_ = f.call("PyTuple_New", PTR, outputs)
    assert tuple_ is not None
    require(f, f.compare("ne", tuple_, PTR.const(0)), "raised")
    with f.loop(I64.const(0), outputs, carried=[spec]) as loop:
        array = f.call("gd_create", PTR, loop.carried[0], type_, bytes_, sizes, kept, f.mul(loop.index, I64.const(KEPT)))
        assert array is not None
        require(f, f.compare("ne", array, PTR.const(0)), "dropped")
        f.call("PyTuple_SetItem", I32, tuple_, loop.index, array)
        f.store(f.load(at(f, array, DATA), PTR), f.offset(pointers, loop.index, "i64"))
        rank = f.load(f.offset(loop.carried[0], I64.const(1), "i64"), I64)
        loop.next[0] = f.offset(loop.carried[0], f.add(rank, I64.const(3)), "i64")
    f.branch("several.end")
    f.label("dropped")
    f.call("Py_DecRef", None, tuple_)
    f.branch("raised")
    f.label("several.end")
    f.branch("created")
    f.label("created")
    return f.emit(PTR, f"phi ptr [ {only.text}, %single.end ], [ {tuple_.text}, %several.end ]")


def _copy_static(f: Function, table: Value, static: Value) -> None:
    source = _pointer(f, table, Field.STATIC)
    with f.loop(I64.const(0), _field(f, table, Field.STATIC_COUNT)) as loop:
        f.store(f.load(f.offset(source, loop.index, "i64"), I64), f.offset(static, loop.index, "i64"))


def _run(f: Function, table: Value, pointers: Value, sizes: Value, static: Value, result: Value) -> None:
    """Claim the arena, which nothing between here and its release can claim again on this thread, and run."""
    arena, arena_bytes = _pointer(f, table, Field.ARENA), _pointer(f, table, Field.ARENA_BYTES)
    require(f, f.compare("eq", f.atomic_rmw("xchg", arena, I64.const(1)), I64.const(0)), "taken")
    f.branch_if(f.compare("ne", arena_bytes, PTR.const(0)), "measure", "fits")
    f.label("measure")
    needed = f.emit(I64, f"call i64 {arena_bytes.text}({sizes.typed})")
    f.branch_if(f.compare("sle", needed, f.load(f.offset(arena, I64.const(2), "i64"), I64)), "fits", "small")
    f.label("fits")
    last = f.offset(static, _field(f, table, Field.STATIC_COUNT), "i64")
    f.store(f.load(f.offset(arena, I64.const(1), "i64"), I64), last)
    status = f.call("gd_enter", I64, table, pointers, sizes)
    assert status is not None
    f.atomic_store(I64.const(0), arena)
    f.branch_if(f.compare("eq", status, I64.const(0)), "done", "failed")
    f.label("small")  # the Python callable makes the arena larger
    f.atomic_store(I64.const(0), arena)
    f.branch("taken")
    f.label("taken")
    f.call("Py_DecRef", None, result)
    f.branch("slow")
    f.label("failed")
    f.call("Py_DecRef", None, result)
    number = f.call("PyLong_FromLongLong", PTR, status)
    assert number is not None
    require(f, f.compare("ne", number, PTR.const(0)), "raised")
    argument = f.alloca(PTR, 1, 8)
    f.store(number, argument)
    answer = f.call("PyObject_Vectorcall", PTR, _pointer(f, table, Field.FAILED), argument, I64.const(1), PTR.const(0))
    f.call("Py_DecRef", None, number)
    f.ret(answer)
    f.label("done")


def _emit_ends(f: Function, table: Value, args: Value, count: Value, keywords: Value, result: Value) -> None:
    f.label("raised")
    f.ret(PTR.const(0))
    f.label("slow")
    f.ret(f.call("PyObject_Vectorcall", PTR, _pointer(f, table, Field.SLOW), args, count, keywords))
