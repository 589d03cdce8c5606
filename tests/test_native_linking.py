"""Objects become images, and images memory: what they refer to is where they look for it."""

from __future__ import annotations

import ctypes
import platform
import random
import subprocess
import sys
from pathlib import Path

import pytest

from graphdl.backends.native.runtime import processor
from graphdl.backends.native.runtime.image import MAGIC, PAGE, Image, MappedImage
from graphdl.backends.native.runtime.jit import compile_object, linked, load_object, load_objects
from graphdl.backends.native.runtime.linking import link
from graphdl.backends.native.runtime.processor import this_processor
from graphdl.backends.native.target import host
from graphdl.errors import BackendError

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="images are for x86-64 on Linux")

COUNTER = """
@count = global i64 40
@zeros = internal global [9000 x i64] zeroinitializer, align 128
@places = internal constant [2 x ptr] [ptr @count, ptr @next]
define i64 @next() {
  %old = atomicrmw add ptr @count, i64 1 seq_cst
  %last = getelementptr [9000 x i64], ptr @zeros, i64 0, i64 8999
  %zero = load i64, ptr %last
  %sum = add i64 %old, %zero
  ret i64 %sum
}
define ptr @place(i64 %k) {
  %at = getelementptr [2 x ptr], ptr @places, i64 0, i64 %k
  %found = load ptr, ptr %at
  ret ptr %found
}
"""
CALLER = """
@count = external global i64
declare i64 @next()
declare i64 @labs(i64)
define i64 @twice() {
  %a = call i64 @next()
  %b = call i64 @next()
  %c = load i64, ptr @count
  %d = mul i64 %b, %c
  %e = sub i64 %a, %d
  %f = call i64 @labs(i64 %e)
  ret i64 %f
}
"""


def compiled(text: str) -> bytes:
    return compile_object(text, host(), verify=True)


def test_objects_find_each_other_and_the_process() -> None:
    loaded = load_objects([compiled(CALLER), compiled(COUNTER)])
    call = ctypes.CFUNCTYPE(ctypes.c_int64)(loaded.address("twice"))
    assert call() == 41 * 42 - 40
    assert ctypes.c_int64.from_address(loaded.address("count")).value == 42
    place = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(loaded.address("place"))
    assert [place(k) for k in range(2)] == [loaded.address("count"), loaded.address("next")]


def test_two_images_of_one_object_are_apart() -> None:
    (data,) = linked([compiled(COUNTER)])
    first, second = load_object(data), load_object(data)
    assert ctypes.CFUNCTYPE(ctypes.c_int64)(first.address("next"))() == 40
    assert ctypes.c_int64.from_address(second.address("count")).value == 40


def test_code_cannot_be_written_and_data_not_executed() -> None:
    image = link([compiled(COUNTER)])
    mapped = MappedImage(image, {})
    begin = mapped.address("next") // PAGE * PAGE
    rights = {int(line.split("-")[0], 16): line.split()[1] for line in Path("/proc/self/maps").read_text().splitlines()}
    assert image.writable
    assert rights[begin] == "r-xp"
    assert rights[begin + image.writable] == "rw-p"


def test_what_cannot_be_linked() -> None:
    with pytest.raises(BackendError, match="`next` is defined twice"):
        linked([compiled(COUNTER), compiled(COUNTER.replace("@count", "@other"))])
    with pytest.raises(BackendError, match="`next`: the process has nothing"):
        load_object(compiled(CALLER), {"count": 0})


def test_damaged_objects_raise_only_backend_errors() -> None:
    data, chance = compiled(COUNTER), random.Random(0)
    for _ in range(2000):
        damaged = bytearray(data[: chance.choice([len(data), chance.randrange(1, len(data))])])
        for _ in range(chance.randrange(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            link([bytes(damaged)])
        except BackendError:
            continue


def test_damaged_images_are_refused() -> None:
    image = link([compiled(COUNTER)])
    assert Image.from_bytes(image.to_bytes()) == image
    outside = len(image.content) - 7
    for change in ({"bases": (outside,)}, {"bases": (-1,)}, {"imported": {"labs": (outside,)}}, {"exported": {"next": outside + 8}}, {"writable": 1}):
        parts = {name: getattr(image, name) for name in ("content", "writable", "exported", "bases", "imported")}
        with pytest.raises(BackendError, match="outside"):
            Image.from_bytes(Image(**{**parts, **change}).to_bytes())
    for data in (MAGIC, MAGIC + bytes(8), image.to_bytes()[:40]):
        with pytest.raises(BackendError, match="cannot load"):
            Image.from_bytes(data)


def test_a_cached_program_needs_no_llvm(tmp_path: Path) -> None:
    code = """
import sys
import numpy as np, graphdl as gd
from graphdl import nn
x = gd.placeholder("x", ("N", 5))
f = gd.compile(nn.Linear(5, 3)(x))
assert f(np.zeros((2, 5), "f")).shape == (2, 3)
print("llvmlite.binding" in sys.modules)
"""
    run = [sys.executable, "-c", code]
    told = [subprocess.run(run, env={"GRAPHDL_CACHE_DIR": str(tmp_path / "cache")}, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert told == ["True\n", "False\n"]


def test_the_processor_is_what_llvm_says(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = processor._asked()
    assert this_processor() == this_processor() == asked
    monkeypatch.setattr(processor, "_told_by_system", lambda: None)
    assert this_processor() == asked
    for damaged in (b"", b"[]", b'{"cpu": 1}', b'{"triple": 1, "cpu": "", "features": ""}'):
        assert processor._kept(damaged) is None
