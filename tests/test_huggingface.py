"""Models from folders in Hugging Face's layouts, against transformers' values, and what damaged folders do."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn
from graphdl.errors import FormatError, GraphdlError, StateError
from graphdl.io import Layout, Row, read
from graphdl.types import numpy_dtype
from tests.damage import damaged
from tests.references.make_huggingface_references import CONFIGURATIONS, initial, inputs_of
from tests.torch_cases import assert_near, load_cases

Array = np.ndarray[Any, Any]
REFERENCES = load_cases("huggingface.npz")
NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64"}
LONGEST, MEMORY = 5.0, 1 << 26  # seconds and bytes for one damaged folder


def state_of(case: str, dtype: str = "float32") -> dict[str, Array]:
    """The reference's state under transformers' names."""
    words = [entry.split() for entry in REFERENCES[case]["state"].tolist()]
    arrays = {name: initial(k, name, tuple(map(int, shape))) for k, (name, *shape) in enumerate(words)}
    return {name: array if array.dtype.kind == "i" else array.astype(numpy_dtype(dtype)) for name, array in arrays.items()}


def serialised(arrays: Mapping[str, Array], padding: int = 0) -> bytes:
    """A safetensors file, written after the format's description alone."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, array in arrays.items():
        held = array.tobytes()
        header[name] = {"dtype": NAMES[array.dtype.name], "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(held)]}
        data += held
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8 + padding)
    return len(text).to_bytes(8, "little") + text + data


def write_folder(folder: Path, case: str, arrays: Mapping[str, Array], shards: int = 1, padding: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIGURATIONS[case]))
    if shards == 1:
        (folder / "model.safetensors").write_bytes(serialised(arrays, padding))
        return folder
    places = {name: f"model-{k % shards + 1:05}-of-{shards:05}.safetensors" for k, name in enumerate(arrays)}
    for file in set(places.values()):
        (folder / file).write_bytes(serialised({name: arrays[name] for name, place in places.items() if place == file}))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return folder


def output_of(model: nn.Module, case: str, dtype: str = "float32") -> Array:
    given = {name: array if array.dtype.kind == "i" else array.astype(dtype) for name, array in inputs_of(CONFIGURATIONS[case]).items()}
    inputs = [gd.placeholder(name, array.shape, array.dtype) for name, array in given.items()]
    found: Array = gd.compile(model(*inputs), inputs, mode="inference")(*given.values())
    return found


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_like_transformers(case: str, shards: int, tmp_path: Path) -> None:
    model = nn.models.from_folder(write_folder(tmp_path, case, state_of(case), shards))
    assert_near(output_of(model, case), REFERENCES[case]["output"], "float32")


@pytest.mark.parametrize("stored", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("case", ["gpt2", "resnet, basic"])
def test_other_dtypes_are_converted(case: str, stored: str, tmp_path: Path) -> None:
    model = nn.models.from_folder(write_folder(tmp_path, case, state_of(case, stored)))
    assert {tensor.dtype for tensor in model.parameters()} == {"float32"}
    assert_near(output_of(model, case), REFERENCES[case]["output"], "float32")  # the values are ones that half precision holds


def stripped(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): array for name, array in arrays.items()}


def test_published_gpt2_files_have_no_prefix_and_hold_masks(tmp_path: Path) -> None:
    arrays = stripped(state_of("gpt2"), "transformer.")
    masks = {f"h.{k}.attn.bias": np.tril(np.ones((1, 1, 16, 16), "f")) for k in range(2)}
    model = nn.models.from_folder(write_folder(tmp_path, "gpt2", arrays | masks | {"h.0.attn.masked_bias": np.full(1, -1e4, "f")}))
    assert_near(output_of(model, "gpt2"), REFERENCES["gpt2"]["output"], "float32")


def test_older_bert_files_name_norms_otherwise(tmp_path: Path) -> None:
    old = {name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): array for name, array in state_of("bert").items()}
    arrays = {f"bert.{name}": array for name, array in old.items() if "pooler" not in name} | {"cls.predictions.bias": np.zeros(31, "f")}
    model = nn.models.from_folder(write_folder(tmp_path, "bert", arrays | {"embeddings.position_ids": np.arange(16)[None]}))
    assert isinstance(model, nn.models.BERT)
    assert model.pooler is None
    assert_near(output_of(model, "bert"), REFERENCES["bert"]["output"], "float32")


def test_fused_projections_are_cut(tmp_path: Path) -> None:
    arrays = state_of("llama")
    for k in range(2):
        for kind, fused, parts in (("self_attn", "qkv_proj", ("q_proj", "k_proj", "v_proj")), ("mlp", "gate_up_proj", ("gate_proj", "up_proj"))):
            path = f"model.layers.{k}.{kind}."
            arrays[f"{path}{fused}.weight"] = np.concatenate([arrays.pop(f"{path}{part}.weight") for part in parts])
    model = nn.models.from_folder(write_folder(tmp_path, "llama", arrays))
    assert_near(output_of(model, "llama"), REFERENCES["llama"]["output"], "float32")
    arrays["model.layers.0.self_attn.qkv_proj.weight"] = np.zeros((7, 16), "f")
    with pytest.raises(FormatError, match=r"qkv_proj\.weight of shape \[7, 16\] cannot be cut"):
        nn.models.from_folder(write_folder(tmp_path, "llama", arrays))


def test_matrices_of_nanogpt_are_transposed(tmp_path: Path) -> None:
    linear = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    arrays = {name: np.ascontiguousarray(array.T) if name.endswith(linear) else array for name, array in state_of("gpt2").items()}
    (tmp_path / "net.safetensors").write_bytes(serialised(arrays | {"lm_head.weight": arrays["transformer.wte.weight"]}))
    model = nn.models.gpt(31, 16, 12, 2, 3)
    gd.load(model, tmp_path / "net.safetensors", layout="nanogpt")
    assert_near(output_of(model, "gpt2"), REFERENCES["gpt2"]["output"], "float32")


def test_a_layout_of_ones_own(tmp_path: Path) -> None:
    arrays = {"block9.matrix": np.arange(6, dtype="f").reshape(2, 3), "block9.shift": np.ones(5, "f"), "notes": np.zeros(1, "f")}
    (tmp_path / "net").write_bytes(serialised(arrays))
    net = nn.ModuleList([nn.Linear(2, 3), nn.LayerNorm(2)])
    layout = Layout("own", (Row("*.matrix", ("0.weight",), transposed=True), Row("*.shift", ("0.bias", "1.bias")), Row("notes")))
    gd.load(net, tmp_path / "net", strict=False, layout=layout)
    np.testing.assert_array_equal(net.state_dict()["0.weight"], arrays["block9.matrix"].T)
    assert net.state_dict()["1.bias"].tolist() == [1, 1]
    with pytest.raises(StateError, match=r"missing: 1\.weight"):
        gd.load(net, tmp_path / "net", layout=layout)
    with pytest.raises(FormatError, match=r"b\.x becomes x, as another array does"):
        Layout("twice", (Row("*.x", ("x",)),)).arrange({"a.x": np.ones(1), "b.x": np.ones(1)}, {})
    with pytest.raises(FormatError, match="no layout is called 'nothing': known are bert"):
        gd.load(net, tmp_path / "net", layout="nothing")


def test_weights_are_mapped_and_training_leaves_the_file_alone(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, "bert", state_of("bert"))
    before = (folder / "model.safetensors").read_bytes()
    model = nn.models.from_folder(folder)
    assert all(tensor.value.base is not None and tensor.value.flags.aligned for tensor in model.parameters())
    for tensor in model.parameters():
        tensor.value = tensor.value + 1
    assert (folder / "model.safetensors").read_bytes() == before
    assert_near(output_of(nn.models.from_folder(folder), "bert"), REFERENCES["bert"]["output"], "float32")


def test_unaligned_files_are_copied(tmp_path: Path) -> None:
    model = nn.models.from_folder(write_folder(tmp_path, "gpt2", state_of("gpt2"), padding=3))
    assert all(tensor.value.flags.aligned for tensor in model.parameters())
    assert_near(output_of(model, "gpt2"), REFERENCES["gpt2"]["output"], "float32")


def test_a_mapped_model_trains(tmp_path: Path) -> None:
    model = nn.models.from_folder(write_folder(tmp_path, "gpt2", state_of("gpt2")))
    assert isinstance(model, nn.models.GPT)
    ids = gd.placeholder("ids", (2, 9), "int64")
    loss = (model(ids) ** 2).mean()
    step = gd.compile(loss, [ids], updates=gd.optim.SGD(lr=1e-3).updates(loss, model.parameters()))
    measured = gd.compile(loss, [ids], mode="inference")  # without dropout
    given = inputs_of(CONFIGURATIONS["gpt2"])["input_ids"]
    before = measured(given)
    step(given)
    assert measured(given) < before


@pytest.mark.parametrize(
    "file", ["../w.safetensors", "/tmp/w.safetensors", "a/w.safetensors", "..\\w.safetensors", "c:w.safetensors", "", "..", "w.bin", "w\0"]
)
def test_an_index_leads_nowhere_else(file: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", "gpt2", state_of("gpt2"))
    (tmp_path / "w.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(state_of("gpt2"), file)}))
    with pytest.raises(FormatError, match="only safetensors files beside it are read"):
        nn.models.from_folder(folder)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"weight_map": 3}', "has no weight_map"),
        ('{"weight_map": {"a": "b.safetensors"}}', "which is not there"),
        ('{"weight_map": {"a": "model.safetensors"}}', "a is not in model.safetensors"),
        ("[" * 100000, "is no JSON"),
        ("[]", "is no JSON object"),
        (json.dumps({"weight_map": {str(k): f"{k}.safetensors" for k in range(5000)}}), "more than 4096"),
    ],
)
def test_an_unfit_index_is_told(text: str, told: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, "gpt2", state_of("gpt2"))
    (folder / "model.safetensors.index.json").write_text(text)
    with pytest.raises(FormatError, match=told):
        nn.models.from_folder(folder)


@pytest.mark.parametrize(
    ("case", "change", "told"),
    [
        ("gpt2", {"model_type": "t5"}, "model_type is 't5'; it must be 'bert' or"),
        ("gpt2", {"n_layer": 10**9}, "n_layer is 1000000000; it must be a whole number from 0 to 1024"),
        ("gpt2", {"n_embd": 12.0}, r"n_embd is 12\.0; it must be a whole number"),
        ("gpt2", {"n_embd": None}, "n_embd is missing"),
        ("gpt2", {"activation_function": "relu"}, "activation_function is 'relu'; it must be 'gelu_new'"),
        ("gpt2", {"n_head": 5}, "5 heads do not divide"),
        ("gpt2", {"n_layer": 3}, r"missing: transformer\.h\.2\.ln_1\.weight"),
        ("gpt2", {"vocab_size": 1 << 24, "n_embd": 1 << 17, "n_head": 1}, r"misshapen: transformer\.wte\.weight"),
        ("llama", {"rope_scaling": {"type": "linear"}}, "rope_scaling is {'type': 'linear'}; it must be left out"),
        ("llama", {"rope_parameters": {"rope_type": "yarn"}}, "rope_type is 'yarn'; it must be 'default'"),
        ("llama", {"head_dim": 2}, "head_dim is 2; it must be 4"),
        ("bert", {"hidden_act": "mish"}, "hidden_act is 'mish'; it must be 'gelu' or"),
        ("resnet", {"hidden_sizes": [4, 9]}, r"hidden_sizes are \[4, 9\]; for embedding_size=4 and bottleneck blocks they must be \[16, 32\]"),
        ("resnet", {"id2label": {"1": "a"}}, "1 to 16777216 labels, numbered from 0"),
    ],
)
def test_an_unfit_configuration_is_told(case: str, change: dict[str, Any], told: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, case, state_of(case))
    (folder / "config.json").write_text(json.dumps(CONFIGURATIONS[case] | change))
    with pytest.raises(GraphdlError, match=told):
        nn.models.from_folder(folder)


def test_a_folder_without_weights_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIGURATIONS["gpt2"]))
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(FormatError, match="graphdl reads no other weights, as those could run code"):
        nn.models.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}, "which graphdl does not hold"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "that is 8 bytes, but has 4"),
        ({"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 4]}, "has no shape"),
        ({"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 4]}, "which is too large"),
        ({"dtype": "F32", "shape": [1] * 40, "data_offsets": [0, 4]}, "has no shape"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "has no shape"),
        ({"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}, "has no shape"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}, "where 0 is next"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}, "has no two offsets"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0, 1 << 70]}, "has no two offsets"),
        (3, "has no two offsets"),
    ],
)
def test_an_unfit_header_is_told(entry: Any, told: str, tmp_path: Path) -> None:
    text = json.dumps({"a": entry}).encode()
    (tmp_path / "file").write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(FormatError, match=told):
        read(tmp_path / "file")


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', "[" * 100000, "3", '{"__metadata__": {"a": 1}}', "{", '{"%s": {}}' % ("x" * 600)])
def test_a_header_that_is_none_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(len(text).to_bytes(8, "little") + text.encode())
    with pytest.raises(FormatError, match="no intact safetensors file"):
        read(tmp_path / "file")


def test_damaged_folders(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    random, loaded = Random(8), 0
    folders = [write_folder(tmp_path / str(k), case, state_of(case), 1 + k % 2) for k, case in enumerate(("bert", "gpt2", "llama", "resnet, basic"))]
    sources = [(folder, {path: path.read_bytes() for path in sorted(folder.iterdir())}) for folder in folders]
    count = request.config.getoption("--fuzz-files")
    assert isinstance(count, int)
    tracemalloc.start()
    for _ in range(count):
        folder, files = random.choice(sources)
        path = random.choice(list(files))
        header = 8 + int.from_bytes(files[path][:8], "little") if path.suffix == ".safetensors" else len(files[path])
        path.write_bytes(damaged(files[path][:header], random) + files[path][header:])
        start = time.perf_counter()
        tracemalloc.reset_peak()
        try:
            nn.models.from_folder(folder)
            loaded += 1
        except GraphdlError:
            pass
        assert time.perf_counter() - start < LONGEST
        assert tracemalloc.get_traced_memory()[1] < MEMORY
        path.write_bytes(files[path])
    tracemalloc.stop()
    assert loaded, "no damage was slight"
