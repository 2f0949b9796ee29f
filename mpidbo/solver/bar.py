"""Progress of a run, on rank 0: a bar on a terminal, lines elsewhere."""

from collections.abc import Callable
from functools import cached_property, partial
from time import monotonic, perf_counter
from typing import Any
from warnings import catch_warnings

from ..storage import column, in_brief, metrics_of
from .evaluation import Evaluated

MAX_SHOWN = 3
"""Metrics beside the bar."""
MIN_INTERVAL_S, MAX_INTERVAL_S = 0.1, 0.4
"""Between two updates of the bar; outside of them the number of iterations between is changed."""
LOG_INTERVAL_S = 1
"""Between two printed rows, at least."""


class ProgressBar:
    """An observer with a progress bar, which appears when the run begins.

    It looks about ten times a second.
    """

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations
        self.stride, self.seen = 1, perf_counter()

    @cached_property
    def bar(self) -> Any:
        # Here, since only a rank that shows a bar has to import it. It warns where a notebook lacks
        # ipywidgets, and the bar is then one of text.
        with catch_warnings(action="ignore"):
            from tqdm.auto import tqdm

        return tqdm(total=self.iterations, unit="it", leave=False, dynamic_ncols=True)

    def next(self, k: int) -> int:
        return k - k % self.stride + self.stride

    def look(self, k: int, state: Any, last: bool) -> str | None:
        now = perf_counter()
        self.bar.update(k - self.bar.n)
        if now - self.seen < MIN_INTERVAL_S:
            self.stride *= 2
        elif now - self.seen > MAX_INTERVAL_S and self.stride > 1:
            self.stride //= 2
        self.seen = now
        if last:
            self.close()
        return None

    def show_row(self, evaluated: Evaluated) -> None:
        """Show the row of an evaluation beside the bar."""
        row = evaluated.row
        shown = [f"{name} {row[name]:.3g}" for name in metrics_of(row) if _beside_the_bar(name)]
        self.bar.set_postfix_str(", ".join(shown[:MAX_SHOWN]), refresh=False)

    def close(self) -> None:
        """Remove the bar; also after an error, so that its message begins a line."""
        if "bar" in vars(self):
            self.bar.close()


def _beside_the_bar(name: str) -> bool:
    """Whether a metric may be shown there; of a family of columns that of x."""
    known = column(name)
    return known.headline and not known.own and (not known.family or name.endswith("_x"))


class Log:
    """A watcher that prints rows of the history, at most one a second.

    Parameters
    ----------
    on : bool
        Whether it does.
    say : callable, default print
        Called with each line.
    """

    def __init__(self, on: bool, say: Callable[[str], None] | None = None) -> None:
        self.on, self.seen = on, -1.0
        self.say = say or partial(print, flush=True)

    def __call__(self, evaluated: Evaluated) -> None:
        row = evaluated.row
        if self.on and monotonic() - self.seen >= LOG_INTERVAL_S:
            self.seen = monotonic()
            metrics = [f"{name} {value:.4g}" for name, value in row.items() if in_brief(name)]
            self.say("  ".join([f"iteration {int(row['iteration'])}", *metrics]))
