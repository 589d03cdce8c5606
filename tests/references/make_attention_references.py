"""Writes attention.npz: outputs and gradients of PyTorch's attention and transformers and of Hugging Face's GPT-2 and Llama.

Run with a Python that has PyTorch and transformers: `python tests/references/make_attention_references.py`. Everything is
float64 and seeded.
The cases themselves are read by the tests too, which need no PyTorch.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Shape = tuple[int | str, ...]
FILE = Path(__file__).parent / "attention.npz"


VOCABULARY = 11


def axes(shape: Shape) -> Shape:
    """A shape of `Case.inputs` without the word for its kind."""
    return shape[1:] if shape and shape[0] in ("bool", "-inf", "token") else shape


@dataclass(frozen=True)
class Case:
    """A module or function by PyTorch's name, how to make it, its inputs by name and shape, and options of the call.

    Sizes that are names stand for those in `sizes`. A shape that begins with "bool" is of a mask that hides about a third,
    one that begins with "-inf" of an additive one with as many -inf, one that begins with "token" of numbers below 11.
    """

    kind: str
    inputs: Mapping[str, Shape]
    sizes: Mapping[str, int]
    options: Mapping[str, Any] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)

    def arrays(self) -> dict[str, Array]:
        """The inputs, reproducible."""
        return {name: self._draw(shape, seed) for seed, (name, shape) in enumerate(self.inputs.items())}

    def _draw(self, shape: Shape, seed: int) -> Array:
        generator = np.random.default_rng(seed)
        values = generator.normal(size=[self.sizes[size] if isinstance(size, str) else size for size in axes(shape)])
        kind, hidden = shape[0], generator.random(values.shape) < 0.3
        if kind == "token":
            return generator.integers(0, VOCABULARY, values.shape)
        return hidden if kind == "bool" else np.where(hidden, -np.inf, values) if kind == "-inf" else values


ODD = {"N": 3, "L": 5, "S": 7}
ONE = {"N": 1, "L": 1, "S": 4}
Q, K = ("N", 4, "L", 6), ("N", 4, "S", 6)
GROUPED = {"query": Q, "key": ("N", 2, "S", 6), "value": ("N", 2, "S", 3)}
SELF, CROSS = ("L", "N", 6), {"query": ("L", "N", 6), "key": ("S", "N", 6), "value": ("S", "N", 6)}
FIRST = {"query": ("N", "L", 6), "key": ("N", "S", 4), "value": ("N", "S", 5)}
SMALL = {"d_model": 6, "nhead": 2, "dim_feedforward": 11, "dropout": 0.0}
DECODED = {"tgt": ("L", "N", 6), "memory": ("S", "N", 6)}
BOTH = {"src": ("S", "N", 6), "tgt": ("L", "N", 6)}
TOKENS: dict[str, Shape] = {"input_ids": ("token", "N", "L")}
GPT = {"vocab_size": VOCABULARY, "n_positions": 8, "n_embd": 8, "n_head": 2, "dropout": 0.0}
LLAMA = {"vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 20, "num_attention_heads": 4, "max_position_embeddings": 8}
FUNCTION = "scaled_dot_product_attention"

CASES: dict[str, Case] = {
    "function": Case(FUNCTION, {"query": Q, "key": K, "value": ("N", 4, "S", 3)}, ODD),
    "function, one query": Case(FUNCTION, {"query": Q, "key": K, "value": K}, ONE),
    "function, causal": Case(FUNCTION, {"query": Q, "key": K, "value": K}, ODD, call={"is_causal": True, "scale": 0.3}),
    "function, boolean mask": Case(FUNCTION, {"query": Q, "key": K, "value": K, "attn_mask": ("bool", "N", 1, "L", "S")}, ODD),
    "function, additive mask": Case(FUNCTION, {"query": Q, "key": K, "value": K, "attn_mask": (4, "L", "S")}, ODD),
    "function, infinite mask": Case(FUNCTION, {"query": Q, "key": K, "value": K, "attn_mask": ("-inf", "L", "S")}, ODD),
    "function, groups": Case(FUNCTION, GROUPED, ODD, call={"enable_gqa": True}),
    "function, causal groups": Case(FUNCTION, GROUPED, ONE, call={"enable_gqa": True, "is_causal": True}),
    "function, no heads": Case(FUNCTION, {"query": ("L", 6), "key": ("S", 6), "value": ("S", 2)}, ODD),
    "heads": Case("MultiheadAttention", CROSS, ODD, {"embed_dim": 6, "num_heads": 3}),
    "heads, batch of one": Case("MultiheadAttention", CROSS, ONE, {"embed_dim": 6, "num_heads": 2, "bias": False}, {"average_attn_weights": False}),
    "heads, other sizes": Case("MultiheadAttention", FIRST, ODD, {"embed_dim": 6, "num_heads": 2, "kdim": 4, "vdim": 5, "batch_first": True}),
    "heads, masked": Case(
        "MultiheadAttention",
        {**CROSS, "key_padding_mask": ("-inf", "N", "S"), "attn_mask": ("L", "S")},
        ODD,
        {"embed_dim": 6, "num_heads": 2},
        {"need_weights": False},
    ),
    "heads, boolean masks": Case(
        "MultiheadAttention",
        {"query": ("L", 2, 6), "key": ("S", 2, 6), "value": ("S", 2, 6), "key_padding_mask": ("bool", 2, "S"), "attn_mask": ("bool", 6, "L", "S")},
        ODD,
        {"embed_dim": 6, "num_heads": 3},
        {"need_weights": False},
    ),
    "heads, more keys": Case(
        "MultiheadAttention",
        {**CROSS, "key_padding_mask": ("bool", "N", "S"), "attn_mask": ("bool", "L", "S")},
        ODD,
        {"embed_dim": 6, "num_heads": 2, "add_bias_kv": True, "add_zero_attn": True},
    ),
    "heads, no batch": Case(
        "MultiheadAttention",
        {"query": ("L", 6), "key": ("S", 6), "value": ("S", 6), "key_padding_mask": ("S",)},
        ODD,
        {"embed_dim": 6, "num_heads": 2},
    ),
    "encoder layer": Case("TransformerEncoderLayer", {"src": SELF}, ODD, SMALL),
    "encoder layer, norm first": Case(
        "TransformerEncoderLayer",
        {"src": ("N", "L", 6), "src_key_padding_mask": ("N", "L")},
        ODD,
        {**SMALL, "activation": "gelu", "batch_first": True, "norm_first": True},
    ),
    "encoder layer, no bias": Case("TransformerEncoderLayer", {"src": SELF}, ONE, {**SMALL, "bias": False, "layer_norm_eps": 1e-3}),
    "decoder layer": Case("TransformerDecoderLayer", DECODED, ODD, SMALL),
    "decoder layer, norm first": Case(
        "TransformerDecoderLayer",
        {"tgt": ("N", "L", 6), "memory": ("N", "S", 6), "tgt_mask": ("L", "L"), "memory_mask": ("L", "S"), "memory_key_padding_mask": ("N", "S")},
        ODD,
        {**SMALL, "activation": "gelu", "batch_first": True, "norm_first": True},
    ),
    "decoder layer, no bias": Case("TransformerDecoderLayer", DECODED, ONE, {**SMALL, "bias": False}),
    "encoder": Case("TransformerEncoder", {"src": SELF, "mask": ("L", "L")}, ODD, SMALL),
    "encoder, norm first": Case("TransformerEncoder", {"src": SELF}, ONE, {**SMALL, "norm_first": True, "bias": False}),
    "encoder, padded": Case("TransformerEncoder", {"src": ("N", "L", 6), "src_key_padding_mask": ("N", "L")}, ODD, {**SMALL, "batch_first": True}),
    "decoder": Case("TransformerDecoder", {**DECODED, "tgt_mask": ("L", "L")}, ODD, SMALL),
    "decoder, norm first": Case("TransformerDecoder", DECODED, ONE, {**SMALL, "norm_first": True}),
    "decoder, padded": Case("TransformerDecoder", {**DECODED, "tgt_key_padding_mask": ("N", "L")}, ODD, {**SMALL, "activation": "gelu"}),
    "transformer": Case("Transformer", BOTH, ODD, {**SMALL, "num_encoder_layers": 1, "num_decoder_layers": 1}),
    "transformer, norm first": Case(
        "Transformer",
        {"src": ("N", "S", 6), "tgt": ("N", "L", 6), "tgt_mask": ("L", "L"), "src_key_padding_mask": ("N", "S")},
        ODD,
        {**SMALL, "num_encoder_layers": 1, "num_decoder_layers": 2, "norm_first": True, "batch_first": True},
    ),
    "transformer, no bias": Case("Transformer", BOTH, ONE, {**SMALL, "num_encoder_layers": 2, "num_decoder_layers": 1, "bias": False}),
    "gpt": Case("gpt", TOKENS, ODD, {**GPT, "n_layer": 2}),
    "gpt, batch of one": Case("gpt", TOKENS, ONE, {**GPT, "n_layer": 1, "layer_norm_epsilon": 1e-3}),
    "gpt, inner size": Case("gpt", TOKENS, ODD, {**GPT, "n_layer": 1, "n_inner": 5}),
    "llama": Case("llama", TOKENS, ODD, {**LLAMA, "num_hidden_layers": 2, "num_key_value_heads": 2}),
    "llama, batch of one": Case("llama", TOKENS, ONE, {**LLAMA, "num_hidden_layers": 1, "rms_norm_eps": 1e-3}),
    "llama, tied": Case("llama", TOKENS, ODD, {**LLAMA, "num_key_value_heads": 1, "num_hidden_layers": 1, "tie_word_embeddings": True, "rope_theta": 50.0}),
}


def make(nn: Any, case: Case) -> Any:
    """The module of a case, from torch.nn or from another library that has its names."""
    if case.kind == FUNCTION:
        return nn.functional.scaled_dot_product_attention
    if case.kind in ("TransformerEncoder", "TransformerDecoder"):
        layer = getattr(nn, f"{case.kind}Layer")(**case.options)
        return getattr(nn, case.kind)(layer, 2, nn.LayerNorm(case.options["d_model"]))
    return getattr(nn.models if case.kind in ("gpt", "llama") else nn, case.kind)(**case.options)


class Models:
    """Hugging Face's models by graphdl's names, wholly in float64: Llama's has float32 written into it in places."""

    def gpt(self, dropout: float, **sizes: Any) -> Any:
        from transformers import GPT2Config, GPT2LMHeadModel

        drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
        return GPT2LMHeadModel(GPT2Config(**sizes, **drops, attn_implementation="eager"))

    def llama(self, **sizes: Any) -> Any:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM
        from transformers.models.llama import modeling_llama

        class Wide:
            float = float32 = torch.float64

            def __getattr__(self, name: str) -> Any:
                return getattr(torch, name)

        modeling_llama.torch = Wide()
        torch.Tensor.float = torch.Tensor.double
        return LlamaForCausalLM(LlamaConfig(**sizes, attn_implementation="eager"))


def weights_like(shape: tuple[int, ...]) -> Array:
    """1, 2, 3, ... modulo 7: by these the outputs are summed for the gradients."""
    return (np.arange(np.prod(shape, dtype=int)) % 7 + 1.0).reshape(shape)


def initial(seed: int, shape: tuple[int, ...]) -> Array:
    """The values of the parameter of that number."""
    return np.random.default_rng(100 + seed).normal(size=shape) * 0.5


def values_of(case: Case) -> dict[str, Array]:
    """A case in PyTorch: the name, number and shape of every parameter, all outputs and all gradients, each in one row."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    torch.nn.models = Models()
    module = make(torch.nn, case)
    named: dict[str, Any] = {}
    if isinstance(module, torch.nn.Module):
        named = dict(module.double().state_dict(keep_vars=True))
    parameters = list({id(tensor): tensor for tensor in named.values()}.values())
    seeds = {id(tensor): seed for seed, tensor in enumerate(parameters)}
    with torch.no_grad():
        for tensor in parameters:
            tensor.copy_(torch.from_numpy(initial(seeds[id(tensor)], tuple(tensor.shape))))
    fed = {name: torch.from_numpy(array) for name, array in case.arrays().items()}
    wanted = [tensor.requires_grad_() for tensor in fed.values() if differentiable(tensor.numpy())]
    with sdpa_kernel(SDPBackend.MATH):
        result = module(**fed, **case.call)
    result = getattr(result, "logits", result)
    outputs = [tensor for tensor in (result if isinstance(result, tuple) else (result,)) if tensor is not None]
    total = sum((tensor * torch.from_numpy(weights_like(tuple(tensor.shape)))).sum() for tensor in outputs)
    gradients = torch.autograd.grad(total, [*wanted, *parameters])
    state = np.array([" ".join(map(str, (name, seeds[id(tensor)], *tensor.shape))) for name, tensor in named.items()], "U64")
    return {"state": state, "outputs": row(outputs), "gradients": row(gradients)}


def row(tensors: Any) -> Array:
    """The elements of all tensors one after another."""
    return np.concatenate([tensor.detach().numpy().ravel() for tensor in tensors])


def differentiable(array: Array) -> bool:
    """Whether the gradient by an input is compared: of floating ones, but not of masks with -inf."""
    return array.dtype.kind == "f" and bool(np.isfinite(array).all())


if __name__ == "__main__":
    written: dict[str, Any] = {f"{name}|{part}": array for name, case in CASES.items() for part, array in values_of(case).items()}
    np.savez_compressed(FILE, **written)
