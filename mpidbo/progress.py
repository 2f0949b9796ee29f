"""What a run says while it goes on: a bar on a terminal, lines elsewhere; on rank 0 alone."""

from collections.abc import Mapping
from time import monotonic, perf_counter
from typing import Any

from tqdm import tqdm

SKIP = ("calls_", "seconds_", "floats", "messages", "rounds", "iteration")


class Progress:
    """An observer with a progress bar; it looks about ten times a second."""

    def __init__(self, iterations: int) -> None:
        self.bar = tqdm(total=iterations, unit="it", leave=False, dynamic_ncols=True)
        self.stride, self.seen = 1, perf_counter()

    def next(self, k: int) -> int:
        return k - k % self.stride + self.stride

    def look(self, k: int, state: Any, last: bool) -> str | None:
        now = perf_counter()
        self.bar.update(k - self.bar.n)
        if now - self.seen < 0.1:
            self.stride *= 2
        elif now - self.seen > 0.4 and self.stride > 1:
            self.stride //= 2
        self.seen = now
        if last:
            self.bar.close()
        return None


class Log:
    """Prints a row of history, at most once a second."""

    def __init__(self, on: bool) -> None:
        self.on, self.seen = on, -1.0

    def __call__(self, row: Mapping[str, float]) -> None:
        if self.on and monotonic() - self.seen >= 1:
            self.seen = monotonic()
            figures = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if not name.startswith(SKIP))
            print(f"iteration {int(row['iteration'])}  {figures}", flush=True)
