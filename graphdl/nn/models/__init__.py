"""Whole networks: what builds them, and what runs them."""

from __future__ import annotations

from .cache import CachePass, KeyValueCache
from .generation import Generator, sample
from .gpt import GPT, gpt
from .language import LanguageModel
from .llama import Llama, llama

__all__ = ["GPT", "CachePass", "Generator", "KeyValueCache", "LanguageModel", "Llama", "gpt", "llama", "sample"]
