"""Exported programs run as other programs run them: from C, here or under an emulator, and from JavaScript in Node."""

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
from graphdl.backends.native.export.link import link_shared
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


SCRIPT = """const fs = require("fs");
const [, , code, source, results] = process.argv;
WebAssembly.instantiate(fs.readFileSync(code)).then(({ instance }) => {
  const { memory, program, program_arena_bytes, __heap_base } = instance.exports;
  let end = __heap_base.value;
  const reserve = (bytes) => {
    const place = (end + 63) & -64;
    end = place + bytes;
    if (end > memory.buffer.byteLength) memory.grow(Math.ceil((end - memory.buffer.byteLength) / 65536));
    return place;
  };
  const file = fs.openSync(source), out = fs.openSync(results, "w");
  const filled = (bytes) => {
    const place = reserve(bytes);
    if (fs.readSync(file, new Uint8Array(memory.buffer, place, bytes)) !== bytes) throw new Error("the file is too short");
    return place;
  };
  const write = (place, bytes) => fs.writeSync(out, new Uint8Array(memory.buffer, place, bytes));
{declarations}
  for (let k = 0; k < {steps}; k++) {
    const status = program({given});
    if (status) throw new Error(String(status));
{written}
  }
{after}
});
"""


@dataclass(frozen=True)
class Machine:
    """How programs for a target are compiled and run."""

    target: str
    compiler: str
    emulator: tuple[str, ...] = ()
    linker: str = ""

    @property
    def missing(self) -> list[str]:
        """The commands that it takes and that are not installed."""
        return [command for command in (self.compiler, *self.emulator[:1], self.linker) if command and not shutil.which(command)]

    @property
    def is_here(self) -> bool:
        """Whether this machine can do it."""
        if self.missing:
            return False
        return bool(self.emulator or self.linker) or (platform.machine() == "x86_64" and instructions_of(for_export(self.target)) <= instructions_of(host()))


NODE = "node"
MACHINES = [
    Machine("x86-64", "gcc"), Machine("avx2", "gcc"), Machine("aarch64-linux-gnu", "aarch64-linux-gnu-gcc", ("qemu-aarch64",)),
    Machine("riscv64-linux-gnu", "riscv64-linux-gnu-gcc", ("qemu-riscv64",)),
    Machine("wasm32", NODE, linker="wasm-ld"),
]  # fmt: skip


def run_elsewhere(program: gd.Executable, arrays: Sequence[Array], machine: Machine, folder: Path, steps: int) -> tuple[list[list[Array]], bytes, Interface]:
    """The outputs of each of `steps` calls on that machine, the block of parameters after them, and how the program looks from there."""
    call = Call(program, arrays, machine.target)
    call.write(folder)
    (_run_in_node if machine.compiler == NODE else _run_in_c)(call, machine, folder, steps)
    data = (folder / "out").read_bytes()
    found: list[list[Array]] = []
    for _ in range(steps):
        found.append([])
        for array in call.outputs:
            found[-1].append(np.frombuffer(data[: array.nbytes], array.dtype).reshape(array.shape))
            data = data[array.nbytes :]
    assert len(data) == sum(size for _, size in call.blocks)
    return found, data, call.artifact.interface


class Call:
    """A call written down: names and bytes of what goes in, what comes out, and the parameters."""

    def __init__(self, program: gd.Executable, arrays: Sequence[Array], target: str) -> None:
        self.artifact = export_program(program.compilation, "program", for_export(target))
        interface = self.artifact.interface
        sizes = program.compilation.signature.bind(arrays)
        self.sizes = [sizes[symbol] for symbol, _ in interface.sizes]
        self.arrays, self.outputs = arrays, _blanks(program, arrays)
        self.inputs = [(argument.name, array.nbytes) for argument, array in zip(interface.inputs, arrays, strict=True)]
        self.results = [(argument.name, array.nbytes) for argument, array in zip(interface.outputs, self.outputs, strict=True)]
        self.blocks = [("parameters", interface.block_bytes)] if interface.takes_parameters else []
        self.arena = interface.arena
        self.pointers = [name for name, _ in (*self.inputs, *self.results, *self.blocks)] + ["arena"]

    def write(self, folder: Path) -> None:
        """Write the code, its header, and the file that the call reads its arrays from."""
        (folder / "program.o").write_bytes(self.artifact.code)
        (folder / "program.h").write_text(self.artifact.header)
        (folder / "in").write_bytes(b"".join([*(array.tobytes() for array in self.arrays), self.artifact.interface.block_image()]))


def _run_in_c(call: Call, machine: Machine, folder: Path, steps: int) -> None:
    sizes = list(map(str, call.sizes))
    arena = "PROGRAM_ARENA_BYTES" if call.arena is not None else f"program_arena_bytes({', '.join(sizes)})"
    lines = [f"    void *{name} = filled(in, {size});" for name, size in (*call.inputs, *call.blocks)]
    lines += [f"    void *{name} = memory({size});" for name, size in call.results]
    text = MAIN.format(
        declarations="\n".join([*lines, f"    void *arena = memory((size_t){arena});"]),
        steps=steps,
        given=", ".join([*sizes, *call.pointers]),
        written="\n".join(f"        fwrite({name}, 1, {size}, out);" for name, size in call.results),
        after="\n".join(f"    fwrite({name}, 1, {size}, out);" for name, size in call.blocks),
    )
    (folder / "main.c").write_text(text)
    _run(
        machine.compiler,
        "-static",
        "-std=c11",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        str(folder / "main.c"),
        str(folder / "program.o"),
        "-o",
        str(folder / "main"),
    )
    _run(*machine.emulator, str(folder / "main"), str(folder / "in"), str(folder / "out"))


def _run_in_node(call: Call, machine: Machine, folder: Path, steps: int) -> None:
    link_shared(folder / "program.o", folder / "program.wasm", for_export(machine.target), threads=False)
    sizes = [f"{size}n" for size in call.sizes]
    arena = str(call.arena) if call.arena is not None else f"Number(program_arena_bytes({', '.join(sizes)}))"
    lines = [f"  const {name} = filled({size});" for name, size in (*call.inputs, *call.blocks)]
    lines += [f"  const {name} = reserve({size});" for name, size in call.results]
    parts = {
        "declarations": "\n".join([*lines, f"  const arena = reserve({arena});"]),
        "steps": str(steps),
        "given": ", ".join([*sizes, *call.pointers]),
        "written": "\n".join(f"    write({name}, {size});" for name, size in call.results),
        "after": "\n".join(f"  write({name}, {size});" for name, size in call.blocks),
    }
    text = SCRIPT
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    (folder / "main.js").write_text(text)
    _run(machine.compiler, str(folder / "main.js"), str(folder / "program.wasm"), str(folder / "in"), str(folder / "out"))


def _blanks(program: gd.Executable, arrays: Sequence[Array]) -> list[Array]:
    """Arrays like the outputs; the program's parameters stay as they are."""
    tensors = program.compilation.declared.parameters
    before = [tensor.value.copy() for tensor in tensors]
    results = program(*arrays)
    for tensor, value in zip(tensors, before, strict=True):
        tensor.value = value
    return list(results) if isinstance(results, tuple) else [results]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
