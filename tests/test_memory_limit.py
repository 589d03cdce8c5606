"""Rematerialisation: programs under a memory limit compute the same bits, hold less, and say so where that cannot be."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn, optim
from graphdl.errors import CompileError, FormatError, MemoryLimitError
from graphdl.nn import functional
from graphdl.pipeline import PASSES

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Task:
    """A network with dropout, what its batches look like, and the share of the memory that must do. The batch is symbolic."""

    net: Callable[[], nn.Module]
    shape: tuple[int, ...]
    batch: int
    share: float
    vocabulary: int = 0

    @cached_property
    def declared(self) -> tuple[list[gd.Tensor], list[gd.Tensor], dict[gd.Tensor, gd.Tensor]]:
        """The loss, the inputs and the updates of a training step."""
        net = self.net()
        x = gd.placeholder("x", ("N", *self.shape), "int64" if self.vocabulary else "float32")
        y = gd.placeholder("y", ("N", *self.shape) if self.vocabulary else ("N",), "int64")
        scores = net(x)
        loss = functional.cross_entropy(scores.reshape((-1, scores.shape[-1])), y.reshape((-1,)))
        return [loss], [x, y], optim.Adam(lr=1e-3).updates(loss, net.parameters())

    def compile(self, **options: Any) -> gd.Executable:
        outputs, inputs, updates = self.declared
        return gd.compile(outputs, inputs, updates=updates, **options)

    def data(self) -> tuple[Array, Array]:
        generator = np.random.default_rng(0)
        if self.vocabulary:
            tokens = generator.integers(0, self.vocabulary, (2, self.batch, *self.shape))
            return tokens[0], tokens[1]
        return generator.standard_normal((self.batch, *self.shape), dtype=np.float32), generator.integers(0, 10, self.batch)


def mlp() -> nn.Module:
    layers = [part for _ in range(6) for part in (nn.Linear(64, 64), nn.Tanh(), nn.Dropout(0.1))]
    return nn.Sequential(*layers, nn.Linear(64, 10))


def cnn() -> nn.Module:
    layers = [part for k in range(5) for part in (nn.Conv2d(8 if k else 1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())]
    return nn.Sequential(*layers, nn.Dropout(0.1), nn.Flatten(), nn.Linear(8 * 12 * 12, 10))


def gpt() -> nn.Module:
    return nn.models.gpt(50, 32, 32, 4, 2)


TASKS = {
    "mlp": Task(mlp, (64,), 512, 0.8),
    "cnn": Task(cnn, (1, 12, 12), 64, 0.8),
    "gpt": Task(gpt, (32,), 8, 0.6, vocabulary=50),
}


def memory(program: gd.Executable, batch: int) -> int:
    return gd.cost(program).at(N=batch)["peak_memory"]


def trained(program: gd.Executable, data: Iterable[Array]) -> list[bytes]:
    """The bits of the losses of three steps and of all parameters after them, which then are as before."""
    held = program.source.parameters
    before = [tensor.value.copy() for tensor in held]
    found = [program(*data)[0].tobytes() for _ in range(3)] + [tensor.value.tobytes() for tensor in held]
    for tensor, value in zip(held, before, strict=True):
        tensor.value = value
    return found


@pytest.mark.parametrize("name", TASKS)
def test_memory_falls_below_the_limit_and_bits_stay(name: str) -> None:
    task = TASKS[name]
    plain = task.compile()
    limit = int(task.share * memory(plain, task.batch))
    limited = task.compile(memory_limit=limit, sizes={"N": task.batch})
    assert memory(limited, task.batch) <= limit
    assert trained(limited, task.data()) == trained(plain, task.data())


def test_the_interpreter_computes_the_same_graph() -> None:
    task = TASKS["mlp"]
    limit = int(0.8 * memory(task.compile(), task.batch))
    limited, plain = task.compile(backend="numpy", memory_limit=limit, sizes={"N": task.batch}), task.compile(backend="numpy")
    assert any(node.op.name == "deferred" for node in limited.graph.nodes)
    assert trained(limited, task.data()) == trained(plain, task.data())


def test_a_limit_out_of_reach_is_told() -> None:
    with pytest.raises(
        MemoryLimitError, match=r"(?s)within 64 KiB at N = 64; the least that was reached is .* The largest .*test_memory_limit.py:.*batch"
    ) as found:
        TASKS["cnn"].compile(memory_limit="64 KiB", sizes={"N": 64})
    assert found.value.limit == 64 << 10 < found.value.least


def test_a_limit_that_is_kept_anyway_changes_nothing() -> None:
    task = TASKS["mlp"]
    limited = task.compile(memory_limit="1 GiB", sizes={"N": task.batch})
    assert not any(node.op.name == "deferred" for node in limited.graph.nodes)
    assert limited.record.changes[-1].name == "rematerialisation"
    assert not limited.record.changes[-1].fired


def test_smaller_sizes_run_and_larger_ones_are_refused() -> None:
    task = TASKS["mlp"]
    x, y = task.data()
    limit = int(0.8 * memory(task.compile(), task.batch))
    limited = task.compile(memory_limit=limit, sizes={"N": task.batch})
    limited(x[:100], y[:100])
    before = [tensor.value.copy() for tensor in limited.source.parameters]
    with pytest.raises(MemoryLimitError, match=r"planned for .* at N = 512"):
        limited(np.concatenate([x, x]), np.concatenate([y, y]))
    assert all(np.array_equal(old, tensor.value) for old, tensor in zip(before, limited.source.parameters, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory_limit": "2 parrots"}, "no amount of memory"),
        ({"memory_limit": "1 GiB"}, r'sizes=\{"N": ...\}'),
        ({"memory_limit": "1 GiB", "sizes": {"N": 4, "M": 3}}, "no size M"),
        ({"memory_limit": "1 GiB", "sizes": {"N": -1}}, "natural"),
        ({"sizes": {"N": 4}}, "memory_limit"),
    ],
)
def test_unfit_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CompileError, match=message):
        TASKS["mlp"].compile(**options)


def test_a_copy_keeps_the_limit() -> None:
    task = TASKS["mlp"]
    limit = int(0.8 * memory(task.compile(), task.batch))
    limited = task.compile(memory_limit=limit, sizes={"N": task.batch})
    copied = pickle.loads(pickle.dumps(limited))  # noqa: S301
    assert copied.compilation.budget == limited.compilation.budget
    assert memory(copied, task.batch) <= limit
    assert trained(copied, task.data()) == trained(limited, task.data())


def test_a_damaged_limit_in_a_file_is_refused() -> None:
    from graphdl.budget import Budget

    for found in (3, {}, {"limit": "1", "sizes": {}}, {"limit": 1, "sizes": {"N": 1.5}}, {"limit": True, "sizes": {}}, {"limit": 1, "sizes": []}):
        with pytest.raises(FormatError):
            Budget.from_json(found)


def test_comparison_tells_of_the_pass() -> None:
    task = TASKS["mlp"]
    plain = task.compile()
    limited = task.compile(memory_limit=int(0.8 * memory(plain, task.batch)), sizes={"N": task.batch})
    told = str(gd.compare(plain, limited))
    assert "pass rematerialisation" in told
    assert "not run" in told
    limited.graph.verify()
    assert sum(node.op.name == "deferred" for node in limited.graph.nodes) < len(limited.graph.nodes) - len(plain.graph.nodes)


def test_the_pass_is_run_whatever_passes_are_asked_for() -> None:
    task = TASKS["mlp"]
    limited = task.compile(passes="none", memory_limit="1 GiB", sizes={"N": task.batch})
    assert PASSES["rematerialisation"].phase == "plan"
    assert [change.name for change in limited.record.changes][-1] == "rematerialisation"
