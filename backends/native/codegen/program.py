"""A whole program as one module: kernel functions, and one entry that runs them in order with a planned arena."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from graphdl.kernel.counting import bytes_of_type
from graphdl.kernel.expression import Buffer, Expr, Load, Loaded, index_atoms, walk
from graphdl.kernel.program import Branch, Control, Cumulative, Kernel, Loop, Program, Scatter, Step, While
from graphdl.lowering.memory import Interval, Plan, Timeline, plan, temporaries_of
from graphdl.record import record
from graphdl.sizes import Dim, substitute
from graphdl.sizes import product as whole

from ..contraction import Chooser, Shape, modelled
from ..contraction import plan as plan_contraction
from ..llvm import Module
from ..target import Target
from .affine import Flat, flatten
from .blocks import in_blocks
from .depthwise import emit_planes
from .entry import EntryWriter
from .extent import name_extents
from .form import Form, Key, form_of
from .function import Arguments, KernelFunction
from .joining import joined_parts
from .launch import Choice, Item, Launch, Repetition, Values, Waiting, launches_of, parts_of
from .nest import has_short_rows, schedule_nest, work_of
from .planes import Cut, Plane, cut_of, plane_of, tasks_of
from .product import Product
from .product_match import in_panels, match_product
from .settling import Settled, SettlingEntry, settled
from .sharing import share
from .steps import emit_cumulative, emit_scatter
from .stream import STREAMS, streaming
from .written import WrittenFunctions, replace_buffer

SMALL_PRODUCT = 512  # scalar operations below which a plain nest is as good as the packed engine


@dataclass
class Emitted:
    """The module of a program, and what is needed to run and to explain it."""

    module: Module
    items: list[Item]
    plan: Plan
    static: list[Buffer]  # parameters and constants, in the order of their pointers, then what is settled
    sites: list[str] = field(default_factory=list)
    settled: Settled = field(default_factory=Settled)

    @property
    def launches(self) -> list[Launch]:
        """Every launch once, also of those in loops."""
        return list(launches_of(self.items))


@record
class _Frame:
    """An open loop: what comes before it, and the storages that it writes."""

    step: Loop | While
    before: list[Item]
    written: frozenset[Buffer]
    times: Dim

    def changes(self, x: Expr) -> bool:
        """Whether the value of `x` may differ between iterations of the loop."""
        counter = self.step.counter if isinstance(self.step, Loop) else None
        return any(isinstance(y, Load) and y.buffer.storage in self.written for y in walk(x)) or any(atom == counter for atom in index_atoms(x))


@record
class _Emission:
    """What emitting a step of this form has added to the program."""

    form: Form
    items: list[Item]
    scratch: list[Interval]


class ProgramEmitter:
    """Emits every step of a program; equal kernels are written once."""

    def __init__(self, program: Program, target: Target, written: Callable[[Module], None], choose: Chooser) -> None:
        self.program = program
        self._hear = written
        self.target = target
        self.module = Module(target_triple=target.triple, has_fma=target.has_fma, has_scale=target.has_scale)
        self.timeline = Timeline(program)
        self.items: list[Item] = []
        self.frames: list[_Frame] = []
        self.count = 0
        self.scratch: list[Interval] = []
        self.written = WrittenFunctions(self.module, target, choose)
        self._twins: dict[Key, _Emission] = {}

    def emit(self, symbols: Sequence[str], writer: type[EntryWriter], *, frozen: bool) -> Emitted:
        program = self.program
        self._steps(program)
        bytes_of = {buffer: bytes_of_type(buffer.type) for buffer in temporaries_of(program)}
        lives = sorted([*self.timeline.intervals(bytes_of), *self.scratch], key=lambda life: life.first)
        once = settled(program, self.items, lives) if frozen else Settled()
        items, planned = once.rest(self.items), plan(once.lives(lives))
        static = [*program.parameters, *program.constants, *once.sizes]
        writer(self.module, program, static, items, planned, symbols).write()
        if once.launches:
            SettlingEntry(self.module, program, static, once.prelude, planned, symbols).write_entry()
        return Emitted(self.module, items, planned, static, program.sites, once)

    def _steps(self, program: Program) -> None:
        for step in program.steps:
            if isinstance(step, Control):
                self._control(step)
            else:
                self._step(step)

    def _control(self, step: Loop | Branch | While) -> None:
        """The launches of the parts, in lists of their own."""
        outer = self.items
        if not isinstance(step, Branch):
            times = step.length if isinstance(step, Loop) else 1
            self.frames.append(_Frame(step, outer, frozenset(buffer.storage for buffer in step.written), times))
        item: Item = Repetition(step) if isinstance(step, Loop) else Choice(step) if isinstance(step, Branch) else Waiting(step)
        for part, items in zip(step.parts, parts_of(item), strict=True):
            self.items = items
            self._steps(part)
        if not isinstance(step, Branch):
            self.frames.pop()
        self.items = outer
        outer.append(item)

    def _step(self, step: Kernel | Scatter | Cumulative) -> None:
        form = form_of(step)
        twin = self._twins.get(form.key)
        if twin is not None and not (self.frames and twin.scratch):  # in a loop packing may move before it: each product for itself
            self._repeat(twin, form, step)
            return
        launches, scratch = len(self.items), len(self.scratch)
        self._emit(step)
        self._hear(self.module)
        if not self.frames or len(self.scratch) == scratch:
            self._twins[form.key] = _Emission(form, self.items[launches:], self.scratch[scratch:])

    def _repeat(self, twin: _Emission, form: Form, step: Step) -> None:
        """Launch again what an equal step has launched, with other buffers."""
        packed = {interval.buffer: replace_buffer(interval.buffer) for interval in twin.scratch}
        begin, end = self.timeline.span(step)
        self.scratch.extend(Interval(packed[interval.buffer], begin, end, interval.size) for interval in twin.scratch)
        for launch in twin.items:
            assert isinstance(launch, Launch)
            arguments = form.arguments_of(twin.form, launch.arguments).renamed(packed, {})
            self.items.append(replace(launch, arguments=arguments, step=step, times=_times(self.frames)))
        self.count += len(twin.items)

    def _emit(self, step: Kernel | Scatter | Cumulative) -> None:
        name = f"k{self.count}_{step.name}"
        if isinstance(step, Kernel):
            self._parts(step)
            return
        kernel = KernelFunction(self.module, self.target, name)
        tasks, work = emit_scatter(kernel, step) if isinstance(step, Scatter) else emit_cumulative(kernel, step)
        self._launch(name, kernel.arguments, tasks, work, step)

    def _parts(self, step: Kernel) -> None:
        """The launches of a kernel, or of its parts, which are one step all the same."""
        parts = joined_parts(step)
        for part in parts:
            first = len(self.items)
            self._kernel(f"k{self.count}_{step.name}", part)
            if len(parts) > 1:
                self.items[first:] = [replace(launch, step=step, part=part) for launch in self.items[first:] if isinstance(launch, Launch)]

    def _kernel(self, name: str, step: Kernel) -> None:
        flat = in_blocks(flatten(step))
        if not flat.stores:
            return
        named, extents = name_extents(flat)
        shared, numbers = share(named)
        values: Values = {**extents, **numbers}
        plane = plane_of(named)
        cut = cut_of(plane, named, self.target) if plane is not None else None
        if plane is not None and cut is not None:
            self._planes(name, step, named, plane, cut, extents)
            return
        product = match_product(shared, flat)
        if product is not None and work_of(flat) not in range(SMALL_PRODUCT):
            self._product(name, step, shared, product, values)
            return
        schedule = schedule_nest(named, self.target)
        work, streams = work_of(flat), streaming(flat, schedule.lanes, self.target)
        values[STREAMS] = streams
        if schedule.kind not in ("row", "whole"):
            if has_short_rows(named):
                shared, numbers = share(named, named.axes[-1])
                values = {**extents, **numbers, STREAMS: streams}
            named, schedule = shared, schedule_nest(shared, self.target, len(schedule.inner))
        function, arguments = self.written.nest(name, named, schedule, may_stream=streams != 0)
        self._launch(function, arguments, substitute(schedule.tasks, values), work, step, values)

    def _planes(self, name: str, step: Kernel, flat: Flat, plane: Plane, cut: Cut, values: Values) -> None:
        kernel = KernelFunction(self.module, self.target, name)
        emit_planes(kernel, flat, plane, cut)
        self._launch(name, kernel.arguments, substitute(tasks_of(plane, cut), values), work_of(flat), step, values)

    def _product(self, name: str, step: Kernel, shared: Flat, product: Product, values: Values) -> None:
        """The packs and the compute kernel, with scratch memory for what is packed. What does not change in a loop is packed before it."""
        product = product if self._outermost(product.b) else in_panels(product)
        shape = Shape(*(substitute(size, values) for size in product.shape))  # type: ignore[type-var]
        made = self.written.product(name, shared, product, shape)
        needs = plan_contraction(made.schedule, shape)  # type: ignore[type-var]
        sides = (product.b, product.a) if made.schedule.transposed else (product.a, product.b)
        packs = (
            (made.contraction.pack_a, made.packed_a, needs.packed_a_bytes, needs.pack_a_tasks, sides[0], shape.m),
            (made.contraction.pack_b, made.packed_b, needs.packed_b_bytes, needs.pack_b_tasks, sides[1], shape.n),
        )
        for function, buffer, size, tasks, operand, extent in packs:
            frame = self._outermost(operand)
            begin, end = self.timeline.span(frame.step if frame else step)
            self.scratch.append(Interval(buffer, begin, end, size))
            if function:
                slots = made.arguments.buffers
                sources = frozenset(slots[x.buffer.storage] for x in walk(operand) if isinstance(x, Load))
                work = shape.batch * extent * shape.k
                self._launch(function, made.arguments, tasks, work, step, values, frame, packed=slots[buffer], sources=sources)
        work = shape.batch * shape.m * shape.n * shape.k // (4 if product.integers is None else 16)
        self._launch(made.contraction.compute, made.arguments, needs.compute_tasks, work, step, values, schedule=made.schedule.cut.told)

    def _outermost(self, x: Expr) -> _Frame | None:
        """The outermost open loop in which `x` never changes, and fails no check of an index."""
        if any(isinstance(atom, Loaded) for atom in index_atoms(x)):
            return None
        inner = [k for k, frame in enumerate(self.frames) if frame.changes(x)]
        following = inner[-1] + 1 if inner else 0
        return self.frames[following] if following < len(self.frames) else None

    def _launch(
        self, name: str, arguments: Arguments, tasks: Dim, work: Dim, step: Step, values: Values | None = None,
        before: _Frame | None = None, schedule: str = "", packed: int = 0, sources: frozenset[int] = frozenset(),
    ) -> None:  # fmt: skip
        """Note a launch, here or before an open loop; a function whose text is known already is dropped for the one before."""
        known = self.written.first(name)
        open_frames = self.frames if before is None else self.frames[: self.frames.index(before)]
        closed = [frame.step.counter for frame in self.frames[len(open_frames) :] if isinstance(frame.step, Loop)]
        given: Values = dict(values or {})
        given.update((counter, 0) for counter in closed)
        self.count += 1
        items = self.items if before is None else before.before
        items.append(Launch(known, arguments, tasks, work, step, given, _times(open_frames), schedule, packed=packed, sources=sources))


def _times(frames: Sequence[_Frame]) -> Dim:
    """How often a step in these loops runs."""
    return whole(frame.times for frame in frames)


def emit_program(
    program: Program,
    target: Target,
    symbols: Sequence[str],
    writer: type[EntryWriter] = EntryWriter,
    written: Callable[[Module], None] = lambda module: None,
    choose: Chooser = modelled,
    *,
    frozen: bool = False,
) -> Emitted:
    """Emit `program` for `target`; `symbols` are the sizes given at a call, in the order of the table of sizes.

    `written` is called with the module whenever functions were added to it that will stay as they are; `choose` cuts products. With `frozen`, what depends
    on parameters alone is left to a function of its own, `settle`.
    """
    return ProgramEmitter(program, target, written, choose).emit(symbols, writer, frozen=frozen)
