"""A study: which methods, topologies and seeds it compares, and the folders of its runs.

    [study]
    methods = ["sparkle-ed", { name = "sun-dsbo", mu = 0.05, label = "SUN" }]
    strategies = ["ed", "gt"]       # optional: every method with each of them
    topologies = ["ring", { name = "erdos-renyi", p = 0.3 }]
    seeds = [0, 1, 2]               # or how many
    metric = "distance"
    better = "lower"                # default: "higher" for an accuracy or auc
    target = 1e-3                   # optional: report the costs until the metric is there
    out = "runs/study"

    [tune]                          # optional: see tuning.py

`[problem]`, `[method]`, `[steps]`, `[topology]`, `[run]` and `[checkpoint]` hold what all runs have
in common, as in any configuration.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from .._fields import Doc, Form, Range, from_table
from ..config import (
    MetricName,
    StrategyName,
    full_name,
    merged,
    plain,
    step_table,
    with_absolute_paths,
)
from ..config import check as check_config
from ..config import load as load_tables
from ..errors import UserError, shown
from ..network import with_known_names
from .tune_table import Tuning, tuning_of

MAX_SEEDS = 10_000

Tables: TypeAlias = Mapping[str, Any]
"""A configuration: section -> its keys and values."""


def _is_nonempty_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0


Entries: TypeAlias = Annotated[
    list[Any], Form(_is_nonempty_list, "a list of names or of tables with a name")
]


@dataclass(frozen=True)
class StudyTable:
    """Keys of `[study]`."""

    methods: Annotated[Entries | None, Doc("methods to compare, by name or as tables")] = None
    strategies: Annotated[
        Annotated[list[StrategyName], Form(_is_nonempty_list, 'a list, such as ["ed", "gt"]')]
        | None,
        Doc("strategies that every method is taken with"),
    ] = None
    topologies: Annotated[Entries | None, Doc("topologies, by name or as tables")] = None
    seeds: Annotated[Any, Doc("a list of seeds, or how many")] = 3
    metric: Annotated[MetricName, Doc("the column of the history that is compared")] = "upper_loss"
    better: Annotated[
        Literal["lower", "higher"] | None, Doc("whether a lower or a higher metric is better")
    ] = None
    target: Annotated[
        Annotated[float, Range(-inf, inf)] | None, Doc("report the costs until the metric is there")
    ] = None
    out: Annotated[
        Annotated[
            str, Form(lambda value: str(value).strip() != "", 'a folder, such as "runs/study"')
        ]
        | None,
        Doc("the study's folder, relative to the file"),
    ] = None


class StudyRun(NamedTuple):
    """One run of a study."""

    group: "Group"
    seed: int

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.group.folder_of(self.seed)


@dataclass(frozen=True)
class Group:
    """The runs of one method on one topology, which differ by their seeds.

    Parameters
    ----------
    method, topology : str
        Labels in tables and figures.
    tables : Mapping
        The configuration of the runs, without the seed.
    folder : Path
        Folder of the runs.
    """

    method: str
    topology: str
    tables: Tables
    folder: Path

    @property
    def label(self) -> str:
        """Method and topology, for messages."""
        return f"{self.method} on {self.topology}"

    def folder_of(self, seed: int) -> Path:
        """The folder of the run of a seed."""
        return self.folder / f"seed-{seed}"


@dataclass(frozen=True)
class Study:
    """What is compared with what.

    Parameters
    ----------
    name : str
        Title of the figure.
    groups : tuple of Group
        Every method on every topology.
    seeds : tuple of int
        Seeds of each group's runs.
    metric : str
        Column of the history that is compared.
    higher : bool
        Whether a higher metric is better.
    target : float, optional
        Value of the metric whose costs are reported.
    out : Path
        Folder of the study.
    tune : Tuning, optional
        How the step sizes of each group are chosen; None: as they are configured.
    """

    name: str
    groups: tuple[Group, ...]
    seeds: tuple[int, ...]
    metric: str
    higher: bool
    target: float | None
    out: Path
    tune: Tuning | None

    def tables(self) -> dict[str, Any]:
        """The whole study as plain tables, to compare what ranks were given."""
        own = {
            "name": self.name,
            "seeds": self.seeds,
            "metric": self.metric,
            "higher": self.higher,
            "target": self.target,
            "out": self.out,
            "tune": None if self.tune is None else asdict(self.tune),
        }
        groups = {group.label: plain(group.tables) for group in self.groups}
        return {"study": plain(own), **groups}

    @property
    def work(self) -> tuple[StudyRun, ...]:
        """Every run, group by group."""
        return tuple(StudyRun(group, seed) for group in self.groups for seed in self.seeds)

    def part(self, text: str) -> tuple[StudyRun, ...]:
        """Every N-th run from the I-th on.

        Parameters
        ----------
        text : str
            "I/N", with I from 0.

        Raises
        ------
        UserError
            The string has another form, or I is not below N.
        """
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if not found or int(found[1]) >= int(found[2]):
            raise UserError(
                f"--part {shown(text)}: not of the form I/N with I from 0 to N - 1; "
                "write for example --part 0/4"
            )
        return self.work[int(found[1]) :: int(found[2])]


def load_study(path: Path, overrides: list[str], out: Path | None = None) -> Study:
    """Read a study from a TOML file.

    Parameters
    ----------
    path : Path
        The file, with a section `[study]`.
    overrides : list of str
        Changes of keys, such as "steps.alpha=0.1".
    out : Path, optional
        The study's folder, in place of `study.out`.

    Returns
    -------
    Study

    Raises
    ------
    UserError
        The file cannot be read, or a key or value is wrong.
    """
    tables = load_tables(path, overrides)
    if "study" not in tables:
        one = f"; for one run write mpidbo run {path}" if "problem" in tables else ""
        raise UserError(f"{path}: needs a section [study], see docs/studies.md{one}")
    return study_of(tables, path.stem, path.parent, out)


def study_of(tables: Tables, name: str, folder: Path = Path(), out: Path | None = None) -> Study:
    """Make a study of its tables, and check the configuration of every group.

    Parameters
    ----------
    tables : Mapping
        Section -> its keys and values, with a section "study".
    name : str
        Name of the study; its default folder is `runs/NAME`.
    folder : Path, default the working folder
        Folder that relative paths in the tables start from.
    out : Path, optional
        The study's folder, in place of `study.out`.

    Returns
    -------
    Study

    Raises
    ------
    UserError
        A key or value is wrong.
    """
    table = from_table(StudyTable, tables["study"], "study")
    base = {key: value for key, value in tables.items() if key not in ("study", "tune")}
    if out is None:
        out = Path("runs", name) if table.out is None else folder / table.out
    out = out.resolve()
    groups = tuple(_groups(table, base, folder, out))
    _check_folders(groups)
    better = table.better
    if better is None:
        better = "higher" if table.metric.endswith(("accuracy", "auc")) else "lower"
    return Study(
        name=name,
        groups=groups,
        seeds=_seeds(table.seeds),
        metric=table.metric,
        higher=better == "higher",
        target=table.target,
        out=out,
        tune=tuning_of(tables["tune"]) if "tune" in tables else None,
    )


def _groups(study: StudyTable, base: Tables, folder: Path, out: Path) -> Iterator[Group]:
    """Every method on every topology, each with a checked configuration."""
    topologies = list(_topologies(study, base))
    for method, method_label in _methods(study, base):
        for topology, topology_label in topologies:
            tables = {**base, **_of_method(base, method, f"study: {method_label}")}
            if topology:
                tables |= with_absolute_paths({"topology": topology}, folder)
            place = out / _file_name(method_label) / _file_name(topology_label)
            group = Group(method_label, topology_label, tables, place)
            try:
                check_config(tables)
            except UserError as error:
                raise UserError(f"study: {group.label}: {error}") from None
            yield group


def _of_method(base: Tables, entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """[method] and [steps] with the keys of a method of the study, of which some may be "auto"."""
    own = {key: value for key, value in entry.items() if key != "steps"}
    method = merged(base.get("method", {}), own)
    try:
        parts = [step_table(part.get("steps", {}), method) for part in (base, entry)]
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return {"method": method, "steps": merged(*parts)}


def _topologies(study: StudyTable, base: Tables) -> Iterator[tuple[dict[str, Any], str]]:
    """(table, label) of each topology."""
    entries = study.topologies or [base.get("topology", "ring")]
    tables = (entry if isinstance(entry, Mapping) else {"name": entry} for entry in entries)
    return (_entry(with_known_names(table), "topologies") for table in tables)


def _methods(study: StudyTable, base: Tables) -> Iterator[tuple[dict[str, Any], str]]:
    """(table, label) of each method, with each of the strategies if there are any."""
    for entry in study.methods or [base.get("method", "sparkle")]:
        table, label = _entry(entry, "methods")
        if study.strategies is None:
            yield table, label
        else:
            name = table.get("name", "sparkle")
            for strategy in study.strategies:
                yield {**table, "name": f"{name}-{strategy}"}, f"{label}-{strategy}"


def _entry(entry: Any, key: str) -> tuple[dict[str, Any], str]:
    """(table, label) of a name or a table, whose key `label` belongs to the study."""
    table = dict(entry) if isinstance(entry, Mapping) else {"name": entry}
    label = table.pop("label", None) or full_name(table.get("name"))
    label = label or Path(str(table.get("file", key))).stem
    if not isinstance(label, str):
        raise UserError(
            f"study.{key}: {shown(label)} is not a name; write one, or a table with a name"
        )
    return table, label


def _check_folders(groups: Sequence[Group]) -> None:
    """Raise UserError where two groups have the same labels."""
    seen = set()
    for group in groups:
        if group.folder in seen:
            raise UserError(
                f'study: {group.label} is listed twice; give one of them a label = "..."'
            )
        seen.add(group.folder)


def _seeds(value: Any) -> tuple[int, ...]:
    """The seeds of `study.seeds`, a list or a number. Raises UserError."""
    seeds = value
    if type(value) is int:
        seeds = list(range(min(value, MAX_SEEDS + 1)))  # one too many is enough to be refused
    if isinstance(seeds, list) and len(seeds) > MAX_SEEDS:
        raise UserError(f"study.seeds: {shown(value)} are more than {MAX_SEEDS} seeds; give fewer")
    if not _are_seeds(seeds):
        raise UserError(
            f"study.seeds: {shown(value)} is neither a number of seeds nor a list of different "
            "ones; write for example 5"
        )
    return tuple(seeds)


def _are_seeds(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    if any(type(seed) is not int or seed < 0 for seed in value):
        return False
    return len(set(value)) == len(value)


def _file_name(label: str) -> str:
    """A label as the name of a folder."""
    return re.sub(r"[^\w.+=-]+", "-", label).strip("-") or "unnamed"
