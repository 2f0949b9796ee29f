"""A study: what is compared with what, and where its runs stand.

    [study]
    methods = ["sparkle-ed", "d-soba", { name = "sun-dsbo", mu = 0.05, label = "SUN", steps = { alpha = 0.3 } }]
    strategies = ["ed", "gt"]                # optional: every method with each of them
    topologies = ["ring", { name = "erdos-renyi", p = 0.3 }]
    seeds = [0, 1, 2]                        # or their number
    metric = "distance"
    better = "lower"                         # default: "higher" for an accuracy or auc
    target = 1e-3                            # optional: costs are told until the metric is there
    out = "runs/study"
    [tune]                                   # optional: see tune.py
    [problem] [method] [steps] [topology] [run] [checkpoint]     # what all runs have in common, as in any configuration
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import validate as configuration
from ..config.toml import load as load_tables
from ..config.toml import merged, with_absolute_paths
from ..errors import UserError, did_you_mean, is_one_of, shown
from ..storage import files

SEEDS = 10_000
"""The largest number of seeds."""
KEYS = ("methods", "strategies", "topologies", "seeds", "metric", "better", "target", "out")
DEFAULTS: dict[str, Any] = {"how": "grid", "budget": 10000, "iterations": 1000, "seed": 1000, "steps": {}, "method": {}}
"""The keys of [tune]."""


@dataclass(frozen=True)
class Group:
    """One method on one topology: its configuration but for the seed, and its folder."""

    method: str
    topology: str
    tables: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True)
class Study:
    """Groups times seeds; `higher`: whether more of the metric is better; `tune`: the checked table, or None."""

    name: str
    groups: tuple[Group, ...]
    seeds: tuple[int, ...]
    metric: str
    higher: bool
    target: float | None
    out: Path
    tune: Mapping[str, Any] | None

    def tables(self) -> dict[str, Any]:
        """All of it as plain tables."""
        own = ("name", "seeds", "metric", "higher", "target", "out", "tune")
        return {"study": configuration.plain({name: getattr(self, name) for name in own}),
                **{f"{group.method} on {group.topology}": configuration.plain(group.tables) for group in self.groups}}

    @property
    def work(self) -> tuple[tuple[Group, int], ...]:
        """Every run: a group and a seed."""
        return tuple((group, seed) for group in self.groups for seed in self.seeds)

    def part(self, text: str) -> tuple[tuple[Group, int], ...]:
        """The runs of part "I/N", I from 0: every N-th. Raises UserError."""
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if not found or not int(found[1]) < int(found[2]):
            raise UserError(f"--part {shown(text)}: not of the form I/N with I from 0 to N - 1; "
                            "write for example --part 0/4")
        return self.work[int(found[1])::int(found[2])]


def load(path: Path, overrides: list[str], out: Path | None = None) -> Study:
    """The study of a TOML file. Raises UserError."""
    given = load_tables(path, overrides)
    if "study" not in given:
        raise UserError(f"{path}: has no section [study]; give it one with methods = [...], see docs/studies.md")
    return checked(given, path.stem, path.parent, out)


def checked(given: Mapping[str, Any], name: str, folder: Path = Path(), out: Path | None = None) -> Study:
    """A study from its tables; every group's configuration is checked. Raises UserError."""
    base = {key: value for key, value in given.items() if key not in ("study", "tune")}
    study = _table(given["study"], "study", KEYS)
    metric = study.get("metric", "upper_loss")
    for key, value in (("metric", metric), ("out", study.get("out", ""))):
        if not isinstance(value, str):
            raise UserError(f'study.{key}: {shown(value)} is not a text; give one, such as "upper_loss" or "runs/study"')
    better = study.get("better", "higher" if metric.endswith(("accuracy", "auc")) else "lower")
    if not is_one_of(better, ("lower", "higher")):
        raise UserError(f'study.better: {shown(better)} is neither "lower" nor "higher"; write one of them')
    target = study.get("target")
    if target is not None and not (type(target) in (int, float) and target == target):
        raise UserError(f"study.target: {shown(target)} is not a number; give one such as 1e-3")
    if not str(study.get("out", "runs")).strip():
        raise UserError('study.out: "" names no folder; give one, such as out = "runs/study", or leave it out')
    place = out or (folder / study["out"] if "out" in study else Path("runs", name))
    groups = tuple(_groups(study, base, folder, place.resolve()))
    taken = [group.folder for group in groups]
    for group in groups:
        if taken.count(group.folder) > 1:
            raise UserError(f'study: {group.method} on {group.topology} stands there twice; give one of them a label = "..."')
    return Study(name, groups, _seeds(study.get("seeds", 3)), metric, better == "higher", target, place.resolve(),
                 _tuning(given["tune"]) if "tune" in given else None)


def _groups(study: Mapping[str, Any], base: Mapping[str, Any], folder: Path, out: Path) -> Iterator[Group]:
    topologies = list(_named(study, "topologies", base.get("topology", "ring")))
    for entry, method_label in _methods(study, base):
        for topology, topology_label in topologies:
            method = dict(entry)
            own = with_absolute_paths({"topology": topology}, folder) if topology else {}
            steps = merged(base.get("steps", {}), _table(method.pop("steps", {}), "study.methods: steps", None))
            tables = {**base, "method": merged(base.get("method", {}), method), "steps": steps, **own}
            _check(tables, f"study: {method_label} on {topology_label}")
            yield Group(method_label, topology_label, tables, out / _slug(method_label) / _slug(topology_label))


def _methods(study: Mapping[str, Any], base: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    strategies = study.get("strategies")
    if strategies is not None and not (isinstance(strategies, list) and strategies and all(isinstance(s, str) for s in strategies)):
        raise UserError(f'study.strategies: {shown(strategies)} is not a list of names; write one such as ["ed", "gt"]')
    for table, label in _named(study, "methods", base.get("method", "sparkle")):
        for strategy in strategies or [""]:
            yield ({**table, "name": f"{table['name']}-{strategy}"}, f"{label}-{strategy}") if strategy else (table, label)


def _named(study: Mapping[str, Any], key: str, default: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """(table, label) of each entry of a list of names or tables; in a table `label` is the study's."""
    entries = study.get(key, [default])
    if not isinstance(entries, list) or not entries:
        raise UserError(f"study.{key}: {shown(entries)} is not a list; write one of names or of tables with a name")
    for entry in entries:
        table = dict(entry) if isinstance(entry, Mapping) else {"name": entry}
        label = table.pop("label", None) or table.get("name", Path(str(table.get("file", key))).stem)
        if not isinstance(label, str):
            raise UserError(f"study.{key}: {shown(label)} is no name; write one, or a table with a name")
        yield table, label


def _check(tables: Mapping[str, Any], where: str) -> None:
    try:
        configuration.check(tables)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _seeds(value: Any) -> tuple[int, ...]:
    seeds = list(range(min(value, SEEDS + 1))) if type(value) is int else value
    if isinstance(seeds, list) and len(seeds) > SEEDS:
        raise UserError(f"study.seeds: {shown(value)} are more than {SEEDS} seeds; give fewer")
    if not isinstance(seeds, list) or not seeds or any(type(seed) is not int or seed < 0 for seed in seeds) or len(set(seeds)) < len(seeds):
        raise UserError(f"study.seeds: {shown(value)} is neither a number of seeds nor a list of different ones; write for example 5")
    return tuple(seeds)


def _tuning(value: Any) -> dict[str, Any]:
    table = DEFAULTS | _table(value, "tune", tuple(DEFAULTS))
    if table["how"] not in ("grid", "halving"):
        raise UserError(f'tune.how: {shown(table["how"])} is neither "grid" nor "halving"; write one of them')
    for key, least in (("budget", 1), ("iterations", 9 if table["how"] == "halving" else 1), ("seed", 0)):
        if type(table[key]) is not int or table[key] < least:
            raise UserError(f"tune.{key}: {shown(table[key])} is not a whole number of at least {least}; give one")
    if table["budget"] < table["iterations"]:
        raise UserError(f"tune.budget: {table['budget']} iterations are not enough for one trial of {table['iterations']}; give more")
    if not table["steps"] and not table["method"]:
        raise UserError("tune.steps: nothing to choose from; write for example steps.alpha = [0.001, 0.01, 0.1]")
    for section in ("steps", "method"):
        for key, choices in _table(table[section], f"tune.{section}", None).items():
            if not isinstance(choices, list) or not choices:
                raise UserError(f"tune.{section}.{key}: {shown(choices)} is not a list of choices; write one such as [0.001, 0.01, 0.1]")
    return table


def _table(value: Any, where: str, keys: tuple[str, ...] | None) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: {shown(value)} is not a table; write [{where}] and its keys below it")
    for key in value:
        if keys is not None and key not in keys:
            raise UserError(f"{where}.{key}: unknown key; {did_you_mean(key, keys)}")
    return dict(value)


def _slug(label: str) -> str:
    return re.sub(r"[^\w.+=-]+", "-", label).strip("-") or "unnamed"


def stored(path: Path) -> dict[str, Any]:
    """The tables of a TOML file that a study wrote; {} where there is none or it is damaged. Raises UserError where it cannot be read."""
    try:
        return parsed(files.read_text(path))
    except files.Damaged:
        return {}


def parsed(text: str) -> dict[str, Any]:
    """The tables of such a text; {} if it is damaged."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}
