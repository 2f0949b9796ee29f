"""`run.trace`: the timelines of all ranks, in one file that Perfetto opens.

The objects of a run know nothing of it. While it is traced, some of their methods are replaced by
ones that also note when they began and ended, so that it costs nothing where it is off.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from socket import gethostname
from statistics import median
from time import perf_counter_ns
from typing import Any

from .._text import first_nonempty
from .._warning import warn
from ..errors import UserError
from ..parallel import MARK, Agents, is_failure
from ..storage import atomic_write, files
from .copies import Copies
from .loop import Loop
from .recorder import Recorder
from .timeline import CHECKPOINT, UPDATE, WRITING, Timeline, events

MAX_SPANS, MAX_SPANS_OF_RANK = 200_000, 50_000
"""How many are kept, of all ranks and of one: about 40 MB in a file of all ranks."""
ROUNDS = 15
"""Barriers from which the difference between two clocks is estimated."""
HEAD, SEPARATOR, TAIL = '{"displayTimeUnit": "ms", "traceEvents": [\n', ",\n", "\n]}\n"
"""Around and between the events in a file."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def traced(recorder: Recorder | None, loop: Loop, copies: Copies | None = None) -> Iterator[None]:
    """Context of a run whose timeline is written into its folder at the end; collective.

    Parameters
    ----------
    recorder : Recorder or None
        Writes the files of the run; None for a run without files, which is not traced.
    loop : Loop
        Its iterations.
    copies : Copies, optional
        They keep the timeline of a run that continues when ranks die.
    """
    if recorder is None:
        yield
        return
    folder, agents = recorder.folder.path, recorder.agents
    zero = _zero(agents)
    timeline = copies.timeline if copies else None
    if timeline is None:
        timeline = Timeline(min(MAX_SPANS_OF_RANK, MAX_SPANS // agents.size), zero)
    if copies:
        copies.timeline = timeline
    if agents.rank == 0:
        rmtree(folder / files.TRACES, ignore_errors=True)  # of a start that was killed
    with Replaced() as replaced:
        watch_iterations(loop, timeline, replaced)
        replaced.spanned(recorder.evaluation, "look", timeline, "evaluation", "evaluation")
        replaced.spanned(recorder, "look", timeline, CHECKPOINT, "checkpoint")
        replaced.spanned(recorder.checkpoints.writing, "work", timeline, WRITING, "write")
        try:
            yield
        except BaseException as error:
            if copies and is_failure(error):  # the ranks that are left continue
                raise
            # Merging is collective: only where every rank has the error.
            together = agents.comm is None or getattr(error, "agreed", False)
            _write(timeline, folder, agents, together)
            raise
        _write(timeline, folder, agents, together=True)


class Replaced(ExitStack):
    """Context of replaced attributes of objects, which are as they were at its end."""

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Replace an attribute."""
        if name in vars(owner):
            self.callback(setattr, owner, name, vars(owner)[name])
        else:  # a method
            self.callback(delattr, owner, name)
        setattr(owner, name, value)

    def spanned(
        self, owner: Any, method: str, timeline: Timeline, category: str, name: str
    ) -> None:
        """Put the calls of a method into spans."""
        self.set(owner, method, timeline.around(category, name, getattr(owner, method)))


def watch_iterations(loop: Loop, timeline: Timeline, replaced: Replaced) -> None:
    """Put the iterations of a loop and their parts into spans, while `replaced` is entered."""
    oracle, W = loop.oracle, loop.W
    replaced.set(loop, "step", timeline.around_step(loop.step))
    rows = {name: timeline.around("oracle", name, call) for name, call in oracle.rows.items()}
    replaced.set(oracle, "rows", rows)
    if oracle.is_stochastic:
        replaced.spanned(oracle, "draw", timeline, "oracle", "draw")
    replaced.spanned(oracle, "project", timeline, UPDATE, "project_x")
    for w in W.distinct:
        levels = [level for level in "xyz" if getattr(W, level) is w]
        name = "W" if len(W.distinct) == 1 else f"W.{' W.'.join(levels)}"
        replaced.spanned(w, "mix", timeline, "exchange", name)
    replaced.callback(setattr, MARK, "spans", None)
    MARK.spans = timeline.spans


def _zero(agents: Agents) -> int:
    """The beginning of the trace by the clock of this rank, the same moment on all; collective."""
    mine = []
    for _ in range(ROUNDS):
        agents.barrier()
        mine.append(perf_counter_ns())
    machine, *theirs = agents.bcast_text(" ".join([_machine(), *map(str, mine)])).split()
    zero = int(theirs[-1])
    if machine == _machine():
        return zero  # one clock for all processes of a machine
    # A barrier lets all ranks go at about the same moment.
    return zero + round(median(here - int(there) for here, there in zip(mine, theirs, strict=True)))


def _machine() -> str:
    """What the ranks of one machine, and no others, have in common."""
    with suppress(OSError):
        return BOOT_ID.read_text().strip()
    return gethostname()


def _write(timeline: Timeline, folder: Path, agents: Agents, together: bool) -> None:
    """Write the file of this rank and, if all ranks do so together, merge them on rank 0."""
    parts = [folder / files.TRACES / f"rank-{rank}.json" for rank in range(agents.size)]
    label = f"rank {agents.rank} on {gethostname()}, agents {agents.first} to {agents.last - 1}"
    mistake = ""
    try:
        parts[0].parent.mkdir(exist_ok=True)
        found = events(timeline.complete(), agents.rank, agents.size, label, timeline.zero)
        lines = map(json.dumps, found)
        parts[agents.rank].write_text(f"{HEAD}{SEPARATOR.join(lines)}{TAIL}")
    except OSError as error:
        mistake = f"rank {agents.rank}: {error}"
    if not together:
        return
    mistakes = agents.allgather_text(mistake)
    if agents.rank > 0:
        return
    try:
        _merge([part for part in parts if part.is_file()], folder / files.TRACE)
        rmtree(parts[0].parent, ignore_errors=True)
    except (OSError, UserError) as error:
        mistakes.append(str(error))
    first = first_nonempty(mistakes)
    if first:
        warn(f"run.trace: the timeline is not complete ({first})")


def _merge(parts: Iterable[Path], path: Path) -> None:
    """Write the events of several files into one."""
    with atomic_write(path) as temporary, open(temporary, "w") as merged:
        for i, part in enumerate(parts):
            merged.write(SEPARATOR if i else HEAD)
            merged.write(part.read_text()[len(HEAD) : -len(TAIL)])
        merged.write(TAIL)
