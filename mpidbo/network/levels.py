"""The gossip operators of the levels of a method."""

from collections.abc import Iterable
from typing import Any

from .gossip import MixingOperator
from .sent import Sent

MAX_LEVELS = 3


class Levels:
    """The gossip operator of each level: W.x, W.y and W.z.

    `W @ (a, b, c)` takes a step of all levels at once, in this order; levels that share a topology
    share their messages. Steps after the third use the topology of z.

    Parameters
    ----------
    x, y, z : Gossip
        Operators, of which several may be one object.

    Attributes
    ----------
    distinct : list of Gossip
        The operators without repetition.
    changing : list of Gossip
        Those of them whose W changes from iteration to iteration.
    """

    def __init__(self, x: MixingOperator, y: MixingOperator, z: MixingOperator) -> None:
        self.x, self.y, self.z = x, y, z
        self.distinct = list({id(w): w for w in (x, y, z)}.values())
        self.changing = [w for w in self.distinct if w.changes]
        for place, w in enumerate(self.distinct):
            w.keys.place = place
        self._groups: dict[int, list[tuple[MixingOperator, list[int]]]] = {}

    @classmethod
    def of(cls, levels: Iterable[MixingOperator]) -> "Levels":
        """Return the levels of a method; the last is used for those that it does not have."""
        found = [*levels]
        while len(found) < MAX_LEVELS:
            found.append(found[-1])
        x, y, z, *_ = found
        return cls(x, y, z)

    def __matmul__(self, steps: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(self.distinct) == 1:
            return self.x @ steps
        results: list[Any] = [None] * len(steps)
        for w, places in self._grouped(len(steps)):
            mixed = w @ tuple([steps[i] for i in places])
            for i, result in zip(places, mixed, strict=True):
                results[i] = result
        return tuple(results)

    def _grouped(self, count: int) -> list[tuple[MixingOperator, list[int]]]:
        """Return each operator with the places of its steps among so many."""
        if count not in self._groups:
            levels = (self.x, self.y, self.z)
            owners = [levels[min(i, MAX_LEVELS - 1)] for i in range(count)]
            groups = [
                (w, [i for i, owner in enumerate(owners) if owner is w]) for w in self.distinct
            ]
            self._groups[count] = [(w, places) for w, places in groups if places]
        return self._groups[count]

    def at(self, k: int) -> None:
        """Begin iteration k."""
        for w in self.distinct:
            w.at(k)

    @property
    def seconds(self) -> float:
        """Time spent in `W @` so far."""
        return sum(w.seconds for w in self.distinct)

    @property
    def sent(self) -> Sent:
        """What all agents have sent so far, as if no link had failed."""
        return Sent.total(w.sent for w in self.distinct)

    @property
    def lost(self) -> Sent:
        """Of `sent`, what was addressed to this rank's agents over links that failed."""
        return Sent.total(w.lost for w in self.distinct)

    def reset(self) -> None:
        """Count from zero what is sent, and the time that it takes."""
        for w in self.distinct:
            w.reset()

    def close(self) -> None:
        """Free what the MPI library holds; collective."""
        for w in self.distinct:
            w.close()
