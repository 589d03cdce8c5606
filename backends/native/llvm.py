"""A small writer of textual LLVM IR.

Text goes through LLVM's own parser, which is several times faster than building an object per instruction in Python,
and what is written here is what a person reads in `Executable.llvm_ir()`.

A `Function` holds a tree of scopes. A loop opens a child scope; while the child is open, code may still be emitted into
any enclosing scope, where it lands before the loop. Hoisting loop-invariant code is therefore a matter of choosing the scope.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

FLOATS = {"half": 16, "bfloat": 16, "float": 32, "double": 64}


@dataclass(frozen=True, slots=True)
class Type:
    """An LLVM first-class type: a scalar, or a vector of `lanes` of it when `lanes` is positive."""

    scalar: str
    lanes: int = 0

    @property
    def text(self) -> str:
        return f"<{self.lanes} x {self.scalar}>" if self.lanes else self.scalar

    @property
    def is_float(self) -> bool:
        return self.scalar in FLOATS

    @property
    def bits(self) -> int:
        if self.scalar == "ptr":
            return 64
        return FLOATS.get(self.scalar) or int(self.scalar[1:])

    @property
    def suffix(self) -> str:
        """The type's mangling in intrinsic names, e.g. `v16f32`."""
        kind = "p0" if self.scalar == "ptr" else ("bf16" if self.scalar == "bfloat" else f"f{self.bits}" if self.is_float else self.scalar)
        return f"v{self.lanes}{kind}" if self.lanes else kind

    def with_lanes(self, lanes: int) -> Type:
        return self if lanes == self.lanes else replace(self, lanes=lanes)

    def with_scalar(self, scalar: str) -> Type:
        return self if scalar == self.scalar else replace(self, scalar=scalar)

    def const(self, value: float | int | bool) -> Value:
        """A constant of this type; vectors hold it in every lane."""
        text = _float_text(float(value), self.scalar) if self.is_float else _integer_text(value, self)
        return Value(f"splat ({self.scalar} {text})" if self.lanes else text, self)


@dataclass(slots=True, unsafe_hash=True)
class Value:
    """An SSA name or a constant, with its type. It never changes; a frozen class would take three times as long to make one, of 100,000 in a program."""

    text: str
    type: Type

    @property
    def typed(self) -> str:
        return f"{self.type.text} {self.text}"


F16, BF16, F32, F64 = Type("half"), Type("bfloat"), Type("float"), Type("double")
I1, I8, I16, I32, I64, PTR = Type("i1"), Type("i8"), Type("i16"), Type("i32"), Type("i64"), Type("ptr")


def _float_text(value: float, scalar: str) -> str:
    if scalar in ("half", "bfloat"):
        return f"0x{'H' if scalar == 'half' else 'R'}{_half_bits(value, scalar):04X}"
    if scalar == "float":
        value = _round_to_single(value)
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def _round_to_single(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _half_bits(value: float, scalar: str) -> int:
    if scalar == "half":
        return int(struct.unpack("<H", struct.pack("<e", value))[0])
    bits = int(struct.unpack("<I", struct.pack("<f", value))[0])
    if value != value:
        return 0x7FC0
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16


def _integer_text(value: float | int | bool, type: Type) -> str:
    if type.scalar == "ptr":
        return "null"
    if type.scalar == "i1":
        return "true" if value else "false"
    bits = type.bits
    wrapped = int(value) & ((1 << bits) - 1)
    return str(wrapped - (1 << bits) if wrapped >> (bits - 1) else wrapped)


@dataclass
class Module:
    """A translation unit: functions, globals and the intrinsics they use."""

    target_triple: str = ""
    data_layout: str = ""
    functions: dict[str, Function] = field(default_factory=dict)
    globals: dict[str, str] = field(default_factory=dict)
    declarations: dict[str, str] = field(default_factory=dict)
    function_attributes: str = "nounwind"
    has_scale: bool = False  # the target multiplies whole 512-bit vectors by powers of two
    has_fma: bool = True  # the target has fused multiply-add, and with it instructions that round to integers and convert 16-bit floats

    def function(self, name: str, parameters: Sequence[tuple[str, Type]], returns: Type | None = None, linkage: str = "", attributes: str = "") -> Function:
        created = Function(self, name, tuple(parameters), returns, linkage, attributes)
        self.functions[name] = created
        return created

    def declare(self, name: str, signature: str) -> None:
        """Declare an external function, e.g. `declare("llvm.exp.f32", "float @llvm.exp.f32(float)")`."""
        self.declarations.setdefault(name, f"declare {signature}")

    def __str__(self) -> str:
        head = [f'target triple = "{self.target_triple}"'] if self.target_triple else []
        if self.data_layout:
            head.insert(0, f'target datalayout = "{self.data_layout}"')
        bodies = [str(function) for function in self.functions.values()]
        return "\n".join([*head, *self.globals.values(), *self.declarations.values(), *bodies, ""])


class Scope:
    """A straight stretch of code with nested loops; what is emitted here dominates what is emitted later and inside."""

    __slots__ = ("lines", "memo", "parent")

    def __init__(self, parent: Scope | None = None) -> None:
        self.lines: list[str | Scope] = []
        self.memo: dict[object, Value] = {}
        self.parent = parent

    def write(self, out: list[str]) -> None:
        for line in self.lines:
            if isinstance(line, str):
                out.append(line)
            else:
                line.write(out)


class Loop:
    """An open counted loop: `index`, the `carried` values of this iteration, and what the body sets as `next`."""

    __slots__ = ("carried", "index", "next")

    def __init__(self, index: Value, carried: list[Value]) -> None:
        self.index = index
        self.carried = carried
        self.next: list[Value] = list(carried)


class Function:
    """One function being written. Every emitting method returns the new `Value`."""

    def __init__(self, module: Module, name: str, parameters: tuple[tuple[str, Type], ...], returns: Type | None, linkage: str, attributes: str) -> None:
        self.module = module
        self.name = name
        self.returns = returns
        self.linkage = linkage
        self.attributes = attributes
        self.parameters = [Value(f"%{parameter}", type) for parameter, type in parameters]
        self.root = Scope()
        self.scope = self.root
        self._names = 0

    def __str__(self) -> str:
        lines: list[str] = []
        self.root.write(lines)
        returns = self.returns.text if self.returns else "void"
        parameters = ", ".join(value.typed for value in self.parameters)
        linkage = f"{self.linkage} " if self.linkage else ""
        attributes = " ".join(part for part in (self.module.function_attributes, self.attributes) if part)
        return "\n".join([f"define {linkage}{returns} @{self.name}({parameters}) {attributes} {{", "entry:", *lines, "}"])

    # -- writing ------------------------------------------------------------------------------------------------

    def fresh(self, stem: str = "v") -> str:
        self._names += 1
        return f"{stem}{self._names}"

    def void(self, text: str) -> None:
        self.scope.lines.append("  " + text)

    def emit(self, type: Type, text: str) -> Value:
        name = "%" + self.fresh()
        self.scope.lines.append(f"  {name} = {text}")
        return Value(name, type)

    def label(self, name: str) -> None:
        """Begin the block `name`; the block before must have been ended by a branch."""
        self.scope.lines.append(f"{name}:")

    def branch(self, label: str) -> None:
        self.void(f"br label %{label}")

    def branch_if(self, condition: Value, then: str, otherwise: str) -> None:
        self.void(f"br i1 {condition.text}, label %{then}, label %{otherwise}")

    def ret(self, value: Value | None = None) -> None:
        self.void(f"ret {value.typed}" if value else "ret void")

    @contextmanager
    def at(self, scope: Scope) -> Iterator[None]:
        """Emit into an enclosing `scope` for a while: the code lands before the loop that is open there."""
        saved, self.scope = self.scope, scope
        try:
            yield
        finally:
            self.scope = saved

    @contextmanager
    def apart(self) -> Iterator[None]:
        """A scope of its own in the same block: expressions are computed here anew, as at another point than before.

        Nothing may be emitted into the scope around it meanwhile: that would come after it.
        """
        scope = Scope(self.scope)
        self.scope.lines.append(scope)
        with self.at(scope):
            yield

    @contextmanager
    def loop(self, begin: Value, end: Value, step: Value | int = 1, carried: Sequence[Value] = ()) -> Iterator[Loop]:
        """`for (index = begin; index < end; index += step)`, signed. After it, `Loop.carried` holds the final values."""
        name = self.fresh("L")
        step_value = begin.type.const(step) if isinstance(step, int) else step
        index = Value(f"%{name}.i", begin.type)
        phis = [Value(f"%{name}.c{k}", value.type) for k, value in enumerate(carried)]
        outer, inner = self.scope, Scope(self.scope)
        opened = Loop(index, phis)
        self.scope = inner
        try:
            yield opened
        finally:
            self.scope = outer
        self.branch(f"{name}.pre")
        self.label(f"{name}.pre")
        self.branch(f"{name}.head")
        self.label(f"{name}.head")
        self.void(f"{index.text} = phi {begin.type.text} [ {begin.text}, %{name}.pre ], [ %{name}.n, %{name}.latch ]")
        for phi, first, following in zip(phis, carried, opened.next, strict=True):
            self.void(f"{phi.text} = phi {phi.type.text} [ {first.text}, %{name}.pre ], [ {following.text}, %{name}.latch ]")
        self.void(f"%{name}.t = icmp slt {index.typed}, {end.text}")
        self.branch_if(Value(f"%{name}.t", I1), f"{name}.body", f"{name}.exit")
        self.label(f"{name}.body")
        outer.lines.append(inner)
        self.branch(f"{name}.latch")
        self.label(f"{name}.latch")
        self.void(f"%{name}.n = add nsw {index.typed}, {step_value.text}")
        self.branch(f"{name}.head")
        self.label(f"{name}.exit")

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Emit a body that runs only if the scalar i1 `condition` holds. Values made inside must not be used after it."""
        name = self.fresh("I")
        outer, inner = self.scope, Scope(self.scope)
        self.scope = inner
        try:
            yield
        finally:
            self.scope = outer
        self.branch_if(condition, f"{name}.then", f"{name}.end")
        self.label(f"{name}.then")
        outer.lines.append(inner)
        self.branch(f"{name}.end")
        self.label(f"{name}.end")

    # -- instructions -------------------------------------------------------------------------------------------

    def _binary(self, integer: str, floating: str, x: Value, y: Value) -> Value:
        return self.emit(x.type, f"{floating if x.type.is_float else integer} {x.typed}, {y.text}")

    def add(self, x: Value, y: Value) -> Value:
        return self._binary("add", "fadd", x, y)

    def sub(self, x: Value, y: Value) -> Value:
        return self._binary("sub", "fsub", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        return self._binary("mul", "fmul", x, y)

    def div(self, x: Value, y: Value) -> Value:
        """Floating division, or signed integer division towards zero."""
        return self._binary("sdiv", "fdiv", x, y)

    def rem(self, x: Value, y: Value) -> Value:
        return self._binary("srem", "frem", x, y)

    def bit_and(self, x: Value, y: Value) -> Value:
        return self.emit(x.type, f"and {x.typed}, {y.text}")

    def bit_or(self, x: Value, y: Value) -> Value:
        return self.emit(x.type, f"or {x.typed}, {y.text}")

    def bit_xor(self, x: Value, y: Value) -> Value:
        return self.emit(x.type, f"xor {x.typed}, {y.text}")

    def shift_left(self, x: Value, y: Value) -> Value:
        return self.emit(x.type, f"shl {x.typed}, {y.text}")

    def shift_right(self, x: Value, y: Value, *, signed: bool = False) -> Value:
        return self.emit(x.type, f"{'ashr' if signed else 'lshr'} {x.typed}, {y.text}")

    def neg(self, x: Value) -> Value:
        return self.emit(x.type, f"fneg {x.typed}") if x.type.is_float else self.sub(x.type.const(0), x)

    def compare(self, predicate: str, x: Value, y: Value) -> Value:
        """`predicate` is LLVM's: `oeq`, `olt`, `une`, `uno` ... for floats, `eq`, `slt`, `ult` ... for integers."""
        return self.emit(Type("i1", x.type.lanes), f"{'fcmp' if x.type.is_float else 'icmp'} {predicate} {x.typed}, {y.text}")

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        return self.emit(x.type, f"select {condition.typed}, {x.typed}, {y.typed}")

    def convert(self, instruction: str, x: Value, to: Type) -> Value:
        """A conversion by name: `sitofp`, `fptosi`, `fpext`, `fptrunc`, `sext`, `zext`, `trunc`, `bitcast` ..."""
        return self.emit(to, f"{instruction} {x.typed} to {to.text}")

    def bitcast(self, x: Value, to: Type) -> Value:
        return self.convert("bitcast", x, to)

    def intrinsic(self, name: str, returns: Type, *arguments: Value, overload: Sequence[Type] | None = None) -> Value:
        """Call `llvm.<name>`, mangled with `overload` (the result type unless given)."""
        full = self._declare_intrinsic(name, returns, arguments, overload)
        return self.emit(returns, f"call {returns.text} @{full}({', '.join(a.typed for a in arguments)})")

    def intrinsic_void(self, name: str, *arguments: Value, overload: Sequence[Type]) -> None:
        full = self._declare_intrinsic(name, None, arguments, overload)
        self.void(f"call void @{full}({', '.join(a.typed for a in arguments)})")

    def _declare_intrinsic(self, name: str, returns: Type | None, arguments: Sequence[Value], overload: Sequence[Type] | None) -> str:
        mangled = overload if overload is not None else ([returns] if returns else [])
        full = ".".join(["llvm." + name, *(type.suffix for type in mangled)])
        signature = f"{returns.text if returns else 'void'} @{full}({', '.join(a.type.text for a in arguments)})"
        self.module.declare(full, signature)
        return full

    def call(self, name: str, returns: Type | None, *arguments: Value) -> Value | None:
        text = f"call {returns.text if returns else 'void'} @{name}({', '.join(a.typed for a in arguments)})"
        if returns is None:
            self.void(text)
            return None
        return self.emit(returns, text)

    def scaled(self, x: Value, n: Value) -> Value:
        """x * 2**n for a 512-bit vector: AVX-512's vscalef, all lanes on, rounded as the processor is set."""
        name, lanes, text = f"llvm.x86.avx512.mask.scalef.p{'s' if x.type.bits == 32 else 'd'}.512", f"i{x.type.lanes}", x.type.text
        self.module.declare(name, f"{text} @{name}({text}, {text}, {text}, {lanes}, i32)")
        return self.emit(x.type, f"call {text} @{name}({x.typed}, {n.typed}, {x.typed}, {lanes} -1, i32 4)")

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """x * y + z, rounded once where the target has the instruction (`llvm.fmuladd`)."""
        return self.intrinsic("fmuladd", x.type, x, y, z)

    # -- memory -------------------------------------------------------------------------------------------------

    def offset(self, pointer: Value, index: Value, scalar: str) -> Value:
        """The address of element `index` (i64) of an array of `scalar` at `pointer`."""
        if index.text == "0":
            return pointer
        return self.emit(Type("ptr", index.type.lanes), f"getelementptr {scalar}, {pointer.typed}, {index.typed}")

    def load(self, pointer: Value, type: Type, mask: Value | None = None, otherwise: Value | None = None) -> Value:
        """Contiguous load, aligned to the element only. Lanes off in `mask` are not touched and read as `otherwise` (zero)."""
        align = max(type.bits // 8, 1)
        if mask is None:
            return self.emit(type, f"load {type.text}, ptr {pointer.text}, align {align}")
        passthru = otherwise or type.const(0)
        name = f"llvm.masked.load.{type.suffix}.p0"
        self.module.declare(name, f"{type.text} @{name}(ptr, {mask.type.text}, {type.text})")
        return self.emit(type, f"call {type.text} @{name}(ptr align {align} {pointer.text}, {mask.typed}, {passthru.typed})")

    def store(self, value: Value, pointer: Value, mask: Value | None = None) -> None:
        align = max(value.type.bits // 8, 1)
        if mask is None:
            self.void(f"store {value.typed}, ptr {pointer.text}, align {align}")
            return
        name = f"llvm.masked.store.{value.type.suffix}.p0"
        self.module.declare(name, f"void @{name}({value.type.text}, ptr, {mask.type.text})")
        self.void(f"call void @{name}({value.typed}, ptr align {align} {pointer.text}, {mask.typed})")

    def stream(self, value: Value, pointer: Value, align: int) -> None:
        """A store past the caches. Other threads see it after a fence."""
        self.module.globals["0"] = "!0 = !{i32 1}"
        self.void(f"store {value.typed}, ptr {pointer.text}, align {align}, !nontemporal !0")

    def gather(self, pointers: Value, type: Type, mask: Value | None = None, otherwise: Value | None = None) -> Value:
        """Load one element per lane from a vector of pointers."""
        align = max(type.bits // 8, 1)
        on = mask or Type("i1", type.lanes).const(True)
        passthru = otherwise or type.const(0)
        name = f"llvm.masked.gather.{type.suffix}.{pointers.type.suffix}"
        self.module.declare(name, f"{type.text} @{name}({pointers.type.text}, {on.type.text}, {type.text})")
        return self.emit(type, f"call {type.text} @{name}({pointers.type.text} align {align} {pointers.text}, {on.typed}, {passthru.typed})")

    def scatter(self, value: Value, pointers: Value, mask: Value | None = None) -> None:
        align = max(value.type.bits // 8, 1)
        on = mask or Type("i1", value.type.lanes).const(True)
        name = f"llvm.masked.scatter.{value.type.suffix}.{pointers.type.suffix}"
        self.module.declare(name, f"void @{name}({value.type.text}, {pointers.type.text}, {on.type.text})")
        self.void(f"call void @{name}({value.typed}, {pointers.type.text} align {align} {pointers.text}, {on.typed})")

    def alloca(self, type: Type, count: int, align: int = 64) -> Value:
        """Stack storage, always made in the entry block."""
        name = "%" + self.fresh("a")
        self.root.lines.insert(0, f"  {name} = alloca {type.text}, i64 {count}, align {align}")
        return Value(name, PTR)

    # -- vectors ------------------------------------------------------------------------------------------------

    def splat(self, x: Value, lanes: int) -> Value:
        """`x` in every lane; constants stay constants."""
        if x.type.lanes == lanes:
            return x
        if not x.text.startswith("%"):
            return Value(f"splat ({x.type.scalar} {x.text})", x.type.with_lanes(lanes))
        to = x.type.with_lanes(lanes)
        one = self.emit(to, f"insertelement {to.text} poison, {x.typed}, i64 0")
        return self.emit(to, f"shufflevector {to.text} {one.text}, {to.text} poison, <{lanes} x i32> zeroinitializer")

    def lanes_index(self, type: Type) -> Value:
        """The constant vector <0, 1, 2, ...> of an integer vector type."""
        return Value("<" + ", ".join(f"{type.scalar} {k}" for k in range(type.lanes)) + ">", type)

    def shuffle(self, x: Value, y: Value, indices: Sequence[int]) -> Value:
        to = x.type.with_lanes(len(indices))
        mask = ", ".join(f"i32 {k}" for k in indices)
        return self.emit(to, f"shufflevector {x.typed}, {y.typed}, <{len(indices)} x i32> <{mask}>")

    def extract(self, x: Value, lane: int) -> Value:
        return self.emit(x.type.with_lanes(0), f"extractelement {x.typed}, i64 {lane}")

    def tail_mask(self, remaining: Value, lanes: int) -> Value:
        """Lanes k with k < `remaining` (i64), compared in narrow integers: as few registers as the lanes' numbers need."""
        narrow = I8 if lanes < 128 else I16
        bounded = self.intrinsic("smax", I64, self.intrinsic("smin", I64, remaining, I64.const(lanes)), I64.const(0))
        return self.compare("slt", self.lanes_index(narrow.with_lanes(lanes)), self.splat(self.convert("trunc", bounded, narrow), lanes))

    # -- atomics ------------------------------------------------------------------------------------------------

    def atomic_load(self, pointer: Value, type: Type, order: str = "acquire") -> Value:
        """`order` is LLVM's: `monotonic`, `acquire`, `release`, `acq_rel`, `seq_cst`."""
        return self.emit(type, f"load atomic {type.text}, ptr {pointer.text} {order}, align {type.bits // 8}")

    def atomic_store(self, value: Value, pointer: Value, order: str = "release") -> None:
        self.void(f"store atomic {value.typed}, ptr {pointer.text} {order}, align {value.type.bits // 8}")

    def atomic_rmw(self, operation: str, pointer: Value, value: Value, order: str = "acq_rel") -> Value:
        """Read, combine by `xchg`, `add`, `sub`, `or` ..., write; returns what was there before."""
        return self.emit(value.type, f"atomicrmw {operation} ptr {pointer.text}, {value.typed} {order}")

    def compare_exchange(self, pointer: Value, expected: Value, desired: Value, order: str = "acq_rel") -> tuple[Value, Value]:
        """Write `desired` if `expected` is there. Returns what was there and whether it was written (i1)."""
        pair = f"{{ {expected.type.text}, i1 }}"
        result = self.emit(expected.type, f"cmpxchg ptr {pointer.text}, {expected.typed}, {desired.typed} {order} acquire")
        old = self.emit(expected.type, f"extractvalue {pair} {result.text}, 0")
        return old, self.emit(I1, f"extractvalue {pair} {result.text}, 1")

    def fence(self, order: str = "seq_cst") -> None:
        self.void(f"fence {order}")

    def pause(self) -> None:
        """Tell the processor that this is a spinning loop; nothing where the module's triple has no such hint."""
        architecture = self.module.target_triple.split("-")[0]
        if architecture == "x86_64":
            self.intrinsic_void("x86.sse2.pause", overload=())
        elif architecture in ("aarch64", "arm64"):
            self.intrinsic_void("aarch64.hint", I32.const(1), overload=())
