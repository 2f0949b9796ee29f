"""Numbers that vary with the iteration: what a schedule is, and a function of Python as one."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar


class Schedule(ABC):
    """A number for each iteration: `schedule(k)` for k = 0, 1, 2, ..."""

    kind: ClassVar[str]
    """Its name in a configuration."""
    warmup: int

    def __call__(self, k: int) -> float:
        """Return the value at iteration k."""
        value = self.at(k)
        if k + 1 < self.warmup:
            return value * (k + 1) / self.warmup
        return value

    @abstractmethod
    def at(self, k: int) -> float:
        """Return the value at iteration k without the warm-up."""

    @property
    @abstractmethod
    def largest(self) -> float:
        """An upper bound of all values; infinite where they grow without one."""

    @property
    @abstractmethod
    def is_positive(self) -> bool:
        """Whether no value is 0."""


@dataclass(frozen=True)
class Function(Schedule):
    """A schedule that is a function of Python, which no configuration can hold.

    Parameters
    ----------
    function : callable
        k -> value; a schedule of optax, for example.
    """

    kind: ClassVar[str] = "function"

    function: Callable[[int], Any]
    warmup: ClassVar[int] = 0  # type: ignore[misc]

    def at(self, k: int) -> float:
        return float(self.function(k))

    @property
    def largest(self) -> float:
        """Its first value, since no others are known."""
        return self.at(0)

    @property
    def is_positive(self) -> bool:
        return self.at(0) > 0

    @property
    def name(self) -> str:
        """Its qualified name, by which a configuration records it: "script:halved"."""
        found = self.function
        if not hasattr(found, "__qualname__"):  # an object with a method __call__
            found = type(found)
        return f"{found.__module__}:{found.__qualname__}"

    def table(self) -> dict[str, str]:
        """Return what a configuration records of it."""
        return {"kind": self.kind, "name": self.name}
