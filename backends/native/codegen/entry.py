"""The entry of a program: one function that runs all launches in order, in native loops and branches where there are some."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from graphdl.kernel.expression import Buffer
from graphdl.kernel.program import Program
from graphdl.lowering.memory import Plan
from graphdl.sizes import Dim, SymbolAtom, as_size, symbols_of

from ..llvm import I1, I64, PTR, Function, Module, Scope, Value
from ..target import Target
from .emitter import Emitter
from .launch import Choice, Item, Launch, Repetition, Waiting, launches_of, writes
from .registers import MEMORY, to_register

PARALLEL_WORK = 60_000  # scalar operations below which waking the other threads costs more than it gains


class SizeEmitter:
    """Size polynomials in one function; `sizes` points at the values of `symbols`, in their order. Counters of open loops are sizes too."""

    def __init__(self, f: Function, sizes: Value, symbols: Sequence[str]) -> None:
        self.f, self.sizes = f, sizes
        self.positions = {name: position for position, name in enumerate(symbols)}
        self.counters: dict[str, Value] = {}
        self._emit = Emitter(f, Target("", "", "", 16, 16, False, False), pointer=_no_pointer, symbol=self._symbol, report=_no_report).index

    def index(self, size: Dim) -> Value:
        """The value of a size: computed once, before the loops, unless it changes with their counters."""
        if isinstance(size, int) or not self.counters.keys().isdisjoint(symbols_of(size)):
            return self._emit(size)
        return self.once(size, lambda: self._emit(size))

    def once(self, key: object, emit: Callable[[], Value]) -> Value:
        """A value that is the same in all of the function, from where it is first asked for on."""
        memo = self.f.root.memo
        if key not in memo:
            with self.f.at(self.f.root):
                memo[key] = emit()
        return memo[key]

    def _symbol(self, name: str) -> Value:
        if name in self.counters:
            return self.counters[name]
        return self.once(name, lambda: self.f.load(self.f.offset(self.sizes, I64.const(self.positions[name]), "i64"), I64))


def _no_pointer(buffer: Buffer) -> Value:
    raise AssertionError("sizes have no buffers")


def _no_report(bad: Value, site: int) -> None:
    raise AssertionError("sizes are not read from data")


class EntryWriter:
    """`entry` and `arena_bytes` of a program. Subclasses write entries that watch the program run.

    The table of pointers holds inputs, outputs, parameters, constants, the thread pool and the arena, in this order.
    """

    name = "entry"

    def __init__(self, module: Module, program: Program, static: Sequence[Buffer], items: Sequence[Item], planned: Plan, symbols: Sequence[str]) -> None:
        self.module, self.program, self.items, self.planned = module, program, items, planned
        self.launches = list(launches_of(items))
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
        f.ret(SizeEmitter(f, f.parameters[0], self.symbols).index(self.planned.total))

    def write_entry(self) -> None:
        f = self.module.function(self.name, [("pointers", PTR), ("sizes", PTR), ("threads", I64)], I64)
        self.f = f
        self.pointers, sizes, self.threads = f.parameters
        self.sizes = SizeEmitter(f, sizes, self.symbols)
        self.index = self.sizes.index
        self.status = f.alloca(I64, 1, 8)
        f.store(I64.const(0), self.status)
        most = max((len(launch.arguments) for launch in self.launches), default=1)
        self.args = f.alloca(I64, most, 64)
        self._held: dict[int, str] = {}  # what the slots of the arguments hold here, which kernels only read
        was_state = False
        for item in self.items:
            is_state = writes(item, self.state)
            if is_state and not was_state:
                self._stop_if_failed()  # state is not touched after an index was found out of range
            was_state = is_state
            self._item(item)
        f.ret(f.load(self.status, I64))

    def _stop_if_failed(self) -> None:
        if not self.program.sites:
            return
        f = self.f
        failed = f.compare("ne", f.load(self.status, I64), I64.const(0))
        stop, go_on = f.fresh("stop"), f.fresh("on")
        f.branch_if(failed, stop, go_on)
        f.label(stop)
        f.ret(f.load(self.status, I64))
        f.label(go_on)

    # -- loops and branches -------------------------------------------------------------------------------------

    def _item(self, item: Item) -> None:
        if isinstance(item, Launch):
            self.write_launch(item)
            self._new_block()
        elif isinstance(item, Repetition):
            self._repetition(item)
        elif isinstance(item, Choice):
            self._choice(item)
        else:
            self._waiting(item)

    def _new_block(self) -> None:
        """LLVM's time grows with the square of the length of a block."""
        following = self.f.fresh("next")
        self.f.branch(following)
        self.f.label(following)

    def _all(self, items: Sequence[Item]) -> None:
        """The items of a loop or a branch: before and after them it is not known how one came there."""
        self._held.clear()
        for item in items:
            self._item(item)
        self._held.clear()

    def _repetition(self, item: Repetition) -> None:
        with self.f.loop(I64.const(0), self.index(item.step.length)) as loop:
            self.sizes.counters[item.step.counter.key] = loop.index
            self._all(item.body)
            if item.check:
                self._stop_if_failed()

    def _choice(self, item: Choice) -> None:
        f = self.f
        holds = self._scalar(item.step.predicate)
        with f.when(holds):
            self._all(item.then)
        with f.when(f.bit_xor(holds, I1.const(True))):
            self._all(item.otherwise)

    def _waiting(self, item: Waiting) -> None:
        f = self.f
        again, body, done = (f.fresh(stem) for stem in ("again", "body", "done"))
        with self._apart():
            f.branch(again)
            f.label(again)
            self._all(item.condition)
            self._stop_if_failed()
            f.branch_if(self._scalar(item.step.predicate), body, done)
            f.label(body)
            self._all(item.body)
            f.branch(again)
        f.label(done)

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """A scope of its own: what is made in it is not used after it."""
        outer, inner = self.f.scope, Scope(self.f.scope)
        with self.f.at(inner):
            yield
        outer.lines.append(inner)

    def _scalar(self, buffer: Buffer) -> Value:
        """The one element of a buffer."""
        memory = MEMORY[buffer.type.dtype]
        address = self.f.offset(self._address(buffer.storage), self.index(buffer.offset), memory.scalar)
        return to_register(self.f, self.f.load(address, memory), buffer.type.dtype)

    # -- launches -----------------------------------------------------------------------------------------------

    def write_launch(self, launch: Launch) -> None:
        f = self.f
        self._hold(0, self.status)
        for buffer, slot in launch.arguments.buffers.items():
            self._hold(slot, self._address(buffer))
        for name, slot in launch.arguments.symbols.items():
            self._hold(slot, self.index(launch.values.get(SymbolAtom(name), as_size(SymbolAtom(name)))))
        tasks = self.index(launch.tasks)
        small = isinstance(launch.work, int) and launch.work < PARALLEL_WORK
        if small or launch.tasks == 1:
            f.call(launch.function, None, self.args, I64.const(0), tasks)
            return
        threads = self.threads
        if not isinstance(launch.work, int):
            large = f.compare("sge", self.index(launch.work), I64.const(PARALLEL_WORK))
            threads = f.select(large, threads, I64.const(1))
        pool = self._pointer(self.pool_slot)
        f.void(f"call void {pool.text}(ptr @{launch.function}, {self.args.typed}, {tasks.typed}, {threads.typed})")

    def _hold(self, slot: int, value: Value) -> None:
        """Write an argument, unless its slot holds it from a launch before: those of one product take the same."""
        if self._held.get(slot) != value.text:
            self.f.store(value, self.f.offset(self.args, I64.const(slot), "i64"))
            self._held[slot] = value.text

    def _address(self, buffer: Buffer) -> Value:
        if buffer in self.slots:
            return self._pointer(self.slots[buffer])
        offset = self.planned.offsets.get(buffer, 0)
        return self.sizes.once(("address", offset), lambda: self.f.offset(self._pointer(self.pool_slot + 1), self.index(offset), "i8"))

    def _pointer(self, slot: int) -> Value:
        return self.sizes.once(("pointer", slot), lambda: self.f.load(self.f.offset(self.pointers, I64.const(slot), "ptr"), PTR))
