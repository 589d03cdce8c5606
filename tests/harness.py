"""Exported programs run as other programs run them: a C program is written, compiled and run, here or under an emulator."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import graphdl as gd
from graphdl.backends.native.export import export_program
from graphdl.backends.native.export.interface import Interface
from graphdl.backends.native.target import for_export, host, instructions_of

Array = np.ndarray[Any, Any]

MAIN = """#include <stdio.h>
#include <stdlib.h>
#include "program.h"

static void *memory(size_t bytes)
{{
    void *found = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    if (!found) exit(2);
    return found;
}}

static void *filled(FILE *file, size_t bytes)
{{
    void *found = memory(bytes);
    if (fread(found, 1, bytes, file) != bytes) exit(3);
    return found;
}}

int main(int count, char **arguments)
{{
    FILE *in = fopen(arguments[1], "rb"), *out = fopen(arguments[2], "wb");
    if (count != 3 || !in || !out) return 4;
{declarations}
    for (int k = 0; k < {steps}; k++) {{
        int64_t status = program({given});
        if (status) {{ fprintf(stderr, "%s\\n", program_error(status)); return 1; }}
{written}
    }}
{after}
    return fclose(out);
}}
"""


@dataclass(frozen=True)
class Machine:
    """How C programs for a target are compiled and run."""

    target: str
    compiler: str
    emulator: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        """Whether this machine can do it."""
        if not shutil.which(self.compiler) or not all(map(shutil.which, self.emulator[:1])):
            return False
        return bool(self.emulator) or (platform.machine() == "x86_64" and instructions_of(for_export(self.target)) <= instructions_of(host()))


MACHINES = [
    Machine("x86-64", "gcc"), Machine("avx2", "gcc"), Machine("aarch64-linux-gnu", "aarch64-linux-gnu-gcc", ("qemu-aarch64",)),
    Machine("riscv64-linux-gnu", "riscv64-linux-gnu-gcc", ("qemu-riscv64",)),
]  # fmt: skip


def run_in_c(program: gd.Executable, arrays: Sequence[Array], machine: Machine, folder: Path, steps: int) -> tuple[list[list[Array]], bytes]:
    """The outputs of each of `steps` calls, and the block of parameters after them."""
    sizes = program.compilation.signature.bind(arrays)
    interface = export_program(program.compilation, "program", for_export(machine.target)).interface
    code, _, *parameters = gd.export(program, folder, "program", machine.target)
    outputs = _blanks(program, arrays)
    (folder / "main.c").write_text(_text(interface, sizes, arrays, outputs, steps))
    (folder / "in").write_bytes(b"".join([*(array.tobytes() for array in arrays), *(path.read_bytes() for path in parameters)]))
    _run(machine.compiler, "-static", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", str(folder / "main.c"), str(code), "-o", str(folder / "main"))
    _run(*machine.emulator, str(folder / "main"), str(folder / "in"), str(folder / "out"))
    data = (folder / "out").read_bytes()
    found: list[list[Array]] = []
    for _ in range(steps):
        found.append([])
        for array in outputs:
            found[-1].append(np.frombuffer(data[: array.nbytes], array.dtype).reshape(array.shape))
            data = data[array.nbytes :]
    return found, data


def _blanks(program: gd.Executable, arrays: Sequence[Array]) -> list[Array]:
    """Arrays like the outputs; the program's parameters stay as they are."""
    tensors = program.compilation.declared.parameters
    before = [tensor.value.copy() for tensor in tensors]
    results = program(*arrays)
    for tensor, value in zip(tensors, before, strict=True):
        tensor.value = value
    return list(results) if isinstance(results, tuple) else [results]


def _text(interface: Interface, sizes: dict[str, int], arrays: Sequence[Array], outputs: Sequence[Array], steps: int) -> str:
    inputs = [(argument.name, array.nbytes) for argument, array in zip(interface.inputs, arrays, strict=True)]
    results = [(argument.name, array.nbytes) for argument, array in zip(interface.outputs, outputs, strict=True)]
    blocks = [("parameters", interface.block_bytes)] if interface.takes_parameters else []
    values = [str(sizes[symbol]) for symbol, _ in interface.sizes]
    arena = "PROGRAM_ARENA_BYTES" if interface.arena is not None else f"program_arena_bytes({', '.join(values)})"
    lines = [f"    void *{name} = filled(in, {size});" for name, size in (*inputs, *blocks)]
    lines += [f"    void *{name} = memory({size});" for name, size in results]
    lines += [f"    void *arena = memory((size_t){arena});"]
    given = [*values, *(name for name, _ in (*inputs, *results, *blocks)), "arena"]
    written = [f"        fwrite({name}, 1, {size}, out);" for name, size in results]
    after = [f"    fwrite({name}, 1, {size}, out);" for name, size in blocks]
    return MAIN.format(declarations="\n".join(lines), steps=steps, given=", ".join(given), written="\n".join(written), after="\n".join(after))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
