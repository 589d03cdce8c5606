"""Writes recurrent.npz: outputs and gradients of PyTorch's recurrent networks and cells, in float64, seeded.

Run with a Python that has PyTorch: `python tests/references/make_recurrent_references.py`. The tests read the file and need no
PyTorch. The loss of a case is the sum of every output times the cosine of its place.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parent / "recurrent.npz"
# The module, the shape of its input, and whether initial states are given.
CASES = (
    ("RNN(3, 5)", (4, 2, 3), False),
    ("RNN(3, 5, nonlinearity='relu', bidirectional=True, batch_first=True)", (1, 7, 3), True),
    ("RNN(3, 5, num_layers=2, bias=False)", (6, 3), True),
    ("LSTM(3, 5)", (4, 2, 3), True),
    ("LSTM(3, 4, num_layers=2, bidirectional=True)", (5, 1, 3), True),
    ("LSTM(3, 5, num_layers=2, bidirectional=True, proj_size=2, batch_first=True)", (2, 4, 3), True),
    ("LSTM(2, 3, bias=False)", (1, 1, 2), False),
    ("GRU(3, 5)", (4, 2, 3), False),
    ("GRU(3, 4, num_layers=2, bidirectional=True, batch_first=True)", (2, 5, 3), True),
    ("GRU(3, 5, bias=False)", (7, 3), False),
    ("RNNCell(3, 5)", (2, 3), True),
    ("RNNCell(3, 5, bias=False, nonlinearity='relu')", (3,), False),
    ("RNNCell(2, 4)", (1, 2), True),
    ("LSTMCell(3, 5)", (2, 3), True),
    ("LSTMCell(3, 5, bias=False)", (1, 3), False),
    ("LSTMCell(3, 4)", (3,), True),
    ("GRUCell(3, 5)", (2, 3), True),
    ("GRUCell(3, 5, bias=False)", (3,), False),
    ("GRUCell(2, 4)", (1, 2), True),
)
LENGTHS = ("RNN(3, 5, bidirectional=True)", "LSTM(3, 4, num_layers=2, bidirectional=True)", "GRU(3, 4, bidirectional=True)")


def leaves(value: Any) -> list[Any]:
    """The tensors of nested tuples."""
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, tuple) else [value]


def made(call: str) -> Any:
    """PyTorch's module that `call` writes down."""
    import torch

    written = ast.parse(call, mode="eval").body
    assert isinstance(written, ast.Call)
    assert isinstance(written.func, ast.Name)
    options = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in written.keywords}
    return getattr(torch.nn, written.func.id)(*map(ast.literal_eval, written.args), **options).double()


def main() -> None:
    """Run every case and write the file."""
    import torch

    arrays: dict[str, Any] = {}

    def record(name: str, module: Any, x: Any, states: list[Any], run: Any) -> None:
        results = leaves(run())
        loss = sum((y * torch.cos(torch.arange(y.numel(), dtype=y.dtype).reshape(y.shape))).sum() for y in results)
        wanted = {**{f"grad|{k}": p for k, p in module.named_parameters()}, "grad_input": x, **{f"grad_state{k}": s for k, s in enumerate(states)}}
        gradients = torch.autograd.grad(loss, list(wanted.values()))
        arrays[f"{name}|input"] = x.detach().numpy()
        arrays.update({f"{name}|state|{k}": p.detach().numpy() for k, p in module.named_parameters()})
        arrays.update({f"{name}|initial{k}": s.detach().numpy() for k, s in enumerate(states)})
        arrays.update({f"{name}|result{k}": y.detach().numpy() for k, y in enumerate(results)})
        arrays.update({f"{name}|{k}": g.numpy() for k, g in zip(wanted, gradients, strict=True)})

    torch.manual_seed(0)
    for call, shape, given in CASES:
        module = made(call)
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        like = module(x)
        like = leaves(like if "Cell" in call else like[1])
        states = [torch.randn(s.shape, dtype=torch.float64, requires_grad=True) for s in like] if given else []
        hx = None if not given else tuple(states) if len(states) == 2 else states[0]
        record(call, module, x, states, lambda module=module, x=x, hx=hx: module(x, hx))
    for call in LENGTHS:
        module = made(call)
        x = torch.randn((5, 3, 3), dtype=torch.float64, requires_grad=True)
        lengths = torch.tensor([3, 5, 1])

        def packed(module: Any = module, x: Any = x, lengths: Any = lengths) -> Any:
            output, last = module(torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False))
            return torch.nn.utils.rnn.pad_packed_sequence(output)[0], last

        record(f"{call} with lengths", module, x, [], packed)
        arrays[f"{call} with lengths|lengths"] = lengths.numpy()
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main()
