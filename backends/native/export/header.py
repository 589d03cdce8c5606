"""The C header of an exported program: C99 and C++, every argument with dtype, shape, order and alignment."""

from __future__ import annotations

import textwrap

from graphdl.version import __version__

from .interface import ALIGNMENT, BAD_SIZE, C_TYPES, Argument, Interface

WIDTH = 120


def write_header(interface: Interface) -> str:
    """The text of `name.h`."""
    name, guard = interface.name, f"{interface.name.upper()}_H"
    parts = [
        _comment(_about(interface)),
        f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>",
        '#ifdef __cplusplus\nextern "C" {\n#endif',
        _constants(interface),
        _block(interface),
        _comment(_arguments(interface)) + f"\n{_prototype(interface)}",
        _arena(interface),
        f'/* What a status says in words; "" for 0. */\nconst char *{name}_error(int64_t status);',
        f"#ifdef __cplusplus\n}}\n#endif\n\n#endif /* {guard} */",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _about(interface: Interface) -> list[str]:
    target = interface.target
    features = " ".join(feature for feature in target.features.split(",") if feature.startswith("+"))
    return [
        f"{interface.name}: a neural network program, made by graphdl {__version__}.",
        "",
        *textwrap.wrap(f"Target: {target.triple}, processor {target.cpu}{f' with {features}' * bool(features)}.", WIDTH, break_on_hyphens=False),
        *_needs(interface),
        "All arrays are dense, in C order (last axis fastest) and aligned to their elements. Sizes and shapes count elements.",
        "Outputs must not overlap each other or anything that is read. Two calls at a time need two arenas"
        + (", and never share state that is updated." if interface.updated else "."),
    ]


def _needs(interface: Interface) -> list[str]:
    triple = interface.target.triple
    lines = ["It allocates nothing and calls nothing but memcpy and memset, as any C compiler's code may."]
    if interface.threads:
        lines = ["It calls memcpy, memset, syscall and pthread functions, and allocates nothing but the stacks of its threads."]
    if triple.startswith("wasm"):
        lines = ["It allocates nothing and imports nothing. It needs SIMD and bulk memory operations, which all browsers since 2023 have."]
    if "windows" in triple:
        lines.append("For Windows it also names _fltused and __chkstk, which every C runtime there has.")
    return lines


def _constants(interface: Interface) -> str:
    upper = interface.name.upper()
    lines = [f"#define {upper}_ALIGNMENT {ALIGNMENT} /* of the arena{' and the parameters' * interface.takes_parameters} */"]
    if interface.arena is not None:
        lines.append(f"#define {upper}_ARENA_BYTES {interface.arena}")
    if interface.takes_parameters:
        lines.append(f"#define {upper}_PARAMETERS_BYTES {interface.block_bytes}")
    return "\n".join(lines)


def _block(interface: Interface) -> str:
    """A typed accessor for every parameter in the block."""
    if not interface.takes_parameters:
        return ""
    about = [
        f"The parameters lie in one block; {interface.name}.params holds it as it was when exported, little-endian: read it whole.",
        "Each macro gives a parameter's address in a block:",
    ]
    lines = []
    for slot in interface.block:
        kind = C_TYPES[slot.type.dtype]
        place = f"({kind} *)((unsigned char *)(block) + {slot.offset})"
        changes = ", updated" if slot.buffer in interface.updated else ""
        lines.append(f"#define {interface.name.upper()}_{slot.name.upper()}(block) ({place}) /* {slot.type}{changes} */")
    return "\n".join([_comment(about), *lines])


def _arguments(interface: Interface) -> list[str]:
    """What each argument is, in order, and what comes back."""
    rows = [(name, f"a size{'' if name == symbol else f', {symbol} below'}") for symbol, name in interface.sizes]
    rows += [(argument.name, f"in: {_described(argument)}") for argument in interface.inputs]
    rows += [(argument.name, f"out: {_described(argument)}") for argument in interface.outputs]
    if interface.takes_parameters:
        changes = f"in and out: {_count(len(interface.updated), 'array')} of it get new values" if interface.updated else "in"
        rows.append(("parameters", f"{changes}; {interface.name.upper()}_PARAMETERS_BYTES bytes"))
    size = f"{interface.name.upper()}_ARENA_BYTES" if interface.arena is not None else f"{interface.name}_arena_bytes()"
    rows.append(("arena", f"scratch memory of {size} bytes; what it holds before and after means nothing"))
    if interface.threads:
        rows.append(("threads", "how many threads may work, from 1; the result does not depend on it"))
    width = max(len(name) for name, _ in rows)
    table = [f"  {name:<{width}}  {text}" for name, text in rows]
    return ["Run the program. Arguments, in order:", *table, *_statuses(interface)]


def _statuses(interface: Interface) -> list[str]:
    lines = ["Returns 0, or a status:" if interface.sites or interface.sizes else "Returns 0."]
    for value, message in interface.messages.items():
        if value != BAD_SIZE or interface.sizes:
            lines.append(f"  {value:>3}  {message}")
    if len(lines) > 1:
        state = " and no parameter is changed" if interface.updated else ""
        lines.append(f"After a status other than 0 the outputs mean nothing{state}.")
    return lines


def _described(argument: Argument) -> str:
    also = f", `{argument.declared}`" if argument.declared != argument.name else ""
    held = {"bool": ", 0 or 1", "float16": ", its bits", "bfloat16": ", its bits"}.get(argument.type.dtype, "")
    return f"{argument.type}{held}{also}"


def _prototype(interface: Interface) -> str:
    arguments = [f"int64_t {name}" for _, name in interface.sizes]
    arguments += [f"const {C_TYPES[argument.type.dtype]} *{argument.name}" for argument in interface.inputs]
    arguments += [f"{C_TYPES[argument.type.dtype]} *{argument.name}" for argument in interface.outputs]
    if interface.takes_parameters:
        arguments.append("void *parameters" if interface.updated else "const void *parameters")
    arguments += ["void *arena"] + ["int64_t threads"] * interface.threads
    return f"int64_t {interface.name}({', '.join(arguments)});"


def _arena(interface: Interface) -> str:
    if interface.arena is not None:
        return ""
    arguments = ", ".join(f"int64_t {name}" for _, name in interface.sizes)
    return f"/* The bytes of scratch memory that a call with these sizes needs. */\nint64_t {interface.name}_arena_bytes({arguments});"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _comment(lines: list[str]) -> str:
    text = "\n".join(f" * {line}".rstrip() for line in lines).replace("*/", "* /").replace("/*", "/ *")
    return "/*" + text[2:] + "\n */"
