"""Writes huggingface.npz: what small models of Hugging Face's transformers compute, in float64, seeded.

Run with a Python that has PyTorch and transformers: `python tests/references/make_huggingface_references.py`. The configurations
are read by the tests too, which need neither.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
FILE = Path(__file__).parent / "huggingface.npz"

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "bert": {
        "model_type": "bert", "vocab_size": 31, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20,
        "max_position_embeddings": 16, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
    },
    "gpt2": {
        "model_type": "gpt2", "vocab_size": 31, "n_embd": 12, "n_layer": 2, "n_head": 3, "n_positions": 16, "activation_function": "gelu_new",
    },
    "llama": {
        "model_type": "llama", "vocab_size": 31, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 20, "max_position_embeddings": 16, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 5000.0,
    },
    "llama, tied": {
        "model_type": "llama", "vocab_size": 31, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20,
        "max_position_embeddings": 16, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "tie_word_embeddings": True,
    },
    "resnet": {
        "model_type": "resnet", "embedding_size": 4, "hidden_sizes": [16, 32], "depths": [2, 1], "layer_type": "bottleneck", "hidden_act": "relu",
        "num_channels": 3, "id2label": {"0": "a", "1": "b", "2": "c"},
    },
    "resnet, basic": {
        "model_type": "resnet", "embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 2], "layer_type": "basic", "num_channels": 1,
        "id2label": {"0": "a", "1": "b"},
    },
}  # fmt: skip
CLASSES = {"bert": "BertModel", "gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "resnet": "ResNetForImageClassification"}


def inputs_of(configuration: dict[str, Any]) -> dict[str, Array]:
    """What the model is tried on, reproducible."""
    generator = np.random.default_rng(5)
    if configuration["model_type"] == "resnet":
        return {"pixel_values": generator.normal(size=(2, configuration["num_channels"], 37, 30))}
    tokens = {"input_ids": generator.integers(0, configuration["vocab_size"], (2, 9))}
    if configuration["model_type"] != "bert":
        return tokens
    mask = np.ones((2, 9), np.int64)
    mask[1, 5:] = 0
    return tokens | {"attention_mask": mask, "token_type_ids": generator.integers(0, 2, (2, 9))}


def initial(number: int, name: str, shape: tuple[int, ...]) -> Array:
    """The values of the entry of the state of that number; multiples of 1/64 that half precision holds too."""
    generator = np.random.default_rng(100 + number)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    drawn = generator.integers(-48, 49, shape) / 64
    return 1 + drawn / 2 if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")) else drawn


def made(configuration: dict[str, Any]) -> Any:
    """The model by transformers."""
    import transformers

    kind = configuration["model_type"]
    options = {name: value for name, value in configuration.items() if name != "model_type"}
    if "id2label" in options:
        options["id2label"] = {int(key): value for key, value in options["id2label"].items()}
    model = getattr(transformers, CLASSES[kind])
    return model(model.config_class(**options, attn_implementation="eager"))


def values_of(configuration: dict[str, Any]) -> dict[str, Array]:
    """Names and shapes of the state as it is saved, and the output."""
    import torch

    model = made(configuration).double().eval()
    tied = {"lm_head.weight"} if configuration["model_type"] == "gpt2" or configuration.get("tie_word_embeddings") else set()
    state = {name: tensor for name, tensor in model.state_dict().items() if name not in tied}
    with torch.no_grad():
        for number, (name, tensor) in enumerate(state.items()):
            tensor.copy_(torch.from_numpy(initial(number, name, tuple(tensor.shape))))
        output = model(**{name: torch.from_numpy(array) for name, array in inputs_of(configuration).items()})
    found = output.last_hidden_state if configuration["model_type"] == "bert" else output.logits
    return {"state": np.array([" ".join(map(str, (name, *tensor.shape))) for name, tensor in state.items()], "U96"), "output": found.numpy()}


if __name__ == "__main__":
    written: dict[str, Any] = {f"{name}|{part}": array for name, case in CONFIGURATIONS.items() for part, array in values_of(case).items()}
    np.savez_compressed(FILE, **written)
