"""Language models in GGUF files: `load` makes a model whose weights stay quantised, with its tokenizer."""

from __future__ import annotations

from .model import LanguageFile, load
from .reader import GgufFile
from .tokenizer import Tokenizer

__all__ = ["GgufFile", "LanguageFile", "Tokenizer", "load"]
