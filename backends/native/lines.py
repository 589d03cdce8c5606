"""Line tables: which line of the user's a kernel's machine code comes from, for gdb, perf annotate and objdump.

They are written into LLVM IR on request only. Their text would tell equal kernels of different lines apart, which are now one
function and one object in the cache. A line belongs to a whole kernel: fusion weaves the lines of one together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from graphdl.ir import Source

FIRST = 1_000_000  # above the numbers of all metadata that code generation writes
_DEFINE = re.compile(r"^define .*?@([\w.$]+)\(.*\{$")
_CALL = re.compile(r"call [^@]*@([\w.$]+)\(")


def with_lines(text: str, lines: Mapping[str, Source]) -> str:
    """The module with debug metadata for every function in `lines`, and for calls of them in all others."""
    metadata = _Metadata()
    body = "\n".join(_body(text, lines, metadata))
    return f"{body}\n{metadata.text()}\n"


class _Metadata:
    """Numbered nodes of metadata, each once."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.unit = self.add("distinct !DICompileUnit(language: DW_LANG_C99, file: {file}, producer: \"graphdl\", isOptimized: true, "
                             "runtimeVersion: 0, emissionKind: LineTablesOnly)".format(file=self.file(Source("graphdl", 0))))  # fmt: skip
        self.type = self.add(f"!DISubroutineType(types: {self.add('!{}')})")

    def add(self, node: str) -> str:
        return f"!{self.numbers.setdefault(node, FIRST + len(self.numbers))}"

    def file(self, source: Source) -> str:
        path = Path(source.file)
        return self.add(f'!DIFile(filename: "{_quoted(path.name)}", directory: "{_quoted(str(path.parent))}")')

    def function(self, name: str, source: Source) -> str:
        file = self.file(source)
        return self.add(
            f'distinct !DISubprogram(name: "{name}", scope: {file}, file: {file}, line: {source.line}, type: {self.type}, unit: {self.unit}, '
            f"spFlags: DISPFlagDefinition | DISPFlagOptimized)"
        )

    def place(self, line: int, scope: str) -> str:
        return self.add(f"!DILocation(line: {line}, scope: {scope})")

    def text(self) -> str:
        flags = [self.add('!{i32 2, !"Debug Info Version", i32 3}'), self.add('!{i32 7, !"Dwarf Version", i32 4}')]
        named = [f"!llvm.dbg.cu = !{{{self.unit}}}", f"!llvm.module.flags = !{{{', '.join(flags)}}}"]
        return "\n".join([*named, *(f"!{number} = {node}" for node, number in self.numbers.items())])


def _body(text: str, lines: Mapping[str, Source], metadata: _Metadata) -> Iterator[str]:
    scope, own, listing = "", 0, False
    for line in text.splitlines():
        found = _DEFINE.match(line)
        if found:
            source = lines.get(found[1]) or next(iter(lines.values()), None)
            scope, own = ("", 0) if source is None else (metadata.function(found[1], source), lines[found[1]].line if found[1] in lines else 0)
            yield f"{line[:-1]}!dbg {scope} {{" if scope else line
            continue
        listing = (listing or line.rstrip().endswith("[")) and not line.strip().startswith("]")
        if not scope or listing or not line.startswith(" "):
            scope = "" if line == "}" else scope
            yield line
            continue
        call = _CALL.search(line)
        called = lines.get(call[1]) if call else None
        yield f"{line}, !dbg {metadata.place(called.line if called and not own else own, scope)}"


def _quoted(text: str) -> str:
    """A string of LLVM IR: all but plain letters as bytes."""
    return "".join(chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\' else f"\\{byte:02X}" for byte in text.encode())
