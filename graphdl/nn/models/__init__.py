"""Whole networks: what builds them, and what runs them."""

from __future__ import annotations

from .bert import BERT, bert, sentence_embedding
from .cache import CachePass, KeyValueCache
from .generation import Generator, sample
from .gpt import GPT, gpt
from .language import LanguageModel
from .llama import Llama, llama
from .pretrained import from_folder
from .resnet import ResNet, resnet, resnet18, resnet34, resnet50, resnet101
from .unet import UNet, timestep_embedding, unet

__all__ = [
    "BERT",
    "GPT",
    "CachePass",
    "Generator",
    "KeyValueCache",
    "LanguageModel",
    "Llama",
    "ResNet",
    "UNet",
    "bert",
    "from_folder",
    "gpt",
    "llama",
    "resnet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "sample",
    "sentence_embedding",
    "timestep_embedding",
    "unet",
]
