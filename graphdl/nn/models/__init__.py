"""Whole networks: what builds them, and what runs them."""

from __future__ import annotations

from .cache import CachePass, KeyValueCache
from .generation import Generator, sample
from .gpt import GPT, gpt
from .language import LanguageModel
from .llama import Llama, llama
from .resnet import ResNet, resnet, resnet18, resnet34, resnet50, resnet101
from .unet import UNet, timestep_embedding, unet

__all__ = [
    "GPT",
    "CachePass",
    "Generator",
    "KeyValueCache",
    "LanguageModel",
    "Llama",
    "ResNet",
    "UNet",
    "gpt",
    "llama",
    "resnet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "sample",
    "timestep_embedding",
    "unet",
]
