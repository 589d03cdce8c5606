"""What the command line is pointed at: `FILE.py:name` (a tensor, list of tensors, graph, module or program), an ONNX model or a saved program."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from functools import reduce
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ..compiler import Executable
from ..errors import GraphdlError
from ..ir import Graph, Tensor

if TYPE_CHECKING:
    from ..onnx.model import Model

Target = Executable | Graph
SUFFIX = ".gdp"  # of saved programs


def load_target(text: str) -> Target:
    """Run the file and take the thing of that name; a function without parameters is called for it.

    Raises GraphdlError where there is no such file or name, or where it is nothing that has a graph.
    """
    if text.endswith(".onnx"):
        model = load_model(Path(text))
        return Graph(list(model.outputs), list(model.inputs))
    if text.endswith(SUFFIX):
        return importlib.import_module("graphdl.io").load_program(text)  # type: ignore[no-any-return]
    path, separator, name = text.rpartition(":")
    if not separator or not path.endswith(".py") or not name:
        accepted = "a tensor, a list of tensors, a graph, a module or a compiled program"
        raise GraphdlError(f"{text!r}: write FILE.py:name, where name is {accepted}, or name an ONNX model or a saved program")
    found = _take(_run(Path(path)), name, text)
    if isinstance(found, FunctionType):
        found = found()
    if isinstance(found, Executable | Graph):
        return found
    found = getattr(found, "_outputs", None) or getattr(found, "outputs", None) or found  # of a module that was called, or a loaded model
    tensors = [found] if isinstance(found, Tensor) else list(found) if isinstance(found, list | tuple) else []
    if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors):
        raise GraphdlError(f"{text}: {type(found).__name__} is no tensor, list of tensors, graph or compiled program, and no module that was called")
    return Graph(tensors)


def load_model(path: Path) -> Model:
    """The model in an ONNX file. Raises GraphdlError where it is missing or ONNX files cannot be read here."""
    if not path.is_file():
        raise GraphdlError(f"there is no file {path}")
    try:
        loader = importlib.import_module("graphdl.onnx")
    except ImportError as error:
        raise GraphdlError(f"{path}: ONNX models cannot be read here: {error}") from None
    return loader.load(path)  # type: ignore[no-any-return]


def _run(path: Path) -> Any:
    if not path.is_file():
        raise GraphdlError(f"there is no file {path}")
    name = f"graphdl_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise GraphdlError(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise GraphdlError(f"{path} cannot be run:\n{_told(error, path)}") from error
    finally:
        sys.path.pop(0)
    return module


def _told(error: BaseException, path: Path) -> str:
    """The traceback from the file on, without what ran it."""
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename) != path.resolve():
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()


def _take(module: Any, name: str, text: str) -> Any:
    try:
        return reduce(getattr, name.split("."), module)
    except AttributeError:
        offered = ", ".join(key for key, value in vars(module).items() if isinstance(value, Tensor | Graph | Executable)) or "none"
        raise GraphdlError(f"{text}: the file has no {name!r}; tensors, graphs and programs there: {offered}") from None
