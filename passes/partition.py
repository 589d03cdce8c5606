"""Which nodes one kernel computes.

Nodes are visited from the outputs back. Each joins the group of its readers where that loses nothing, else it starts a
group of its own. Legality is decided from the ops' own lowerings: at which indices a group reads a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from graphdl.ir import Graph, Node, Tensor
from graphdl.kernel.expression import Axis, Index, axes_of
from graphdl.kernel.pieces import pieces_of, share_reads
from graphdl.kernel.reading import Reading, reading_of
from graphdl.op import widens
from graphdl.sizes import Atom, Combined, Dim, as_size, atoms_of, substitute
from graphdl.types import numpy_dtype

from .narrow import is_narrow
from .unpacking import Unpacking

MAX_NODES = 48  # a kernel with more would spill registers and take long to compile
MAX_INPUTS = 24
HEAVY = 10  # scalar operations from which computing twice costs more than storing
COSTLY = 4  # scalar operations, such as a root or a division, that are not done again for every row of a picture
LITTLE = 2  # scalar operations that every reader may do again
KINDS = ("pointwise", "injective", "reduction", "row", "contraction")


@dataclass(eq=False)
class Group:
    """Nodes that one kernel computes, over the axes of its domain.

    `accesses` holds, for every member, the indices over `axes` at which it is needed. `depth` is the number of leading
    axes on which reductions depend, None without reductions. One `in_pieces` computes one piece of a result, and so all of them.
    """

    axes: tuple[Axis, ...]
    shape: Index
    accesses: dict[Node, set[Index]] = field(default_factory=dict)
    outputs: dict[Node, None] = field(default_factory=dict)
    inputs: set[Tensor] = field(default_factory=set)
    depth: int | None = None
    has_contraction: bool = False
    in_pieces: bool = False

    @property
    def identity(self) -> Index:
        return tuple(as_size(axis) for axis in self.axes)


class Partition:
    """The grouping of one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.uses: dict[Node, dict[Group, set[Index]]] = {node: {} for node in graph.nodes}
        self.stored: set[Node] = {tensor.node for tensor in graph.outputs}
        self.home: dict[Node, Group] = {}
        self.unpacking = Unpacking()

    def run(self) -> dict[Node, Group]:
        """The home of every node that is stored; fusable nodes without one are computed only inside groups."""
        for node in reversed(self.graph.nodes):
            if node.op.pattern in KINDS:
                self._place(node)
                continue
            if node.operands:
                self._whole(node)
            self._read_by(node, self.uses[node])
        self._merge_siblings()
        return self.home

    def _read_by(self, node: Node, groups: Iterable[Group]) -> None:
        for group in groups:
            group.inputs.add(node.output)

    def _merge_siblings(self) -> None:
        """Groups over one domain that read the same tensor, and of which neither needs the other, become one: it is read once."""
        readers: dict[tuple[Tensor, Index, int | None], Group] = {}
        for group in dict.fromkeys(self.home.values()):
            if not group.axes or group.has_contraction or group.depth == len(group.axes):
                continue
            shared = [(tensor, group.shape, group.depth) for tensor in sorted(group.inputs, key=lambda one: one.node.number) if self._goes_along(tensor, group)]
            siblings = (readers[key] for key in shared if key in readers)
            sibling = next((one for one in siblings if self._may_merge(one, group)), group)
            if sibling is not group:
                self._merge(sibling, group)
            for key in shared:
                readers.setdefault(key, sibling)

    def _unite_readers(self, node: Node, users: dict[Group, set[Index]]) -> None:
        """Groups over the domain of `node` that all need it, and of which none needs another, become one: it need not be stored for them."""
        own = [group for group, accesses in users.items() if accesses == {group.identity} and group.shape == node.output.shape]
        alike = [group for group in own if group.axes and not group.has_contraction and group.depth is None]
        for other in alike[1:]:
            if self._may_merge(alike[0], other):
                self._merge(alike[0], other)

    def _goes_along(self, tensor: Tensor, group: Group) -> bool:
        """Whether a group reads a tensor in the order of its own domain: two that read it in different orders would gain nothing together."""
        return tensor.shape == group.shape and any(not _is_turned(index, group) for index in self.uses[tensor.node][group])

    def _may_merge(self, one: Group, other: Group) -> bool:
        fits = len(one.accesses) + len(other.accesses) <= MAX_NODES and len(one.inputs | other.inputs) <= MAX_INPUTS
        return fits and not self._reaches(one, other) and not self._reaches(other, one)

    def _merge(self, into: Group, group: Group) -> None:
        same: dict[Atom, Dim] = dict(zip(group.axes, into.identity, strict=True))

        def moved(accesses: Iterable[Index]) -> set[Index]:
            return {tuple(substitute(part, same) for part in index) for index in accesses}

        for node, accesses in group.accesses.items():
            into.accesses.setdefault(node, set()).update(moved(accesses))
            for operand in node.operands:
                self.uses[operand.node].setdefault(into, set()).update(moved(self.uses[operand.node].pop(group, ())))
        for node in group.outputs:
            self.home[node] = into
        into.outputs.update(group.outputs)
        into.inputs |= group.inputs
        into.in_pieces |= group.in_pieces

    def _whole(self, node: Node) -> None:
        """A node that takes whole tensors and is no part of any group."""
        group = Group((), ())
        group.outputs = dict.fromkeys([node])
        self.home[node] = group
        for operand in node.operands:
            self.stored.add(operand.node)
            self.uses[operand.node].setdefault(group, set())

    def _place(self, node: Node) -> None:
        reading = reading_of(node)
        users = self.uses[node]
        if len(users) > 1 and not reading.is_free and not self._is_thin(node) and not is_narrow(node):
            self._unite_readers(node, users)
        joined = [group for group, accesses in users.items() if self._may_join(node, reading, group, accesses)]
        stored = node in self.stored or len(joined) < len(users)
        if not reading.is_free and (stored or (len(users) > 1 and not self._is_thin(node) and not is_narrow(node))) and not self.unpacking.is_unpacked(node):
            self._store(node, reading, users)
            return
        for group in joined:
            self._join(node, reading, group, users[group])
        if stored:
            self._store(node, reading, {group: a for group, a in users.items() if group not in joined})

    def _store(self, node: Node, reading: Reading, readers: dict[Group, set[Index]]) -> None:
        """Give `node` a buffer: written by a group that computes it anyway, or by a group of its own."""
        self.stored.add(node)
        if node.op.is_view:  # no kernel: another view of the operand's memory
            self._whole(node)
        else:
            home = next((group for group in readers if self._may_host(node, reading, group, readers)), None)
            if home is None:
                reading, home = _own_group(node, reading)
            self._join(node, reading, home, readers.get(home, {home.identity}))
            home.outputs[node] = None
            self.home[node] = home
        self._read_by(node, (group for group in readers if group is not self.home[node]))

    def _join(self, node: Node, reading: Reading, group: Group, accesses: set[Index]) -> None:
        group.accesses[node] = set(accesses)
        for index in accesses:
            for position, moved in reading.at(index):
                self.uses[node.operands[position].node].setdefault(group, set()).add(moved)
        if node.op.pattern == "contraction":
            group.has_contraction = True
            group.depth = len(group.axes)
        elif reading.depth is not None:
            group.depth = reading.depth if group.depth is None else group.depth

    def _is_thin(self, node: Node) -> bool:
        """Whether all readers may as well read what a node is computed from: a tensor of its size that is stored anyway, as others read it too."""
        if any(len(accesses) > 1 or not all(_covers(index, group) for index in accesses) for group, accesses in self.uses[node].items()):
            return False
        source = _large_source(node)
        while source is not None and len(self.graph.users[source.node]) == 1:
            source = _large_source(source.node)
        return source is not None

    # -- rules --------------------------------------------------------------------------------------------------

    def _may_host(self, node: Node, reading: Reading, group: Group, readers: dict[Group, set[Index]]) -> bool:
        """Whether `group` may also write `node`: it computes each element once, and no other reader comes before the group."""
        accesses = readers[group]
        if accesses != {group.identity[: node.output.ndim]} or node.output.shape != group.shape[: node.output.ndim]:
            return False
        of_rows = group.depth is not None and not group.has_contraction and 0 < node.output.ndim == group.depth
        if (node.output.ndim < len(group.axes) and not of_rows) or not self._may_join(node, reading, group, accesses):
            return False
        return not any(self._reaches(other, group) for other in readers if other is not group)

    def _reaches(self, start: Group, goal: Group) -> bool:
        """Whether results of `start` are needed, however indirectly, by `goal`: sought from there, as little is placed yet of what comes before it."""
        seen, stack = {id(goal)}, [goal]
        while stack:
            group = stack.pop()
            if group is start:
                return True
            sources = (self.home.get(tensor.node) for tensor in group.inputs)
            fresh = [source for source in sources if source is not None and id(source) not in seen]
            seen.update(map(id, fresh))
            stack.extend(fresh)
        return False

    def _may_join(self, node: Node, reading: Reading, group: Group, accesses: set[Index]) -> bool:
        """Whether `group` may compute `node` in place of loading it."""
        if len(group.accesses) >= MAX_NODES or len(group.inputs) >= MAX_INPUTS:
            return False
        if not accesses:  # read by something that takes whole tensors
            return False
        if group.in_pieces and reading.depth is not None:
            return False
        if node.op.pattern == "contraction":
            return group.depth is None and accesses == {group.identity} and node.output.shape == group.shape
        if reading.depth is not None:
            return self._reduction_fits(node, reading, group, accesses)
        if reading.is_free:
            return not group.has_contraction or all(_stays_readable(index, read, group) for index in accesses for _, read in reading.at(index))
        if group.has_contraction and any(not _within(index, group) for index in accesses):
            return widens(node) or is_narrow(node) or self.unpacking.is_unpacked(node)  # other sides of a product are read where they lie
        if node.op.pattern == "reduction" and accesses != {group.identity[: node.output.ndim]}:
            return False  # written out, it reads much for each result
        if reading.flops >= COSTLY and any(_is_repeated(index, group) for index in accesses):
            return False
        heavy = reading.flops >= HEAVY
        return not heavy or (len(accesses) <= 2 and all(_covers(index, group) for index in accesses))

    def _reduction_fits(self, node: Node, reading: Reading, group: Group, accesses: set[Index]) -> bool:
        """Reductions are computed once per point of leading axes: all of the group's over the same ones."""
        assert reading.depth is not None
        rank = node.output.ndim
        if group.has_contraction or accesses != {group.identity[:rank]} or node.output.shape != group.shape[:rank]:
            return False
        if reading.depth == len(group.axes) and group.depth is None:
            return len(reading.reads) <= 2
        return reading.depth < len(group.axes) and group.depth in (None, reading.depth)


def _own_group(node: Node, reading: Reading) -> tuple[Reading, Group]:
    """A group for `node` alone, over one of the pieces that it is made of if it is, and how the node reads its operands there."""
    pieces = pieces_of(node)
    if pieces is None or not share_reads(node):
        return reading, Group(reading.axes, node.output.shape)
    own = pieces.reading()
    return own, Group(own.axes, pieces.shape, in_pieces=True)


def _large_source(node: Node) -> Tensor | None:
    """The one tensor of its size that a node reads to do little work on it, beside smaller ones; None if there is no such."""
    if node.op.pattern != "pointwise" or reading_of(node).flops > LITTLE:
        return None
    reading = reading_of(node)
    wanted = {axis for axis in reading.axes if axis.size != 1}
    large = {tensor for tensor, index in _sources(node, reading) if wanted <= set().union(*map(axes_of, index))}
    fitting = [tensor for tensor in large if numpy_dtype(tensor.dtype).itemsize <= numpy_dtype(node.output.dtype).itemsize]
    return fitting[0] if len(fitting) == len(large) == 1 else None


def _sources(node: Node, reading: Reading) -> Iterator[tuple[Tensor, Index]]:
    """What a node reads, and where, below all that only moves elements."""
    for position, index in reading.reads:
        tensor, at = node.operands[position], index
        while tensor.node.op.pattern in KINDS and len(tensor.node.operands) == 1 and (moving := reading_of(tensor.node)).is_free:
            (_, at), *_ = moving.at(at)
            (tensor,) = tensor.node.operands
        if tensor.node.operands or tensor.node.op.is_input or tensor.node.op.is_parameter:
            yield tensor, at


def _within(index: Index, group: Group) -> bool:
    """Whether an index uses only axes of the domain, none that is reduced over."""
    return all(axes_of(part) <= set(group.axes) for part in index)


def _is_turned(index: Index, group: Group) -> bool:
    """Whether an axis of the domain is at another's place."""
    others = (set(group.axes) - {axis} for axis in group.axes)
    return any(not other.isdisjoint(axes_of(part)) for part, other in zip(index, others, strict=True))


def _covers(index: Index, group: Group) -> bool:
    """Whether nothing is computed again along a leading axis: the axes used are leading ones, or reduced ones below them."""
    used = set().union(*(axes_of(part) for part in index)) if index else set()
    own = [axis in used for axis in group.axes]
    inner = bool(used - set(group.axes))
    return inner or all(own[: sum(own)])


def _is_repeated(index: Index, group: Group) -> bool:
    """Whether elements are needed again for other indices of the outer axes: the variance of a channel for every row of every sample."""
    used = {axis for part in index for axis in axes_of(part)}
    return bool(used) and any(axis not in used and axis.size != 1 for axis in group.axes[:-1])


def _stays_readable(index: Index, moved: Index, group: Group) -> bool:
    """Whether a product may as well read at `moved` what it needs at `index`: windows see an element often, so neighbours must stay neighbours."""
    if _is_divided(moved):
        return False
    return not _has_windows(index, group) or _last_axes(index) == _last_axes(moved)


def _has_windows(index: Index, group: Group) -> bool:
    """Whether several elements of the group's domain need the same one, through different elements that are summed."""
    axes = [{axis for axis in axes_of(part) if axis.size != 1} for part in index]
    return any(own & set(group.axes) and own - set(group.axes) for own in axes)


def _last_axes(index: Index) -> frozenset[Axis]:
    """The axes along which neighbours in memory are read."""
    return next((axes_of(part) for part in reversed(index) if axes_of(part)), frozenset())


def _is_divided(index: Iterable[Dim]) -> bool:
    return any(isinstance(atom, Combined) for part in index for atom in atoms_of(part))
