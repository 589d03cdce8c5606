"""Line tables lead from machine code to the user's lines, on request, and never change what is compiled otherwise."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import graphdl as gd
from graphdl.backends.native.lines import with_lines
from graphdl.backends.native.runtime.jit import assembly, compile_object
from graphdl.backends.native.target import host
from graphdl.ir import Source

HERE = Path(__file__)


def declared() -> tuple[gd.Executable, dict[str, int]]:
    """A program, and the line of each of its kernels that has one line only."""
    x, w = gd.placeholder("x", ("N", 64)), gd.parameter(np.ones((64, 8), "f"), "w")
    h = gd.softmax(x, 1)
    z = gd.exp(h @ w)
    program = gd.compile([(h**2).sum(), z], [x])
    return program, {kernel.function: kernel.lines[0].line for kernel in program.kernels if len(kernel.lines) == 1}


def test_every_kernel_has_its_line() -> None:
    program, lines = declared()
    told = {name: Source(str(HERE), line) for name, line in lines.items()}
    text = assembly(with_lines(program.llvm_ir(), told), host())
    assert f'"{HERE.name}"' in text
    for name, line in lines.items():
        body = re.split(rf"^{re.escape(name)}:", text, flags=re.MULTILINE)[1]
        assert re.search(rf"\.loc\s+\d+ {line} ", body.split(".cfi_endproc")[0]), name


def test_an_object_is_written(tmp_path: Path) -> None:
    program, _ = declared()
    program.debug_object(tmp_path / "program.o")
    data = (tmp_path / "program.o").read_bytes()
    assert b".debug_line" in data
    assert HERE.name.encode() in data
    with pytest.raises(OSError, match="missing"):
        program.debug_object(tmp_path / "missing" / "program.o")


def test_nothing_is_added_without_being_asked() -> None:
    program, _ = declared()
    program.debug_object("/dev/null")
    assert "!dbg" not in program.llvm_ir()
    assert not any(b".debug_line" in data for data in program.objects)


def test_names_of_files_are_quoted() -> None:
    program, lines = declared()
    odd = {name: Source('/some "folder"/mö\\del.py', line) for name, line in lines.items()}
    assert compile_object(with_lines(program.llvm_ir(), odd), host(), verify=True)
