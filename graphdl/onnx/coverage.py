"""What of ONNX is covered, told from the registry of translators and ONNX's own definitions: the list in docs/onnx.md."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from .functions import Functions
from .registry import translated_ops

# What tensors of numbers cannot express.
OTHER_KINDS = {
    "ImageDecoder": "decodes image files",
    "RegexFullMatch": "works on text",
    "StringConcat": "works on text",
    "StringNormalizer": "works on text",
    "StringSplit": "works on text",
    "TfIdfVectorizer": "counts n-grams of a vocabulary",
}


OPSET = 28  # what the lists tell of


def newest_ops() -> dict[str, onnx.defs.OpSchema]:
    """ONNX's own ops at the opset `OPSET`, by name, without those that it has taken back."""
    names = sorted({schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""})
    found = {name: onnx.defs.get_schema(name, OPSET, "") for name in names if onnx.defs.has(name, OPSET, "")}
    return {name: schema for name, schema in found.items() if not schema.deprecated}


def missing_ops() -> list[str]:
    """The names of ONNX's ops that cannot be translated."""
    functions = Functions(())
    translated_ops()
    return [name for name in newest_ops() if not functions.is_known("", name, OPSET)]


def coverage() -> str:
    """The lists in Markdown: ops with a translator, ops by their definition in other ops, ops of other domains, and ops that are missing."""
    own = dict.fromkeys(name for domain, name in translated_ops() if domain == "")
    others = sorted((domain, name) for domain, name in translated_ops() if domain)
    missing = missing_ops()
    defined = [name for name in newest_ops() if name not in own and name not in missing]
    parts = [
        f"### Translated ({len(own)})\n\n{_listed(own)}",
        f"### By ONNX's own definition in other ops ({len(defined)})\n\n{_listed(defined)}",
        *(f"### Of {domain}\n\n{_listed(name for of, name in others if of == domain)}" for domain in dict.fromkeys(domain for domain, _ in others)),
        f"### Missing ({len(missing)})\n\n" + "\n".join(f"- {name}: {OTHER_KINDS.get(name, 'not translated yet')}" for name in missing),
    ]
    return "\n\n".join(parts)


def _listed(names: Iterable[str]) -> str:
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) > 138:
            lines.append("")
        lines[-1] += f"{name}, "
    return "\n".join(line.rstrip() for line in lines).rstrip(",")
