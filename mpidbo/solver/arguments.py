"""The arguments of `solve` and `Solver`: tables of a configuration, and what it cannot hold."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from ..algorithms import Function, Schedule
from ..config import RUN_FIELDS, SECTIONS, Config, check_arguments, with_absolute_paths
from ..config import check as check_config
from ..errors import UserError, did_you_mean, shown
from ..network import size_of, tabled
from ..problems import loading
from ..storage import files, with_stored_values
from .folder import Resume
from .ranks import Tables
from .start import Given, given_start

MODES = get_args(Resume)


@dataclass(frozen=True)
class Arguments:
    """What `solve` or `Solver` was called with.

    Parameters
    ----------
    call : str
        Which of them, for messages.
    given : mapping
        Its arguments, by name.
    unknown : mapping
        Those that it does not have.
    """

    call: str
    given: Mapping[str, Any]
    unknown: Mapping[str, Any]

    def tables(self) -> dict[str, Any]:
        """Return the tables of a configuration, not yet checked."""
        given = self.given
        run = {key: given[key] for key in RUN_FIELDS if key != "start"}
        if given["agents"] is None:
            run["agents"] = size_of(given["topology"])
        return {
            "problem": _table(given["problem"]),
            "method": _with_functions(_table(given["method"])),
            "topology": given["topology"],
            "steps": {} if given["steps"] is None else _with_functions(given["steps"]),
            "run": run,
            "checkpoint": self._checkpoint(),
        }

    @cached_property
    def start(self) -> tuple[str | None, Given]:
        """The file of `run.start`, and what is given for x and y."""
        return given_start(*(self.given[name] for name in ("start", "x0", "y0")))

    def compared(self) -> dict[str, Any]:
        """Return what has to be the same on every rank, beside the configuration."""
        names = ("gather", "resume")
        return {**{name: self.given[name] for name in names}, **self.start[1]._asdict()}

    def check(self, tables: Tables) -> Config:
        """Return the checked configuration. Raises UserError."""
        check_arguments(self.unknown, self.given.keys(), self.call, self.given["problem"])
        _check_no_sections(self.given["problem"])
        callback = self.given["callback"]
        if callback is not None and not callable(callback):
            raise UserError(
                f"callback: {shown(callback)} is not a function; give one that takes a progress"
            )
        if self.given["survive"]:
            raise UserError("survive: only mpidbo run can continue when a rank dies; leave it out")
        self._check_files()
        topology = tabled(tables["topology"], kept=self.given["out"] is not None)
        file, start = self.start
        run = {**tables["run"], "start": file}
        complete = with_absolute_paths({**tables, "topology": topology, "run": run}, Path())
        config = check_config(complete)
        if config.run.out is None:
            return config
        out = Path(config.run.out)
        script = loading()
        if script:
            raise UserError(
                f"{script}: calls mpidbo.{self.call}(out=...) while it is read in search of a "
                'problem; put the call below if __name__ == "__main__":'
            )
        if self.given["resume"] != "never":
            config = check_config(with_stored_values(complete, out))
        if start.is_nothing:
            return config
        # The folder keeps the arrays, so that its config.toml is complete.
        return replace(config, run=replace(config.run, start=str(out / files.START)))

    def _check_files(self) -> None:
        """Raise UserError for arguments about files that do not fit together."""
        resume, out = self.given["resume"], self.given["out"]
        if resume not in MODES:
            raise UserError(f"resume: {shown(resume)} is unknown; {did_you_mean(resume, MODES)}")
        if out is not None:
            return
        if resume != "never":
            raise UserError(
                f"resume: {shown(resume)} needs the folder of the run; give it, such as "
                'out="runs/mine"'
            )
        if self.given["checkpoint"] is not None:
            raise UserError(
                "checkpoint: a run without a folder has no checkpoints; give one, such as "
                'out="runs/mine", or leave checkpoint out'
            )

    def _checkpoint(self) -> Any:
        """The table `[checkpoint]`."""
        given = self.given["checkpoint"]
        if given is None:
            return {}
        return given if isinstance(given, Mapping) else {"every": given}


def _table(value: Any) -> dict[str, Any]:
    """A section of a configuration, of which the name alone may be given."""
    return dict(value) if isinstance(value, Mapping) else {"name": value}


def _check_no_sections(problem: Any) -> None:
    """Raise UserError where a whole configuration is given for the problem."""
    if not isinstance(problem, Mapping) or "name" in problem:
        return
    found = [section for section in SECTIONS if section in problem]
    if found:
        raise UserError(
            f"problem: {' and '.join(found)} "
            f"{'are sections' if len(found) > 1 else 'is a section'} of a configuration; give each "
            'section as an argument, such as problem={"name": "quadratic"}, method="sparkle", and '
            "the keys of run by their names, such as iterations=500"
        )


def _with_functions(table: Any) -> Any:
    """A table in which functions of k are schedules."""
    if not isinstance(table, Mapping):
        return table
    return {
        key: Function(value)
        if callable(value) and not isinstance(value, Schedule | type)  # a class is a mistake
        else value
        for key, value in table.items()
    }
