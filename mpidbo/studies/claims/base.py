"""A claim of the literature: studies that test it, and comparisons that decide."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

from ...errors import UserError
from ...parallel import agreed, is_root
from ...reports import FigureFolder, axis_label
from ..run import run_study
from ..study import Study, Tables, study_of
from .comparison import Comparison
from .outcome import Outcome
from .panels import Curve, panels
from .seconds import counted, of_part

if TYPE_CHECKING:
    from mpi4py.MPI import Comm


Size: TypeAlias = Literal["quick", "standard", "full"]
"""Of the runs of a claim: a minute, at most an hour of two cores, or as in the papers."""

SIZES: tuple[Size, ...] = get_args(Size)
EXTEND = 2
"""Rounds of trials beyond the choices of step sizes, for winners at their edge."""


class Claim(ABC):
    """A claim of the literature.

    Its rule, sizes, seeds and tuning budget are fixed in the class, before any run.
    """

    statement: ClassVar[str]
    """The claim, one sentence."""
    source: ClassVar[str]
    """The publication that makes it."""
    rule: ClassVar[str]
    """How it is judged, in words."""
    full_hours: ClassVar[float] = 0.0
    """Processor hours of the full size, a rough estimate; 0 where there is none."""

    @abstractmethod
    def studies(self, size: Size) -> Mapping[str, Tables]:
        """The studies to run, as tables of a study's TOML file."""

    @abstractmethod
    def judge(self, found: Mapping[str, Any]) -> Iterable[Comparison]:
        """The comparisons that decide, from what `run` returns."""

    def run(
        self, size: Size, out: Path, comm: "Comm | None", log: Callable[[str], None]
    ) -> Mapping[str, Any] | None:
        """Run the studies. Collective.

        Returns
        -------
        Mapping or None
            Study -> its Outcome; None if a signal or the time limit stopped a run.
        """
        studies = self.studies_in(out, size)
        for study in studies.values():
            if not run_study(study, study.work, comm, log):
                return None
        return {key: Outcome(study) for key, study in studies.items()}

    def run_part(
        self, part: str, size: Size, out: Path, comm: "Comm | None", log: Callable[[str], None]
    ) -> bool:
        """Make a part of the runs of each study, for a job array. Collective.

        Parameters
        ----------
        part : str
            "I/N", as of `Study.part`.
        size, out, comm, log
            As of `run`.

        Returns
        -------
        bool
            False if a signal or the time limit stopped it.

        Raises
        ------
        UserError
            The part has another form, or the claim has no studies.
        """
        with agreed(comm):
            studies = self.studies_in(out, size)
            work = {key: study.part(part) for key, study in studies.items()}
            if not work:
                raise UserError("--part: this claim is not made of studies; run it without --part")
        with counted(out / of_part(part), is_root(comm)):
            return all(run_study(study, work[key], comm, log) for key, study in studies.items())

    def studies_in(self, out: Path, size: Size) -> dict[str, Study]:
        """The studies, each with a folder inside `out`."""
        return {
            key: study_of(tables, key, out=out / key) for key, tables in self.studies(size).items()
        }

    def draw(self, found: Mapping[str, Any], out: FigureFolder) -> list[Path]:
        """Draw the figures and return their files; by default the metric of every study."""
        shown: dict[str, dict[str, Curve]] = {}
        for key, outcome in found.items():
            for topology in outcome.topologies:
                title = f"{key}, {topology}" if len(outcome.topologies) > 1 else key
                shown[title] = {
                    method: outcome.curve(method, topology) for method in outcome.methods
                }
        ylabel = axis_label(next(iter(found.values())).study.metric)
        return [panels(out, "curves", shown, "iterations", ylabel, log=True)]


def study_tables(
    methods: Sequence[Any],
    topologies: Sequence[Any],
    seeds: int,
    metric: str = "distance",
    *,
    problem: Tables,
    run: Tables,
    **sections: Tables | None,
) -> Tables:
    """The tables of a study; sections that are None or empty are left out."""
    study = {
        "methods": list(methods),
        "topologies": list(topologies),
        "seeds": seeds,
        "metric": metric,
    }
    others = {name: table for name, table in sections.items() if table}
    return {"study": study, "problem": problem, "run": run, **others}


def grid(budget: int, iterations: int, **steps: Sequence[Any]) -> Tables:
    """`[tune]` with a grid of step sizes."""
    numbers = {"budget": budget, "iterations": iterations, "extend": EXTEND}
    return {"how": "grid", **numbers, "steps": steps}


def halving(budget: int, iterations: int, **steps: Sequence[Any]) -> Tables:
    """`[tune]` with successive halving over a grid of step sizes."""
    return {**grid(budget, iterations, **steps), "how": "halving"}
