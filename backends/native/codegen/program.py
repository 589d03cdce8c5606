"""A whole program as one module: kernel functions, and one entry that runs them in order with a planned arena."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from graphdl.kernel.counting import bytes_of_type
from graphdl.kernel.expression import Buffer
from graphdl.kernel.program import Kernel, Program, Scatter, Step
from graphdl.lowering.memory import Interval, Plan, intervals, plan
from graphdl.sizes import Atom, Dim, SymbolAtom, as_size, substitute

from ..contraction import Shape
from ..contraction import plan as plan_contraction
from ..llvm import I1, I64, PTR, Function, Module, Value
from ..target import Target
from .affine import flatten, share
from .emitter import Emitter
from .function import Arguments, KernelFunction
from .nest import emit_nest, schedule_nest, work_of
from .product import Product, emit_product, match_product
from .steps import emit_cumulative, emit_scatter

Values = dict[Atom, Dim]
SMALL_PRODUCT = 512  # scalar operations below which a plain nest is as good as the packed engine
PARALLEL_WORK = 60_000  # scalar operations below which waking the other threads costs more than it gains


@dataclass(frozen=True)
class Launch:
    """One call of a kernel function: over `tasks` tasks, by all threads if `work` is worth it."""

    function: str
    arguments: Arguments
    tasks: Dim
    work: Dim
    step: Step
    values: Values  # numbers that the function takes as arguments


@dataclass
class Emitted:
    """The module of a program, and what is needed to run and to explain it."""

    module: Module
    launches: list[Launch]
    plan: Plan
    static: list[Buffer]  # parameters and constants, in the order of their pointers
    sites: list[str] = field(default_factory=list)


class ProgramEmitter:
    """Emits every step of a program; equal kernels are written once."""

    def __init__(self, program: Program, target: Target) -> None:
        self.program = program
        self.target = target
        self.module = Module(target_triple=target.triple, has_fma=target.has_fma)
        self.launches: list[Launch] = []
        self.scratch: list[Interval] = []
        self._known: dict[str, str] = {}

    def emit(self, symbols: Sequence[str]) -> Emitted:
        for position, step in enumerate(self.program.steps):
            self._step(position, step)
        program = self.program
        bytes_of = {buffer: bytes_of_type(buffer.type) for buffer in program.temporaries}
        lives = sorted([*intervals(program, bytes_of), *self.scratch], key=lambda life: life.first)
        planned = plan(lives)
        static = [*program.parameters, *program.constants]
        EntryWriter(self.module, program, static, self.launches, planned, symbols).write()
        return Emitted(self.module, self.launches, planned, static, program.sites)

    def _step(self, position: int, step: Step) -> None:
        name = f"k{len(self.launches)}_{step.name}"
        if isinstance(step, Kernel):
            self._kernel(position, name, step)
            return
        kernel = KernelFunction(self.module, self.target, name)
        tasks, work = emit_scatter(kernel, step) if isinstance(step, Scatter) else emit_cumulative(kernel, step)
        self._launch(name, kernel.arguments, tasks, work, step)

    def _kernel(self, position: int, name: str, step: Kernel) -> None:
        flat = flatten(step)
        shared, values = share(flat)
        product = match_product(shared)
        if product is not None and work_of(flat) not in range(SMALL_PRODUCT):
            self._product(position, name, step, product, values)
            return
        schedule = schedule_nest(flat, self.target)
        work = work_of(flat)
        if schedule.kind in ("map", "column"):
            flat, schedule = shared, schedule_nest(shared, self.target)
        kernel = KernelFunction(self.module, self.target, name)
        emit_nest(kernel, flat, schedule)
        self._launch(name, kernel.arguments, substitute(schedule.tasks, values), work, step, values)

    def _product(self, position: int, name: str, step: Kernel, product: Product, values: Values) -> None:
        """The packs and the compute kernel, with scratch memory for what is packed."""
        shape = Shape(*(substitute(size, values) for size in product.shape))  # type: ignore[type-var]
        made = emit_product(self.module, self.target, name, product, shape)
        needs = plan_contraction(made.schedule, shape)  # type: ignore[type-var]
        for buffer, size in ((made.packed_a, needs.packed_a_bytes), (made.packed_b, needs.packed_b_bytes)):
            self.scratch.append(Interval(buffer, position, position, size))
        if made.contraction.pack_a:
            self._launch(made.contraction.pack_a, made.arguments, needs.pack_a_tasks, shape.batch * shape.m * shape.k, step, values)
        if made.contraction.pack_b:
            self._launch(made.contraction.pack_b, made.arguments, needs.pack_b_tasks, shape.batch * shape.n * shape.k, step, values)
        work = shape.batch * shape.m * shape.n * shape.k // 4
        self._launch(made.contraction.compute, made.arguments, needs.compute_tasks, work, step, values)

    def _launch(self, name: str, arguments: Arguments, tasks: Dim, work: Dim, step: Step, values: Values | None = None) -> None:
        """Note a launch; a function whose text is known already is dropped for the one before."""
        text = str(self.module.functions[name]).replace(f"@{name}(", "@(")
        known = self._known.setdefault(text, name)
        if known != name:
            del self.module.functions[name]
        self.launches.append(Launch(known, arguments, tasks, work, step, values or {}))


class EntryWriter:
    """`entry` and `arena_bytes` of a program. Subclasses write entries that watch the program run.

    The table of pointers holds inputs, outputs, parameters, constants, the thread pool and the arena, in this order.
    """

    name = "entry"

    def __init__(self, module: Module, program: Program, static: Sequence[Buffer], launches: Sequence[Launch], planned: Plan, symbols: Sequence[str]) -> None:
        self.module, self.program, self.launches, self.planned = module, program, launches, planned
        self.symbols = symbols
        listed = [*program.inputs, *program.outputs, *static]
        self.slots = {buffer.storage: position for position, buffer in enumerate(listed)}
        self.pool_slot = len(listed)
        self.state = {buffer.storage for buffer in program.parameters}

    def write(self) -> None:
        self._arena_bytes()
        self.write_entry()

    def _arena_bytes(self) -> None:
        f = self.module.function("arena_bytes", [("sizes", PTR)], I64)
        f.ret(size_emitter(f, f.parameters[0], self.symbols).index(self.planned.total))

    def write_entry(self) -> None:
        f = self.module.function(self.name, [("pointers", PTR), ("sizes", PTR), ("threads", I64)], I64)
        self.f = f
        self.pointers, sizes, self.threads = f.parameters
        self.index = size_emitter(f, sizes, self.symbols).index
        self.status = f.alloca(I64, 1, 8)
        f.store(I64.const(0), self.status)
        most = max((len(launch.arguments) for launch in self.launches), default=1)
        self.args = f.alloca(I64, most, 64)
        for position, launch in enumerate(self.launches):
            if any(buffer.storage in self.state for buffer in launch.step.written) and not self._checked_since(position):
                self._stop_if_failed()
            self.write_launch(launch)
        f.ret(f.load(self.status, I64))

    def _checked_since(self, position: int) -> bool:
        """Whether the step before wrote state too, so that the check was made already."""
        return position > 0 and any(buffer.storage in self.state for buffer in self.launches[position - 1].step.written)

    def _stop_if_failed(self) -> None:
        """State is not touched after an index was found out of range."""
        if not self.program.sites:
            return
        f = self.f
        failed = f.compare("ne", f.load(self.status, I64), I64.const(0))
        stop, go_on = f.fresh("stop"), f.fresh("on")
        f.branch_if(failed, stop, go_on)
        f.label(stop)
        f.ret(f.load(self.status, I64))
        f.label(go_on)

    def write_launch(self, launch: Launch) -> None:
        f = self.f
        f.store(self.status, self.args)
        for buffer, slot in launch.arguments.buffers.items():
            f.store(self._address(buffer), f.offset(self.args, I64.const(slot), "i64"))
        for name, slot in launch.arguments.symbols.items():
            f.store(self.index(launch.values.get(SymbolAtom(name), as_size(SymbolAtom(name)))), f.offset(self.args, I64.const(slot), "i64"))
        tasks = self.index(launch.tasks)
        small = isinstance(launch.work, int) and launch.work < PARALLEL_WORK
        if small or launch.tasks == 1:
            f.call(launch.function, None, self.args, I64.const(0), tasks)
            return
        large = I1.const(True) if isinstance(launch.work, int) else f.compare("sge", self.index(launch.work), I64.const(PARALLEL_WORK))
        threads = f.select(large, self.threads, I64.const(1))
        pool = self._pointer(self.pool_slot)
        f.void(f"call void {pool.text}(ptr @{launch.function}, {self.args.typed}, {tasks.typed}, {threads.typed})")

    def _address(self, buffer: Buffer) -> Value:
        if buffer in self.slots:
            return self._pointer(self.slots[buffer])
        arena = self._pointer(self.pool_slot + 1)
        return self.f.offset(arena, self.index(self.planned.offsets.get(buffer, 0)), "i8")

    def _pointer(self, slot: int) -> Value:
        return self.f.load(self.f.offset(self.pointers, I64.const(slot), "ptr"), PTR)


def size_emitter(f: Function, sizes: Value, symbols: Sequence[str]) -> Emitter:
    """An emitter for size polynomials only; `sizes` points at the values of `symbols`, in their order."""
    memo: dict[str, Value] = {}
    positions = {name: position for position, name in enumerate(symbols)}

    def symbol(name: str) -> Value:
        if name not in memo:
            memo[name] = f.load(f.offset(sizes, I64.const(positions[name]), "i64"), I64)
        return memo[name]

    return Emitter(f, Target("", "", "", 16, 16, False, False), pointer=_no_pointer, symbol=symbol, report=_no_report)


def _no_pointer(buffer: Buffer) -> Value:
    raise AssertionError("sizes have no buffers")


def _no_report(bad: Value, site: int) -> None:
    raise AssertionError("sizes are not read from data")


def emit_program(program: Program, target: Target, symbols: Sequence[str]) -> Emitted:
    """Emit `program` for `target`; `symbols` are the sizes given at a call, in the order of the table of sizes."""
    return ProgramEmitter(program, target).emit(symbols)


