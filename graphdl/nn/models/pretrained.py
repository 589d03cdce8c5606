"""Models from folders as Hugging Face keeps them: sizes from config.json, weights from safetensors."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import FormatError
from ...record import record
from .. import init
from ..module import Module
from ..state import adopt_arrays
from .bert import ACTIVATIONS, bert
from .gpt import gpt
from .llama import llama
from .resnet import EXPANSION, resnet

if TYPE_CHECKING:
    from ...io.configuration import Configuration

# Bounds of what a file may ask for.
VOCABULARY, FEATURES, INNER, LAYERS, HEADS, CONTEXT = 1 << 24, 1 << 17, 1 << 20, 1 << 10, 1 << 12, 1 << 24
STAGES, BLOCKS = 8, 128


def from_folder(folder: str | os.PathLike[str], dtype: Any = "float32") -> Module:
    """The model that a folder holds: BERT, GPT-2, Llama (or Mistral without a window) or ResNet, told by its config.json.

    Weights lie in `model.safetensors`, or in several files named by `model.safetensors.index.json`. Those of the given dtype are
    mapped into memory, not copied, and read from the disk when they are first used; training leaves the files as they are. Others, such as
    half precision, are converted. Raises FormatError for damaged files, sizes out of bounds and options that are not
    followed, StateError where names or shapes do not fit.
    """
    from ...io.configuration import Configuration
    from ...io.layouts import layout_of
    from ...io.shards import read_arrays

    configuration = Configuration(Path(folder) / "config.json")
    family = FAMILIES[configuration.one_of("model_type", *FAMILIES)]
    arrays = read_arrays(folder)
    with init.hollow():
        model = family.build(configuration, dtype, frozenset(arrays))
    arranged = layout_of(family.layout).arrange(arrays, model.state_dict())
    adopt_arrays(dict(model._state()), arranged, owner=f"{type(model).__name__} of {os.fspath(folder)}")
    return model


@record
class Family:
    """The layout of a family's names, and what builds a model from a configuration, a dtype and the names in the files."""

    layout: str
    build: Callable[[Configuration, Any, frozenset[str]], Module]


def _bert(configuration: Configuration, dtype: Any, names: frozenset[str]) -> Module:
    configuration.one_of("position_embedding_type", "absolute")
    configuration.absent("is_decoder", "add_cross_attention")
    return bert(
        configuration.whole("vocab_size", VOCABULARY),
        configuration.whole("hidden_size", FEATURES),
        configuration.whole("num_hidden_layers", LAYERS, least=0),
        configuration.whole("num_attention_heads", HEADS),
        configuration.whole("intermediate_size", INNER),
        configuration.whole("max_position_embeddings", CONTEXT),
        configuration.whole("type_vocab_size", VOCABULARY, 2),
        configuration.one_of("hidden_act", *ACTIVATIONS),
        configuration.number("hidden_dropout_prob", 0.1, 0, 1),
        configuration.number("layer_norm_eps", 1e-12, 0, 1),
        any(name.removeprefix("bert.") == "pooler.dense.weight" for name in names),
        dtype,
    )


def _gpt2(configuration: Configuration, dtype: Any, names: frozenset[str]) -> Module:
    configuration.one_of("activation_function", "gelu_new", "gelu_pytorch_tanh")
    configuration.one_of("scale_attn_weights", True)
    configuration.one_of("tie_word_embeddings", True)
    configuration.absent("scale_attn_by_inverse_layer_idx", "add_cross_attention")
    features = configuration.whole("n_embd", FEATURES)
    return gpt(
        configuration.whole("vocab_size", VOCABULARY),
        configuration.whole("n_positions", CONTEXT),
        features,
        configuration.whole("n_layer", LAYERS, least=0),
        configuration.whole("n_head", HEADS),
        configuration.whole("n_inner", INNER, 4 * features),
        configuration.number("resid_pdrop", 0.1, 0, 1),
        configuration.number("layer_norm_epsilon", 1e-5, 0, 1),
        dtype,
    )


def _llama(configuration: Configuration, dtype: Any, names: frozenset[str]) -> Module:
    configuration.one_of("hidden_act", "silu", "swish")
    configuration.absent("attention_bias", "mlp_bias", "rope_scaling", "sliding_window")
    features, heads = configuration.whole("hidden_size", FEATURES), configuration.whole("num_attention_heads", HEADS)
    configuration.one_of("head_dim", features // heads)
    return llama(
        configuration.whole("vocab_size", VOCABULARY),
        features,
        configuration.whole("intermediate_size", INNER),
        configuration.whole("num_hidden_layers", LAYERS, least=0),
        heads,
        configuration.whole("num_key_value_heads", HEADS, heads),
        configuration.whole("max_position_embeddings", CONTEXT, 2048),
        configuration.number("rms_norm_eps", 1e-6, 0, 1),
        _rotary_base(configuration),
        configuration.one_of("tie_word_embeddings", False, True),
        dtype,
    )


def _rotary_base(configuration: Configuration) -> float:
    """The base of rotary positions, which newer files keep among `rope_parameters`."""
    inner = configuration.within("rope_parameters")
    inner.one_of("rope_type", "default")
    return inner.number("rope_theta", configuration.number("rope_theta", 10000.0, 1, 1e12), 1, 1e12)


def _resnet(configuration: Configuration, dtype: Any, names: frozenset[str]) -> Module:
    configuration.one_of("hidden_act", "relu")
    configuration.absent("downsample_in_first_stage", "downsample_in_bottleneck")
    block = configuration.one_of("layer_type", "bottleneck", "basic")
    width = configuration.whole("embedding_size", FEATURES, 64)
    depths, sizes = configuration.wholes("depths", BLOCKS, STAGES), configuration.wholes("hidden_sizes", INNER, STAGES)
    grown = [(width << k) * (EXPANSION if block == "bottleneck" else 1) for k in range(len(depths))]
    if sizes != grown:
        raise FormatError(f"{configuration.path}: hidden_sizes are {sizes}; for embedding_size={width} and {block} blocks they must be {grown}")
    classes = configuration.labels("id2label", VOCABULARY)
    return resnet(block, depths, classes, configuration.whole("num_channels", FEATURES, 3), width, dtype=dtype)


FAMILIES = {
    "bert": Family("bert", _bert),
    "gpt2": Family("gpt2", _gpt2),
    "llama": Family("llama", _llama),
    "mistral": Family("llama", _llama),
    "resnet": Family("resnet", _resnet),
}
