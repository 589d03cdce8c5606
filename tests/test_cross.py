"""Programs compiled for other processors give there what they give here: under emulators, where those and a compiler are installed."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn, optim
from graphdl.backends.native.runtime.jit import compile_object
from graphdl.backends.native.target import for_export
from graphdl.data import load_digits
from tests.harness import MACHINES, Machine, run_elsewhere
from tests.test_export import mathematics, training_step

Case = tuple[gd.Executable, list[Any]]
STEPS = 3
SUMS = 2e-5  # relative: other vector lengths add in another order
ULPS = {"float16": 2.0**-10, "float32": 4 * 2.0**-23, "float64": 4 * 2.0**-52}  # of functions of one number, as every target rounds alike


def normal(*shape: int, dtype: str = "float32", seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def perceptron() -> Case:
    return training_step(), [normal(33, 12), np.arange(33) % 5]


def convolution() -> Case:
    """A step of SGD for convolution, normalisation and pooling."""
    gd.random.seed(1)
    x, y = gd.placeholder("x", ("N", 3, 9, 9)), gd.placeholder("y", ("N",), "int64")
    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.GELU(), nn.MaxPool2d(3, stride=2), nn.Flatten(), nn.Linear(80, 4))
    loss = nn.functional.cross_entropy(net(x), y)
    updates = optim.SGD(lr=0.1, momentum=0.9).updates(loss, net.parameters())
    return gd.compile(loss, inputs=[x, y], updates=updates), [normal(5, 3, 9, 9), np.arange(5) % 4]


def recurrence() -> Case:
    """Loss and gradients of an LSTM."""
    gd.random.seed(1)
    x = gd.placeholder("x", ("T", "N", 5))
    net = nn.LSTM(5, 7, bidirectional=True)
    loss = gd.mean(net(x)[0] ** 2)
    return gd.compile([loss, *gd.grad(loss, net.parameters())], inputs=[x]), [normal(11, 3, 5)]


def attention() -> Case:
    """Loss and gradients of a causal transformer layer, with dropout drawn from the same bits everywhere."""
    gd.random.seed(1)
    x = gd.placeholder("x", ("N", "L", 16))
    net = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1, batch_first=True)
    loss = gd.mean(net(x, is_causal=True) ** 4)
    return gd.compile([loss, *gd.grad(loss, net.parameters())], inputs=[x]), [normal(2, 19, 16)]


def functions() -> Case:
    count = 301
    float16 = normal(count, dtype="float16")
    return mathematics(), [normal(count) * 3, normal(count, dtype="float64") * 3, float16, np.arange(-150, count - 150)]


CASES: list[Callable[[], Case]] = [perceptron, convolution, recurrence, attention, functions]


@pytest.mark.parametrize("machine", [pytest.param(one, id=one.target) for one in MACHINES])
@pytest.mark.parametrize("case", CASES)
def test_other_processors_compute_the_same(case: Callable[[], Case], machine: Machine, tmp_path: Path) -> None:
    if not machine.is_here:
        pytest.skip(f"{', '.join(machine.missing) or 'what this processor must know'} is not here")
    program, arrays = case()
    found, block, interface = run_elsewhere(program, arrays, machine, tmp_path, STEPS)
    for results in found:
        expected = program(*arrays)
        for one, other in zip(results, expected if isinstance(expected, tuple) else [expected], strict=True):
            assert_near(one, other, ULPS[one.dtype.name] if case is functions and one.dtype.kind == "f" else SUMS)
    assert_near(np.frombuffer(block, "f"), np.frombuffer(interface.block_image(), "f"), SUMS * 10)  # the parameters as they are by now


# What a C runtime brings, where the documentation says that objects ask for it.
RUNTIME = {
    "apple": "define ptr @memcpy(ptr %to, ptr %from, i64 %n) {\n ret ptr %to\n}\ndefine ptr @memset(ptr %to, i32 %x, i64 %n) {\n ret ptr %to\n}\n",
    "windows": "@_fltused = global i32 0\ndefine void @__chkstk() {\n ret void\n}\n",
}


def linker_of(triple: str, name: str, library: Path) -> list[str]:
    """The command that makes a library for another system of objects in its format, in which no name may be left open."""
    if "apple" in triple:
        found = sorted(Path("/usr/lib").glob("llvm-*/bin/ld64.lld"))
        linker = shutil.which("ld64.lld") or (str(found[-1]) if found else None)
        command = ["-arch", triple.partition("-")[0], "-platform_version", "macos", "11.0", "11.0", "-dylib", "-o", str(library)]
    else:
        linker, command = shutil.which("lld-link"), ["/dll", "/noentry", f"/export:{name}", f"/out:{library}"]
    if linker is None:
        pytest.skip("there is no linker of LLVM for this format")
    return [linker, *command]


@pytest.mark.parametrize("form", ["object", "c-archive"])
@pytest.mark.parametrize("triple", ["arm64-apple-darwin", "x86_64-apple-darwin", "x86_64-pc-windows-msvc", "aarch64-pc-windows-msvc"])
def test_objects_for_other_systems_are_linked(triple: str, form: str, tmp_path: Path) -> None:
    program, _ = convolution()
    (system,) = [name for name in RUNTIME if name in triple]
    written = gd.export(program, tmp_path, "step", triple, format=form)
    made = next(path for path in written if path.suffix in (".o", ".a", ".obj", ".lib"))
    runtime = tmp_path / "runtime.o"
    runtime.write_bytes(compile_object(RUNTIME[system], for_export(triple)))
    library = tmp_path / "library"
    objects = [str(made), *(["-u", "_step"] if form == "c-archive" and system == "apple" else [])]
    subprocess.run([*linker_of(triple, "step", library), *objects, str(runtime)], check=True, capture_output=True)
    assert b"step" in library.read_bytes()


def assert_near(found: Any, expected: Any, relative: float) -> None:
    """Equal, or near by the largest element; functions of one number by each."""
    assert found.dtype == expected.dtype
    if found.dtype.kind != "f":
        assert np.array_equal(found, expected)
        return
    scale = np.abs(expected) if relative in ULPS.values() else np.nanmax(np.abs(expected), initial=0.0)
    both = np.isnan(found) & np.isnan(expected)
    far = ~both & (found != expected) & ~(np.abs(found.astype("f8") - expected) <= relative * scale + np.finfo(found.dtype).tiny)
    assert not far.any(), (found[far][:5], expected[far][:5])


@pytest.mark.skipif(bool(MACHINES[-1].missing), reason="no Node or no linker for WebAssembly")
def test_the_page_s_recogniser_in_node(tmp_path: Path) -> None:
    """The script of the example's page gives in Node what the program gives here."""
    path = Path(__file__).parents[1] / "examples" / "web" / "build.py"
    spec = importlib.util.spec_from_file_location("build_web", path)
    assert spec is not None
    assert spec.loader is not None
    web = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(web)
    program, _ = web.train(2)
    gd.export(program, tmp_path, "digits", "wasm", format="shared", parameters="baked")
    images = load_digits()[0][:50].reshape(-1, 64)
    (tmp_path / "images.json").write_text(json.dumps(images.tolist()))
    (tmp_path / "main.js").write_text(NODE_PAGE)
    done = subprocess.run(["node", "main.js", path.with_name("recogniser.js")], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert_near(np.array(json.loads(done.stdout), "f"), program(images), SUMS)


NODE_PAGE = """
const fs = require("fs");
const { loadRecogniser } = require(process.argv[2]);
loadRecogniser(fs.readFileSync("digits.wasm")).then((recognise) =>
  console.log(JSON.stringify(JSON.parse(fs.readFileSync("images.json")).map((image) => recognise(image)))));
"""
