"""Copies of a run in the memory of its ranks, from which it continues when one of them dies."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, perf_counter, perf_counter_ns, strftime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._text import plural
from .._types import Array
from ..errors import Stopped
from ..parallel import Agents, Buddies, is_failure
from ..storage import Snapshot
from .logs import Logs
from .recorder import snapshot_of
from .timeline import RECOVERY, Timeline

if TYPE_CHECKING:
    from .best import Keeper
    from .evaluation import Evaluation
    from .setup import Setup

MAX_FAILURES = 10
"""Recoveries in a row that did not come to an iteration, after which copies are not trusted."""
REMEDY = "the same command resumes from the newest checkpoint, or starts again"

Part = tuple[int, dict[str, Array]]


@dataclass
class Generation:
    """A snapshot as a rank has it in memory.

    Parameters
    ----------
    manifest : mapping
        What a checkpoint's manifest has of it.
    parts : list of (int, dict of str to array)
        The first of consecutive agents, and their rows by path.
    """

    manifest: Mapping[str, Any]
    parts: list[Part] = field(default_factory=list)

    @property
    def iteration(self) -> int:
        return int(self.manifest["iteration"])

    def rows(self) -> dict[int, dict[str, Array]]:
        """Agent -> its row of each array, by path."""
        return {
            first + i: {path: rows[i] for path, rows in part.items()}
            for first, part in self.parts
            for i in range(len(next(iter(part.values()))))
        }


class Loss(NamedTuple):
    """That ranks have died.

    Parameters
    ----------
    dead : sequence of str
        Who.
    failures : int
        How many recoveries there were since the run was last under way, with this one.
    since : float
        When this was noticed, by `perf_counter`.
    reached : int
        The iteration that was running.
    error : exception, optional
        What the run failed with. Its frames have the buffers of messages that were under way, which
        must not be freed before all ranks have left them.
    """

    dead: Sequence[str]
    failures: int
    since: float
    reached: int
    error: BaseException | None


class Copies:
    """An observer that keeps the two newest snapshots, with rows of this rank and of others.

    It outlives the run that it observes: the next one, on the ranks that are left, resumes from it.

    Parameters
    ----------
    every : int
        Iterations between two snapshots.
    count : int
        How many other ranks have the rows of a rank.
    report : callable
        Called with a message on every rank once the run has gone on after a loss.

    Attributes
    ----------
    generations : list of Generation
        The oldest first.
    setup : Setup or None
        That of the newest run; None before the first.
    begun : bool
        Whether there was a run, in a folder that is its own since.
    began : float
        When the run began, by `monotonic`.
    timeline : Timeline or None
        That of this rank, where the run is traced.
    """

    def __init__(self, every: int, count: int, report: Callable[[str], None]) -> None:
        self.every, self.count, self.report = every, count, report
        self.generations: list[Generation] = []
        self.began = monotonic()
        self.agents = Agents(1)
        self._coming: list[Part] = []
        self._lost = 0
        self._loss: Loss | None = None
        self.setup: Setup | None = None
        self.begun = False
        self.timeline: Timeline | None = None
        self._logs: Logs | None = None
        self._evaluation: Evaluation | None = None

    def lose(self, dead: Sequence[str], since: float, error: BaseException | None) -> None:
        """Note that ranks have died; `Loss` has the parameters."""
        reached = self._evaluation.loop.k if self._evaluation else 0
        before = self._loss
        if before is None:
            self._loss = Loss(dead, 1, since, reached, error)
        else:  # others have died before the run continued
            reached = max(reached, before.reached)
            failures = before.failures + 1
            self._loss = Loss([*before.dead, *dead], failures, before.since, reached, error)

    def observe(self, setup: "Setup", evaluation: "Evaluation", keeper: "Keeper | None") -> None:
        """Observe a run from now on, with its evaluation and best iterate; collective."""
        self.setup, self._evaluation, self._keeper = setup, evaluation, keeper
        self.begun = True
        self.agents = setup.agents
        self.buddies = Buddies(self.agents, self.count)
        self._coming = []

    def logging(self, setup: "Setup", folder: Path | None) -> Logs:
        """Return what passes rows on to the loggers; where they have been started, it continues."""
        if self._logs is None or not self._logs.started:
            self._logs = Logs(setup, folder, continues=is_failure)
        return self._logs

    def next(self, k: int) -> int:
        return k + 1 if self._coming else k - k % self.every + self.every

    def look(self, k: int, state: Any, last: bool) -> str | None:
        if self._coming:
            self.buddies.complete()
            self.generations[-1].parts += self._coming
            self._coming = []
        if self._loss:
            self._report_loss(k)
        if not last and (k % self.every == 0 or not self.generations):
            self._begin(k, state)
        return None

    def _begin(self, k: int, state: Any) -> None:
        """Begin a generation, and forget all but the one before it."""
        assert self._evaluation is not None
        snapshot = snapshot_of(self._evaluation, self._keeper, k, state)
        # That was collective: on every rank the generation before is complete.
        manifest = {
            "iteration": k,
            "counts": snapshot.counts,
            "history": snapshot.history,
            "best": snapshot.about_best(),
        }
        rows = snapshot.arrays()
        # Where the run resumes it has that generation, with rows of ranks that may have died.
        if not self.generations or self.generations[-1].iteration < k:
            self.generations = [*self.generations[-1:], Generation(manifest)]
        self.generations[-1].parts.append((self.agents.first, rows))
        self._coming = self.buddies.begin(rows)

    def _report_loss(self, k: int) -> None:
        """Report how the run has gone on after a loss, from iteration k."""
        assert self._loss is not None
        dead, _, since, reached, _ = self._loss
        if self.timeline:
            span = (RECOVERY, RECOVERY, round(1e9 * since), perf_counter_ns())
            self.timeline.spans.append(span)
        left = self.agents.size
        redone = f" of {reached}" if reached > k else ""
        self.report(
            f"{strftime('%F %T')}: {' and '.join(dead)} died; {left} of "
            f"{plural(left + len(dead), 'rank')} resume from iteration {k}{redone}, "
            f"after {perf_counter() - since:.3f} s"
        )
        self._loss = None

    def newest(self, like: Any) -> Snapshot | None:
        """Return the newest snapshot of all agents, with the rows of this rank's; collective.

        Parameters
        ----------
        like : NamedTuple
            A state of the form of the snapshot's.

        Returns
        -------
        Snapshot or None
            None before the first, where rows of some agents are lost, and after too many
            recoveries in a row.

        Raises
        ------
        Stopped
            On all ranks: the recovery after those has not come to an iteration either.
        """
        agents = self.agents
        mine = {g.iteration: sorted(g.rows()) for g in self.generations}
        failures = self._loss.failures if self._loss else 0
        texts = agents.allgather_text(json.dumps([failures, mine]))
        holders: dict[int, dict[int, int]] = {}
        for rank, text in enumerate(texts):
            theirs, generations = json.loads(text)
            failures = max(failures, theirs)
            for k, found in generations.items():
                for agent in found:
                    holders.setdefault(int(k), {}).setdefault(agent, rank)
        if failures > MAX_FAILURES + 1:
            raise Stopped(f"run.survive: {failures} recoveries in a row have failed; {REMEDY}")
        complete = [k for k, holder in holders.items() if len(holder) == agents.n]
        if not complete or failures > MAX_FAILURES:
            self.generations, self._lost = [], max(holders, default=0)
            return None
        k = max(complete)
        self.generations = [g for g in self.generations if g.iteration <= k]
        return self._dealt(self.generations[-1], holders[k], like)

    def stop_if_lost(self) -> None:
        """Raise Stopped where `newest` had nothing of a run that was under way; collective."""
        if self._lost and self._loss:
            raise Stopped(
                f"run.survive: {' and '.join(self._loss.dead)} died, and with them all copies of "
                f"some agents' rows since iteration {self._lost}; there is no checkpoint; {REMEDY}"
            )

    def _dealt(self, generation: Generation, holder: Mapping[int, int], like: Any) -> Snapshot:
        """The snapshot of a generation, with the rows of this rank's agents; collective."""
        agents, mine = self.agents, generation.rows()
        rows = {
            path: np.empty(array.shape, array.dtype)
            for path, array in Snapshot.like(like, generation.manifest).items()
        }
        with self.buddies.dealing() as deal:
            for agent in range(agents.n):
                for path, target in rows.items():
                    row = mine[agent][path] if holder[agent] == agents.rank else None
                    here = agents.first <= agent < agents.last
                    into = target[agent - agents.first] if here else None
                    deal(row, into, holder[agent], agents.owner(agent))
        # Again a copy, since the rank that had it may die next.
        generation.parts.append((agents.first, rows))
        return Snapshot.of(generation.manifest, like, rows)
