"""NumPy arrays in native code: checking one against what a program expects, and creating one."""

from __future__ import annotations

from graphdl.backends.native.llvm import I1, I32, I64, PTR, Function, Module, Value
from graphdl.backends.native.runtime.layout import (
    BASE,
    C_CONTIGUOUS_ALIGNED,
    DATA,
    DESCRIPTOR,
    DIMENSIONS,
    FLAGS,
    KEPT,
    LARGE,
    LINE,
    MAX_RANK,
    OB_TYPE,
    OWNS_DATA,
    RANK,
    REFERENCES,
    WEAK_REFERENCES,
    WRITEABLE,
)


def at(f: Function, object_: Value, offset: int) -> Value:
    """The address at an offset in bytes."""
    return f.offset(object_, I64.const(offset), "i8")


def require(f: Function, condition: Value, otherwise: str) -> None:
    """Go on if the condition holds, else at the block `otherwise`."""
    name = f.fresh("ok")
    f.branch_if(condition, name, otherwise)
    f.label(name)


def _slot(f: Function, sizes: Value, index: Value, named: Value) -> Value:
    """The address of a size's slot, or of the first, which is always there, if the size is not `named`."""
    return f.offset(sizes, f.select(named, index, I64.const(0)), "i64")


def emit_match(module: Module) -> None:
    """`i64 gd_match(object, spec, type, sizes)`: the next spec's offset in words if the array fits, having set sizes; else 0."""
    f = module.function("gd_match", [("object", PTR), ("spec", PTR), ("type", PTR), ("sizes", PTR)], I64, "internal")
    array, spec, type_, sizes = f.parameters
    require(f, f.compare("eq", f.load(at(f, array, OB_TYPE), PTR), type_), "unfit")
    require(f, f.compare("eq", f.load(at(f, array, DESCRIPTOR), PTR), f.load(spec, PTR)), "unfit")
    flags = f.bit_and(f.load(at(f, array, FLAGS), I32), I32.const(C_CONTIGUOUS_ALIGNED))
    require(f, f.compare("eq", flags, I32.const(C_CONTIGUOUS_ALIGNED)), "unfit")
    rank = f.load(f.offset(spec, I64.const(1), "i64"), I64)
    require(f, f.compare("eq", f.convert("sext", f.load(at(f, array, RANK), I32), I64), rank), "unfit")
    found_sizes, codes = f.load(at(f, array, DIMENSIONS), PTR), f.offset(spec, I64.const(2), "i64")
    with f.loop(I64.const(0), rank) as axis:
        found = f.load(f.offset(found_sizes, axis.index, "i64"), I64)
        code = f.load(f.offset(codes, axis.index, "i64"), I64)
        named = f.compare("slt", code, I64.const(0))
        slot = _slot(f, sizes, f.shift_right(f.sub(I64.const(-1), code), I64.const(1)), named)
        first = f.emit(I1, f"and i1 {named.text}, {f.compare('ne', f.bit_and(code, I64.const(1)), I64.const(0)).text}")
        with f.when(first):
            f.store(found, slot)
        expected = f.select(named, f.load(slot, I64), code)
        require(f, f.compare("eq", expected, found), "unfit")
    f.ret(f.add(rank, I64.const(2)))
    f.label("unfit")
    f.ret(I64.const(0))


def emit_create(module: Module) -> None:
    """`ptr gd_create(spec, type, bytes, sizes, kept, place)`: an array of an output's shape, or null with a Python error set.

    The list `kept` holds the latest results of this output from `place` on. One that nobody else refers to any more is given out again:
    memory fresh from the system costs more to touch for the first time than most programs take to fill it.
    """
    _emit_shape(module)
    _emit_free(module)
    _emit_new(module)
    f = module.function("gd_create", [("spec", PTR), ("type", PTR), ("bytes", PTR), ("sizes", PTR), ("kept", PTR), ("place", I64)], PTR, "internal")
    spec, type_, bytes_, sizes, kept, place = f.parameters
    shape = f.alloca(I64, MAX_RANK)
    f.call("gd_shape", None, spec, sizes, shape)
    with f.loop(place, f.add(place, I64.const(KEPT))) as loop:
        former = f.call("PyList_GetItem", PTR, kept, loop.index)
        assert former is not None
        free = f.call("gd_free", I64, former, spec, type_, shape)
        assert free is not None
        f.branch_if(f.compare("ne", free, I64.const(0)), "again", "other")
        f.label("again")
        f.call("Py_IncRef", None, former)
        f.ret(former)
        f.label("other")
    array = f.call("gd_new", PTR, spec, type_, bytes_, shape)
    assert array is not None
    f.branch_if(f.compare("eq", array, PTR.const(0)), "made", "keep")
    f.label("keep")
    latest = f.call("PyList_GetItem", PTR, kept, place)
    assert latest is not None
    for object_, index in ((latest, f.add(place, I64.const(KEPT - 1))), (array, place)):
        f.call("Py_IncRef", None, object_)  # which PyList_SetItem takes over
        f.call("PyList_SetItem", I32, kept, index, object_)
    f.branch("made")
    f.label("made")
    f.ret(array)


def _emit_shape(module: Module) -> None:
    """`gd_shape(spec, sizes, shape)`: the sizes of an output's axes."""
    f = module.function("gd_shape", [("spec", PTR), ("sizes", PTR), ("shape", PTR)], None, "internal")
    spec, sizes, shape = f.parameters
    codes = f.offset(spec, I64.const(2), "i64")
    with f.loop(I64.const(0), f.load(f.offset(spec, I64.const(1), "i64"), I64)) as axis:
        code = f.load(f.offset(codes, axis.index, "i64"), I64)
        named = f.compare("slt", code, I64.const(0))
        slot = _slot(f, sizes, f.sub(I64.const(-1), code), named)
        f.store(f.select(named, f.load(slot, I64), code), f.offset(shape, axis.index, "i64"))
    f.ret()


def _emit_free(module: Module) -> None:
    """`i64 gd_free(object, spec, type, shape)`: whether it is an array of that dtype and shape, as it was made, with one reference to it."""
    f = module.function("gd_free", [("object", PTR), ("spec", PTR), ("type", PTR), ("shape", PTR)], I64, "internal")
    array, spec, type_, shape = f.parameters
    as_made = I32.const(C_CONTIGUOUS_ALIGNED | WRITEABLE)
    require(f, f.compare("eq", f.load(at(f, array, OB_TYPE), PTR), type_), "no")
    require(f, f.compare("eq", f.load(at(f, array, REFERENCES), I32), I32.const(1)), "no")
    require(f, f.compare("eq", f.load(at(f, array, DESCRIPTOR), PTR), f.load(spec, PTR)), "no")
    require(f, f.compare("eq", f.bit_and(f.load(at(f, array, FLAGS), I32), as_made), as_made), "no")
    require(f, f.compare("eq", f.load(at(f, array, WEAK_REFERENCES), PTR), PTR.const(0)), "no")
    base = f.load(at(f, array, BASE), PTR)
    owner = f.select(f.compare("eq", base, PTR.const(0)), array, base)  # views of this array refer to the owner of the memory
    require(f, f.compare("eq", f.load(at(f, owner, OB_TYPE), PTR), type_), "no")
    require(f, f.compare("eq", f.load(at(f, owner, REFERENCES), I32), I32.const(1)), "no")
    require(f, f.compare("ne", f.bit_and(f.load(at(f, owner, FLAGS), I32), I32.const(OWNS_DATA)), I32.const(0)), "no")
    require(f, f.compare("eq", f.load(at(f, owner, WEAK_REFERENCES), PTR), PTR.const(0)), "no")
    rank = f.load(f.offset(spec, I64.const(1), "i64"), I64)
    require(f, f.compare("eq", f.convert("sext", f.load(at(f, array, RANK), I32), I64), rank), "no")
    sizes = f.load(at(f, array, DIMENSIONS), PTR)
    with f.loop(I64.const(0), rank) as axis:
        found, wanted = (f.load(f.offset(pointer, axis.index, "i64"), I64) for pointer in (sizes, shape))
        require(f, f.compare("eq", found, wanted), "no")
    f.ret(I64.const(1))
    f.label("no")
    f.ret(I64.const(0))


def _emit_new(module: Module) -> None:
    """`ptr gd_new(spec, type, bytes, shape)`: a new array. A large one is a view of bytes, so that it begins with a cache line."""
    f = module.function("gd_new", [("spec", PTR), ("type", PTR), ("bytes", PTR), ("shape", PTR)], PTR, "internal")
    spec, type_, bytes_, shape = f.parameters
    rank = f.load(f.offset(spec, I64.const(1), "i64"), I64)
    with f.loop(I64.const(0), rank, carried=[f.load(f.offset(spec, f.add(rank, I64.const(2)), "i64"), I64)]) as axis:
        axis.next[0] = f.mul(axis.carried[0], f.load(f.offset(shape, axis.index, "i64"), I64))
    f.branch_if(f.compare("slt", axis.carried[0], I64.const(LARGE)), "small", "large")
    f.label("small")
    f.ret(_new(f, type_, f.load(spec, PTR), rank, shape, PTR.const(0)))
    f.label("large")
    length = f.alloca(I64, 1)
    f.store(f.add(axis.carried[0], I64.const(LINE)), length)
    memory = _new(f, type_, bytes_, I64.const(1), length, PTR.const(0))
    require(f, f.compare("ne", memory, PTR.const(0)), "none")
    first = f.convert("ptrtoint", f.load(at(f, memory, DATA), PTR), I64)
    aligned = f.bit_and(f.add(first, I64.const(LINE - 1)), I64.const(-LINE))
    array = _new(f, type_, f.load(spec, PTR), rank, shape, f.convert("inttoptr", aligned, PTR))
    f.branch_if(f.compare("ne", array, PTR.const(0)), "view", "lost")
    f.label("view")
    f.call("PyArray_SetBaseObject", I32, array, memory)  # which takes over `memory`
    f.ret(array)
    f.label("lost")
    f.call("Py_DecRef", None, memory)
    f.branch("none")
    f.label("none")
    f.ret(PTR.const(0))


def _new(f: Function, type_: Value, descriptor: Value, rank: Value, shape: Value, data: Value) -> Value:
    """A new C-contiguous array, over `data` if that is not null."""
    f.call("Py_IncRef", None, descriptor)  # which PyArray_NewFromDescr takes over
    flags = I32.const(0 if data.text == "null" else C_CONTIGUOUS_ALIGNED | WRITEABLE)  # without data any flag would mean Fortran's order
    null = PTR.const(0)
    array = f.call("PyArray_NewFromDescr", PTR, type_, descriptor, f.convert("trunc", rank, I32), shape, null, data, flags, null)
    assert array is not None
    return array
