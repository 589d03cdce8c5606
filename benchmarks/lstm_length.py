"""How long an LSTM's training step takes to declare, differentiate and compile, for short and for long sequences: the loop is not unrolled.

Every measurement has a process and an empty cache of its own, and lengths take turns. The lengths are numbers, not symbols.

    python -m benchmarks.lstm_length --lengths 16,1024 --rounds 9
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

CODE = """
import sys, time
import graphdl as gd
from graphdl import nn, optim
length, warm = int(sys.argv[1]), gd.compile(gd.placeholder("x", (4,)) * 2)  # what the first compilation imports is not counted
began = time.perf_counter()
x, y = gd.placeholder("x", (length, 32, 64)), gd.placeholder("y", (32,), "int64")
cells, head = nn.LSTM(64, 128), nn.Linear(128, 10)
loss = nn.functional.cross_entropy(head(cells(x)[0][-1]), y)
step = gd.compile(loss, [x, y], updates=optim.Adam(lr=1e-3).updates(loss, [*cells.parameters(), *head.parameters()]))
seconds = time.perf_counter() - began
print(seconds, sum(map(len, step.objects)))
"""


def measured(length: int) -> tuple[float, int]:
    """Seconds, and bytes of code."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GRAPHDL_CACHE_DIR": folder}
        ran = subprocess.run([sys.executable, "-c", CODE, str(length)], env=environment, capture_output=True, text=True, check=True)
    seconds, size = ran.stdout.split()
    return float(seconds), int(size)


def main() -> None:
    """Measure in turn, and print medians and ratios to the first length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="16,1024")
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    lengths = [int(length) for length in asked.lengths.split(",")]
    rounds = [[measured(length) for length in lengths] for _ in range(asked.rounds)]
    print(f"{'length':>7}{'ms':>9}{'least':>9}{'ratio':>8}{'code KB':>9}")
    for k, length in enumerate(lengths):
        seconds = [one[k][0] for one in rounds]
        ratio = statistics.median(one[k][0] / one[0][0] for one in rounds)
        print(f"{length:7}{1e3 * statistics.median(seconds):9.0f}{1e3 * min(seconds):9.0f}{ratio:8.3f}{rounds[0][k][1] / 1e3:9.1f}")


if __name__ == "__main__":
    main()
