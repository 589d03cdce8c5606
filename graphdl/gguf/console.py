"""Text from a GGUF file on the command line, as it comes."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ..errors import FormatError
from ..nn.models.generation import Generator
from .model import ACTIVATIONS, LanguageFile, load

FEWEST = 512  # positions that are held in any case


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """Declare the flags that tell how text is generated."""
    parser.add_argument("--prompt", help="the text to go on from; names of control tokens in it, such as <|im_start|>, are those tokens")
    parser.add_argument("--tokens", type=int, default=128, help="how many tokens to generate at most (default: 128)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token each time, which is the default; 1 draws as the model says")
    parser.add_argument("--top-k", type=int, help="draw from so many of the likeliest tokens only")
    parser.add_argument("--top-p", type=float, help="draw from the likeliest tokens that have this probability together")
    parser.add_argument("--activations", choices=ACTIVATIONS, default=ACTIVATIONS[0], help="q8: rounded to 8 bits in blocks, as llama.cpp does")
    parser.add_argument("--seed", type=int, help="of the draws")


def run(arguments: argparse.Namespace) -> int:
    """Load the file, print the text token by token, and at the end how fast it came. Raises FormatError without a prompt."""
    from rich.console import Console

    if not arguments.prompt:
        raise FormatError(f"{arguments.source} is a language model: give it a --prompt to go on from")
    begin, told = time.perf_counter(), Console(stderr=True, highlight=False)
    with told.status(f"preparing {arguments.source}"):
        file = load(arguments.source, activations=arguments.activations)
        tokens = file.tokenizer.encode(arguments.prompt, special=True)
        if not tokens:
            raise FormatError("the prompt has no tokens")
        positions = _positions(len(tokens) + max(arguments.tokens, 0), file.model.context)
        generator = Generator(file.model, max_length=positions, threads=arguments.threads)
    pace = _Pace(len(tokens), time.perf_counter() - begin)
    text = Console(highlight=False, markup=False, soft_wrap=True)
    text.print(arguments.prompt, end="")
    for piece in file.tokenizer.stream(pace.watch(_tokens(arguments, file, generator, tokens))):
        text.print(piece, end="")
        text.file.flush()
    text.print()
    told.print(pace.told(), soft_wrap=True)
    return 0


def _positions(needed: int, context: int) -> int:
    """How many positions to hold: a power of two, so that few programs are compiled for all prompts together."""
    return min(max(FEWEST, 1 << (needed - 1).bit_length()), context)


def _tokens(arguments: argparse.Namespace, file: LanguageFile, generator: Generator, prompt: list[int]) -> Iterator[int]:
    """New tokens up to the one that ends a text."""
    options = {"temperature": arguments.temperature, "top_k": arguments.top_k, "top_p": arguments.top_p, "seed": arguments.seed}
    for token in generator.stream(np.array(prompt), arguments.tokens, **options, stop=file.tokenizer.end):
        if token[0] == file.tokenizer.end:
            return
        yield int(token[0])


@dataclass
class _Pace:
    """When tokens came: the first one ends the reading of the prompt."""

    prompt: int
    ready: float
    times: list[float] = field(default_factory=list)

    def watch(self, tokens: Iterator[int]) -> Iterator[int]:
        """The tokens, noting when each comes."""
        self.times.append(time.perf_counter())
        for token in tokens:
            self.times.append(time.perf_counter())
            yield token

    def told(self) -> str:
        """Tokens a second of the prompt and of the text."""
        parts = [f"ready in {self.ready:.2f} s"]
        if len(self.times) > 1:
            parts.append(f"prompt of {self.prompt} tokens: {self.prompt / (self.times[1] - self.times[0]):.0f} tokens/s")
        if len(self.times) > 2:
            parts.append(f"{len(self.times) - 1} tokens generated: {(len(self.times) - 2) / (self.times[-1] - self.times[1]):.0f} tokens/s")
        return "; ".join(parts)
