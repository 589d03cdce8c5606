"""Exported programs: objects, headers and parameters that C programs use, for this processor and for others."""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import graphdl as gd
from graphdl import nn, optim
from graphdl.backends.native.export.archive import write_archive
from graphdl.backends.native.export.interface import c_names
from graphdl.backends.native.target import FAMILIES, for_export
from graphdl.errors import BackendError
from tests.objects import read_object

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "c_digits"
MAY_BE_MISSING = {"memcpy", "memset"}  # a compiler for any language may call these
THREADS_NEED = {"pthread_create", "pthread_attr_init", "pthread_attr_setstacksize", "pthread_attr_setdetachstate", "pthread_atfork", "syscall"}
RUNTIME = {"_fltused", "__chkstk"}
FORMATS = {
    "aarch64-linux-gnu": ("elf", 183), "riscv64-linux-gnu": ("elf", 243), "x86_64-linux-gnu": ("elf", 62), "arm64-apple-darwin": ("mach-o", 0x0100000C),
    "x86_64-pc-windows-msvc": ("coff", 0x8664), "wasm32": ("wasm", 0),
}  # fmt: skip
FUNCTIONS = ("sin", "cos", "tan", "tanh", "exp", "log", "erf", "floor", "ceil", "round", "sqrt", "sigmoid", "atan", "sinh", "cbrt", "erfc", "expm1")
ELF_MACHINES = {"x86-64": 62, "avx2": 62, "avx512": 62, "neon": 183, "riscv64": 243, "riscv64-v": 243}

needs_gcc = pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
needs_gxx = pytest.mark.skipif(not shutil.which("g++"), reason="no g++")
needs_linker = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang", "ld", "ld.lld"))), reason="no linker")


def training_step() -> gd.Executable:
    """A step of Adam for a small classifier: state, indices, a symbolic size."""
    gd.random.seed(1)
    x, y = gd.placeholder("x", ("N", 12)), gd.placeholder("y", ("N",), "int64")
    net = nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 5))
    loss = nn.functional.cross_entropy(net(x), y)
    return gd.compile(loss, inputs=[x, y], updates=optim.Adam(lr=1e-2).updates(loss, net.parameters()))


def inference() -> gd.Executable:
    """Convolution, attention and an LSTM, without anything to learn."""
    gd.random.seed(1)
    x = gd.placeholder("x", ("N", 2, 8, 8))
    seen = gd.reshape(nn.Conv2d(2, 4, 3, padding=1)(x), (-1, 16, 16))
    told, _ = nn.LSTM(16, 8, batch_first=True)(seen)
    return gd.compile(nn.MultiheadAttention(8, 2, batch_first=True)(told, told, told)[0], inputs=[x], mode="inference")


def batches(count: int) -> list[tuple[Any, Any]]:
    random = np.random.default_rng(0)
    return [(random.normal(size=(n, 12)).astype("f"), random.integers(0, 5, n)) for n in itertools.islice(itertools.cycle((7, 64, 1)), count)]


def mathematics() -> gd.Executable:
    """Functions of every kind, in every floating dtype: what a compiler might look for in a library."""
    x, d, h, i = inputs = [gd.placeholder(dtype, ("N",), dtype) for dtype in ("float32", "float64", "float16", "int64")]
    outputs = [getattr(gd, name)(value) for name in FUNCTIONS for value in (x, d)]
    outputs += [x ** d.astype("float32"), d % 3.0, i % 7, i // 3, h * 2, gd.exp(h), i.astype("float64"), d.astype("int64")]
    return gd.compile(outputs, inputs=inputs)


def run(*command: str | Path) -> str:
    """The output of a command that must succeed without a word on the error stream."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def aligned(data: bytes | int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Zeros, or a copy of `data`, at a multiple of 64 bytes."""
    size = data if isinstance(data, int) else len(data)
    held = np.zeros(size + 64, np.uint8)
    start = -held.ctypes.data % 64
    if isinstance(data, bytes):
        held[start : start + size] = np.frombuffer(data, np.uint8)
    return held[start : start + size]


class Library:
    """A shared library's program, called as C calls it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.loaded = ctypes.CDLL(str(folder / f"lib{name}.so"))
        self.name = name

    def call(self, name: str, *arguments: Any) -> int:
        function = self.loaded[name]
        function.restype = ctypes.c_int64
        return int(function(*(ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else ctypes.c_int64(a) for a in arguments)))

    def told(self, status: int) -> str:
        function = self.loaded[f"{self.name}_error"]
        function.restype = ctypes.c_char_p
        return str(function(ctypes.c_int64(status)).decode())


# -- C -------------------------------------------------------------------------------------------------------------


@needs_gcc
@pytest.mark.parametrize("parameters", ["file", "baked"])
def test_the_header_is_c(tmp_path: Path, parameters: str) -> None:
    gd.export(training_step(), tmp_path, "step", parameters=parameters)
    (tmp_path / "user.c").write_text('#include "step.h"\n#include "step.h"\nint user(void);\nint user(void) { return step_error(0)[0]; }\n')
    run("gcc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-c", tmp_path / "user.c", "-o", tmp_path / "user.o")


@needs_gxx
def test_the_header_is_cpp(tmp_path: Path) -> None:
    gd.export(training_step(), tmp_path, "step")
    (tmp_path / "user.cpp").write_text('#include "step.h"\nint main() { return step_error(0)[0]; }\n')
    run("g++", "-pedantic", "-Wall", "-Wextra", "-Werror", tmp_path / "user.cpp", tmp_path / "step.o", "-o", tmp_path / "user")
    run(tmp_path / "user")


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("export_digits", EXAMPLE / "export_digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_gcc
@pytest.mark.parametrize("format", ["object", "shared", "c-archive"])
def test_c_trains_the_digits_to_the_last_bit(tmp_path: Path, format: str) -> None:
    digits = example()
    step, classify = digits.build()
    digits.export(tmp_path, step, classify)
    if format != "object":
        gd.export(step, tmp_path, "step", format=format)
        gd.export(classify, tmp_path, "classify", format=format)
    objects = [tmp_path / "step.o", tmp_path / "classify.o"] if format == "object" else [f"-L{tmp_path}", f"-Wl,-rpath,{tmp_path}", "-lstep", "-lclassify"]
    run("gcc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{tmp_path}", EXAMPLE / "main.c", *objects, "-o", tmp_path / "train")
    assert run(tmp_path / "train", tmp_path, "12") == digits.train(step, classify, 12)


@pytest.mark.parametrize("target", [None, *FORMATS])
def test_the_digits_network_is_small(tmp_path: Path, target: str | None) -> None:
    """The training step and the classifier together, for every target."""
    digits = example()
    code = [gd.export(program, tmp_path, "digits", target)[0].read_bytes() for program in digits.build()]
    assert sum(map(len, code)) < 100 << 10


@pytest.mark.skipif(not (shutil.which("aarch64-linux-gnu-gcc") and shutil.which("qemu-aarch64")), reason="no compiler and emulator for AArch64")
def test_aarch64_trains_the_digits(tmp_path: Path) -> None:
    digits = example()
    step, classify = digits.build()
    digits.export(tmp_path, step, classify, "aarch64-linux-gnu")
    objects = [tmp_path / "step.o", tmp_path / "classify.o"]
    run("aarch64-linux-gnu-gcc", "-static", "-std=c11", "-O2", f"-I{tmp_path}", EXAMPLE / "main.c", *objects, "-o", tmp_path / "train")
    printed, expected = run("qemu-aarch64", tmp_path / "train", tmp_path, "3"), digits.train(step, classify, 3)
    losses, others = (np.array(re.findall(r"loss ([\d.]+)", text), np.float64) for text in (printed, expected))
    assert np.allclose(losses, others, rtol=1e-5)  # sums have another order on another processor


@needs_gcc
def test_two_programs_with_threads_in_one(tmp_path: Path) -> None:
    gd.export(training_step(), tmp_path, "one", threads=True)
    gd.export(training_step(), tmp_path, "two", threads=True, parameters="baked", format="c-archive")
    (tmp_path / "user.c").write_text("""
#include <stdio.h>
#include <stdlib.h>
#include "one.h"
#include "two.h"
int main(int count, char **arguments) {
    static float x[600 * 12];
    static int64_t y[600];
    float first, second;
    void *arena = aligned_alloc(64, (one_arena_bytes(600) + 63) / 64 * 64), *block = aligned_alloc(64, ONE_PARAMETERS_BYTES);
    FILE *file = fopen(arguments[count - 1], "rb");
    if (!file || fread(block, 1, ONE_PARAMETERS_BYTES, file) != ONE_PARAMETERS_BYTES) return 1;
    for (int k = 0; k < 600 * 12; k++) x[k] = (float)(k % 17) / 17;
    for (int k = 0; k < 600; k++) y[k] = k % 5;
    for (int k = 0; k < 20; k++)
        if (one(600, x, y, &first, block, arena, 1 + k % 3) || two(600, x, y, &second, arena, 2) || first != second) return 2;
    printf("%.9g", first);
    return 0;
}""")
    flags = ["-std=c11", "-Wall", "-Wextra", "-pthread", f"-I{tmp_path}"]
    run("gcc", *flags, tmp_path / "user.c", tmp_path / "one.o", f"-L{tmp_path}", "-ltwo", "-o", tmp_path / "user")
    step = training_step()
    x, y = ((np.arange(600 * 12) % 17).astype("f") / np.float32(17)).reshape(600, 12), np.arange(600) % 5
    losses = [float(step(x, y)) for _ in range(20)]
    assert run(tmp_path / "user", tmp_path / "one.params") == f"{losses[-1]:.9g}"


# -- called as C calls it --------------------------------------------------------------------------------------------


@needs_linker
@pytest.mark.parametrize("parameters", ["file", "baked"])
def test_a_training_step_gives_the_same_bits(tmp_path: Path, parameters: str) -> None:
    step = training_step()
    gd.export(step, tmp_path, "step", format="shared", parameters=parameters)
    library, loss = Library(tmp_path, "step"), np.zeros((), "f")
    block = [aligned((tmp_path / "step.params").read_bytes())] if parameters == "file" else []
    arena = aligned(library.call("step_arena_bytes", 64))
    for x, y in batches(9):
        assert library.call("step", len(x), x, y, loss, *block, arena) == 0
        assert loss == step(x, y)


@needs_linker
def test_statuses(tmp_path: Path) -> None:
    gd.export(training_step(), tmp_path, "step", format="shared")
    library, loss = Library(tmp_path, "step"), np.zeros((), "f")
    image = (tmp_path / "step.params").read_bytes()
    block, arena = aligned(image), aligned(library.call("step_arena_bytes", 64))
    (x, y), *_ = batches(1)
    y[3] = 5
    status = library.call("step", len(x), x, y, loss, block, arena)
    assert "cross_entropy (test_export.py" in library.told(status)
    assert block.tobytes() == image
    assert library.told(library.call("step", -1, x, y, loss, block, arena)) == "a size is negative"
    assert (library.told(0), library.told(77)) == ("", "no status of this program")


@needs_linker
def test_sizes_that_must_agree(tmp_path: Path) -> None:
    a, b = gd.placeholder("a", ("N", "K")), gd.placeholder("b", ("M", 3))
    gd.export(gd.compile(gd.reshape(a, ("M", 3)) + b, inputs=[a, b]), tmp_path, "agree", format="shared")
    library, found, arena = Library(tmp_path, "agree"), np.zeros((4, 3), "f"), aligned(64)
    assert library.call("agree", 2, 6, 4, np.ones((2, 6), "f"), np.ones((4, 3), "f"), found, arena) == 0
    assert np.all(found == 2)
    status = library.call("agree", 2, 5, 4, np.ones((2, 5), "f"), np.ones((4, 3), "f"), found, arena)
    assert library.told(status).endswith("needs K*N = 3*M")


@needs_linker
def test_random_state_buffers_and_loops(tmp_path: Path) -> None:
    gd.random.seed(3)
    x = gd.placeholder("x", ("N", 2, 3))
    norm, drop = nn.BatchNorm1d(2), nn.Dropout(0.5)
    carry, _ = gd.scan(lambda state, one: (gd.tanh(state + one), state), gd.zeros((2, 3)), drop(norm(x)))
    loss = gd.sum(carry)
    step = gd.compile(loss, inputs=[x], updates=optim.SGD(lr=0.1).updates(loss, norm.parameters()))
    gd.export(step, tmp_path, "loops", format="shared")
    library, found = Library(tmp_path, "loops"), np.zeros((), "f")
    block, arena = aligned((tmp_path / "loops.params").read_bytes()), aligned(library.call("loops_arena_bytes", 9))
    for _ in range(4):
        values = np.random.default_rng(0).normal(size=(9, 2, 3)).astype("f")
        assert library.call("loops", 9, values, found, block, arena) == 0
        assert found == step(values)


@needs_linker
def test_gradients_and_several_outputs(tmp_path: Path) -> None:
    x = gd.placeholder("x", ("N", 6), "float64")
    w = gd.parameter(np.linspace(-1, 1, 12).reshape(6, 2), "w")
    loss = gd.sum(gd.sin(x @ w))
    program = gd.compile([loss, *gd.grad(loss, [w, x])], inputs=[x])
    gd.export(program, tmp_path, "slope", format="shared")
    values = np.random.default_rng(0).normal(size=(9, 6))
    outputs = [np.zeros((), "d"), np.zeros((6, 2)), np.zeros((9, 6))]
    library = Library(tmp_path, "slope")
    arena = aligned(library.call("slope_arena_bytes", 9))
    assert library.call("slope", 9, values, *outputs, aligned((tmp_path / "slope.params").read_bytes()), arena) == 0
    assert all(np.array_equal(found, expected) for found, expected in zip(outputs, program(values), strict=True))


@needs_linker
def test_fixed_sizes_and_no_parameters(tmp_path: Path) -> None:
    x = gd.placeholder("x", (4, 3))
    program = gd.compile(gd.softmax(x, axis=1) + np.arange(3, dtype="f"), inputs=[x])
    written = gd.export(program, tmp_path, "fixed", format="shared")
    assert [path.name for path in written] == ["libfixed.so", "fixed.h"]
    (line,) = (line for line in written[1].read_text().splitlines() if "_ARENA_BYTES" in line and "define" in line)
    values, found = np.random.default_rng(0).normal(size=(4, 3)).astype("f"), np.zeros((4, 3), "f")
    assert Library(tmp_path, "fixed").call("fixed", values, found, aligned(int(line.split()[2]))) == 0
    assert np.array_equal(found, program(values))


# -- for other processors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("triple", FORMATS)
@pytest.mark.parametrize("program", [training_step, inference, mathematics])
def test_objects_for_other_systems(tmp_path: Path, triple: str, program: Callable[[], gd.Executable]) -> None:
    code, header, *block = gd.export(program(), tmp_path, "step", triple)
    found = read_object(code.read_bytes())
    assert (found.format, found.machine) == FORMATS[triple]
    constants = {name for name in found.defined if name.startswith(("__real@", "__xmm@"))}  # Windows' linkers merge equal ones
    assert found.defined - constants == {"step", "step_error"} | ({"step_arena_bytes"} if "step_arena_bytes(" in header.read_text() else set())
    assert found.undefined <= stated(header)
    assert for_export(triple).triple in header.read_text()
    assert all(path.stat().st_size % 64 == 0 for path in block)


def stated(header: Path) -> set[str]:
    """The functions that a header says the code may call."""
    text = header.read_text()
    return {name for name in (*MAY_BE_MISSING, *RUNTIME, *THREADS_NEED) if re.search(rf"\b{name}\b", text)} | (
        THREADS_NEED if "pthread functions" in text else set()
    )


@pytest.mark.parametrize("family", ELF_MACHINES)
def test_nothing_is_wanted_from_elsewhere(tmp_path: Path, family: str) -> None:
    for program, threads in ((training_step(), False), (mathematics(), False), (training_step(), True)):
        code, header, *_ = gd.export(program, tmp_path, "program", family, threads=threads)
        found = read_object(code.read_bytes())
        assert found.machine == ELF_MACHINES[family]
        assert found.undefined <= stated(header)
        assert threads == bool(found.undefined & THREADS_NEED)


def test_a_family_on_another_system() -> None:
    target = for_export("avx2@x86_64-pc-windows-msvc")
    assert (target.cpu, target.triple) == (FAMILIES["avx2"].cpu, "x86_64-pc-windows-msvc")


# -- archives, names, refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("apple", [False, True])
@pytest.mark.parametrize("name", ["a.o", "a_name_beyond_fifteen_characters.o"])
def test_archives_point_at_their_member(apple: bool, name: str) -> None:
    data = b"object" * 3 + b"."
    archive = write_archive(name, data, ["first", "second"], apple=apple)
    assert archive.startswith(b"!<arch>\n")
    if apple:
        start = archive.index(b"__.SYMDEF") + 12
        rows, *entries = struct.unpack_from("<5I", archive, start)
        assert rows == 16
        assert archive.index(data) % 8 == 0
        (place,) = set(entries[1::2])
    else:
        count, *places = struct.unpack_from(">3I", archive, 68)
        assert count == 2
        (place,) = set(places)
    assert archive[place + 58 : place + 60] == b"`\n"
    assert archive[place:].startswith(b"#1/" if apple else b"/0" if len(name) > 15 else b"a.o/")
    assert archive.index(data) - place < 120


def test_names_are_identifiers_and_differ() -> None:
    assert c_names(["0.weight", "0_weight", "W", "w", "int", "n"], ["n"]) == ["p_0_weight", "p_0_weight_2", "W", "w_2", "int_2", "n_2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "1st"}, "C identifier"), ({"name": "while"}, "C identifier"), ({"name": "../up"}, "C identifier"), ({"format": "exe"}, "format is one of"),
        ({"parameters": "none"}, "parameters one of"), ({"target": "z80"}, "no target 'z80'"), ({"target": "neon@x86_64-linux-gnu"}, "no target"),
        ({"target": "arm64-apple-darwin", "threads": True}, "needs Linux"), ({"target": "wasm", "threads": True}, "needs Linux"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    x = gd.placeholder("x", (2,))
    with pytest.raises(BackendError, match=message):
        gd.export(gd.compile(x + 1, inputs=[x]), tmp_path, **{"name": "p", **options})
    assert not list(tmp_path.iterdir())


def test_no_linker_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    x = gd.placeholder("x", (2,))
    with pytest.raises(BackendError, match=r"no linker for .* was found \(looked for cc, gcc, clang, ld, ld.lld\)"):
        gd.export(gd.compile(x + 1, inputs=[x]), tmp_path, "p", format="shared")
