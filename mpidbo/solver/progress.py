"""What a run says while it goes on: a bar on a terminal, lines elsewhere; on rank 0 alone."""

from collections.abc import Mapping
from time import monotonic, perf_counter
from typing import Any

from tqdm import tqdm

from ..storage.history import COUNTS


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
            self.close()
        return None

    def tell(self, row: Mapping[str, float]) -> None:
        """Show a row of history beside the bar."""
        shown = [f"{name} {row[name]:.3g}" for name in ("upper_loss", "distance", "hypergradient_norm", "consensus_x") if name in row]
        self.bar.set_postfix_str(", ".join(shown[:3]), refresh=False)

    def close(self) -> None:
        """Take the bar away; also after an error, so that its sentence begins a line."""
        self.bar.close()


class Log:
    """Prints a row of history, at most once a second."""

    def __init__(self, on: bool) -> None:
        self.on, self.seen = on, -1.0

    def __call__(self, row: Mapping[str, float]) -> None:
        if self.on and monotonic() - self.seen >= 1:
            self.seen = monotonic()
            figures = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if not name.startswith(COUNTS))
            print(f"iteration {int(row['iteration'])}  {figures}", flush=True)
