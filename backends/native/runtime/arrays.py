"""NumPy arrays in native code: checking one against what a program expects, and creating one."""

from __future__ import annotations

from graphdl.backends.native.llvm import I1, I32, I64, PTR, Function, Module, Value
from graphdl.backends.native.runtime.layout import C_CONTIGUOUS_ALIGNED, DESCRIPTOR, DIMENSIONS, FLAGS, MAX_RANK, OB_TYPE, RANK


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
    """`ptr gd_create(spec, type, sizes)`: a new array of an output's shape, or null with a Python error set."""
    f = module.function("gd_create", [("spec", PTR), ("type", PTR), ("sizes", PTR)], PTR, "internal")
    spec, type_, sizes = f.parameters
    shape = f.alloca(I64, MAX_RANK)
    descriptor, rank = f.load(spec, PTR), f.load(f.offset(spec, I64.const(1), "i64"), I64)
    codes = f.offset(spec, I64.const(2), "i64")
    with f.loop(I64.const(0), rank) as axis:
        code = f.load(f.offset(codes, axis.index, "i64"), I64)
        named = f.compare("slt", code, I64.const(0))
        slot = _slot(f, sizes, f.sub(I64.const(-1), code), named)
        f.store(f.select(named, f.load(slot, I64), code), f.offset(shape, axis.index, "i64"))
    f.call("Py_IncRef", None, descriptor)  # which PyArray_NewFromDescr takes over
    null = PTR.const(0)
    array = f.call("PyArray_NewFromDescr", PTR, type_, descriptor, f.convert("trunc", rank, I32), shape, null, null, I32.const(0), null)
    f.ret(array)
