"""A small diffusion model of handwritten digits: a U-Net that is told the time and the digit learns which noise was added.

Held-out images are then cleaned of noise, beside the best linear filter, and new digits are drawn from noise alone, step by step.
Ho, Jain, Abbeel 2020 (the loss); Nichol, Dhariwal 2021 (the schedule); Song, Meng, Ermon 2021 (the steps back).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphdl as gd
from graphdl import nn, optim
from graphdl.data import load_digits

Array = NDArray[Any]
HELD_OUT, TIMES, SHOWN = 297, 200, 10


def kept(t: Array) -> Array:
    """How much of the image's variance is left at time t: shape (N, 1, 1, 1)."""
    share = np.cos((np.asarray(t) / TIMES + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.asarray(np.clip(share, 1e-4, 0.9999), np.float32).reshape(-1, 1, 1, 1)


def noisy(images: Array, t: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Images with noise at times t, and the noise."""
    noise = generator.normal(size=images.shape).astype(np.float32)
    return np.sqrt(kept(t)) * images + np.sqrt(1 - kept(t)) * noise, noise


def clean(seen: Array, noise: Array, t: Array) -> Array:
    """The image that is left when the noise is taken away."""
    found: Array = np.clip((seen - np.sqrt(1 - kept(t)) * noise) / np.sqrt(kept(t)), -1, 1)
    return found


def linear(images: Array, at: int, seen: Array, generator: np.random.Generator) -> Array:
    """The best linear filter for noise at one time, fitted to noisy copies of the training images."""
    many = np.concatenate([images] * 10)
    dirty, _ = noisy(many, np.full(len(many), at), generator)
    rows, wanted, asked = (np.c_[part.reshape(len(part), -1), np.ones(len(part), np.float32)] for part in (dirty, many, seen))
    found: Array = np.clip(asked @ np.linalg.lstsq(rows, wanted[:, :-1], rcond=None)[0], -1, 1).reshape(seen.shape)
    return found


def draw(rows: dict[str, Array], path: Path) -> None:
    """Rows of images as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SHOWN * 0.9, len(rows)), layout="constrained")
    for line, (name, images) in zip(figure.subplots(len(rows), SHOWN, subplot_kw={"xticks": [], "yticks": []}), rows.items(), strict=True):
        for axis, image in zip(line, images[:, 0], strict=False):
            axis.imshow(image, cmap="gray", vmin=-1, vmax=1)
        line[0].set_ylabel(name)
    figure.savefig(path)
    print(f"clean, noisy, cleaned and new images are drawn in {path}")


def main() -> None:
    """Train as the flags say, clean held-out images, and draw new ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"steps": 1500, "batch": 64, "features": 16, "at": 80}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--picture", type=Path, default=Path("unet_denoise.png"))
    a = parser.parse_args()
    images, digits = load_digits()
    learned, labels, held_out = 2 * images[HELD_OUT:, None] - 1, digits[HELD_OUT:], 2 * images[:HELD_OUT, None] - 1

    gd.random.seed(0)
    net = nn.models.unet(
        1, 1, (a.features, 2 * a.features), 1, cross_attention_dim=a.features, attention=(False, True), num_attention_heads=2, norm_num_groups=4
    )
    told = nn.Embedding(10, a.features)
    x, noise = (gd.placeholder(name, ("N", 1, 8, 8)) for name in ("x", "noise"))
    t, digit = (gd.placeholder(name, ("N",), "int64") for name in ("t", "digit"))
    guess = net(x, t, gd.expand_dims(told(digit), 1))
    loss, optimizer = nn.functional.mse_loss(guess, noise), optim.AdamW(lr=optim.OneCycleLR(4e-3, total_steps=a.steps))
    step = gd.compile(loss, [x, noise, t, digit], updates=optimizer.updates(loss, [*net.parameters(), *told.parameters()]))
    generator, losses = np.random.default_rng(0), []
    for k in range(a.steps):
        chosen, times = generator.integers(0, len(learned), a.batch), generator.integers(1, TIMES, a.batch)
        losses.append(float(step(*noisy(learned[chosen], times, generator), times, labels[chosen])))
        if (k + 1) % max(1, a.steps // 5) == 0:
            print(f"step {k + 1:5}: loss {np.mean(losses[-max(1, a.steps // 5) :]):.4f}")

    predict = gd.compile(guess, [x, t, digit], mode="inference")
    at = np.full(HELD_OUT, a.at)
    seen, _ = noisy(held_out, at, generator)
    cleaned = clean(seen, predict(seen, at, digits[:HELD_OUT]), at)
    filtered = linear(learned, a.at, seen, generator)
    errors = {name: np.mean((found - held_out) ** 2) for name, found in {"noisy": seen, "linear filter": filtered, "U-Net": cleaned}.items()}
    print(f"mean squared error of {HELD_OUT} held-out images: " + ", ".join(f"{name} {value:.4f}" for name, value in errors.items()))

    drawn, wanted = generator.normal(size=(SHOWN, 1, 8, 8)).astype(np.float32), np.arange(SHOWN)
    for time in range(TIMES - 1, 0, -4):
        now, then = np.full(SHOWN, time), np.full(SHOWN, max(time - 4, 0))
        away = predict(drawn, now, wanted)
        drawn = np.sqrt(kept(then)) * clean(drawn, away, now) + np.sqrt(1 - kept(then)) * away
    nearest = ((drawn[:, None] - learned[None]) ** 2).sum(axis=(2, 3, 4)).argmin(axis=1)
    print(f"{np.sum(labels[nearest] == wanted)} of {SHOWN} new digits are nearest to an image of the digit that was asked for")
    try:
        draw({"held-out": held_out[:SHOWN], "noisy": seen[:SHOWN], "cleaned": cleaned[:SHOWN], "new": drawn}, a.picture)
    except ImportError:
        print("a picture needs matplotlib: pip install graphdl[plot]")


if __name__ == "__main__":
    main()
