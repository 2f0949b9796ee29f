"""Reference pages that are generated from the package.

Each function returns the Markdown that replaces a mark of docs/api when the site is built. The
tables of docs/configuration.md are part of that file: `python docs/reference.py` writes them.
"""

import argparse
import inspect
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mpidbo import cli
from mpidbo._fields import Field, describe, fields_of
from mpidbo._text import plural
from mpidbo.algorithms import (
    METHODS,
    STRATEGIES,
    communication_formula,
    recursions_of_strategies,
    schedules,
)
from mpidbo.config import (
    BestRule,
    Checkpoint,
    MethodTable,
    ProblemTable,
    Run,
    StepsTable,
    Stop,
    StrategyTable,
)
from mpidbo.errors import shown
from mpidbo.network import TOPOLOGIES, TopologyTable, graph_options
from mpidbo.problems import ORACLES, PROBLEMS
from mpidbo.problems.lookup import RESERVED, problem_class
from mpidbo.reports import catalogue

CONFIGURATION = Path(__file__).with_name("configuration.md")
SECTIONS: dict[str, Any] = {
    "problem": ProblemTable,
    "method": MethodTable,
    "method.lower": StrategyTable,
    "steps": StepsTable,
    "topology": TopologyTable,
    "run": Run,
    "run.stop": Stop,
    "run.best": BestRule,
    "checkpoint": Checkpoint,
}
"""Section of a configuration, or a table in it -> the class whose fields are its keys."""
KEYS = re.compile(r"(<!-- keys of ([\w.]+) -->\n).*?(<!-- end -->)", re.DOTALL)
LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")
NAMES = re.compile(r"[\w, ]+ : ")
PROSE = {"Notes", "See Also", "Examples"}
"""Sections of docstrings that are not lists."""


def methods() -> str:
    """Every method: what it is, its equations, keys with defaults, what it needs and sends."""
    return "\n".join(_method(name) for name in METHODS)


def _method(name: str) -> str:
    table, steps, rule = catalogue.defaults(name)
    base, fixed = METHODS[name]
    floats, rounds = communication_formula(rule)
    facts = [
        ("class", f"`{base.__module__}.{base.__qualname__}`"),
        ("source", base.source),
        (
            "levels that gossip",
            ", ".join(f"{level} by `{row}`" for level, row in rule.strategies().items()),
        ),
        ("oracles needed", " ".join(f"`{oracle}`" for oracle in rule.needs)),
        (
            "sends",
            f"{floats} floats to each neighbour in an iteration, {plural(rounds, 'round')}",
        ),
    ]
    if fixed:
        facts.append(
            ("fixed by this name", ", ".join(f"`{key} = {value}`" for key, value in fixed.items()))
        )
    if base.aliases:
        facts.append(
            (
                "names",
                ", ".join(
                    f"`{name}-{theirs}` is `{name}-{ours}`" for theirs, ours in base.aliases.items()
                ),
            )
        )
    if base.complexity:
        facts.append(("claimed", catalogue.complexity_of(base.complexity)))
    keys = [(f"`method.{key}`", _value(value)) for key, value in table.items() if key != "name"]
    keys += [(f"`steps.{key}`", _value(value)) for key, value in steps.items()]
    about, *parameters = _text(base).split("\n\n")
    return "\n\n".join(
        [
            f"## {name}",
            about,
            _text(sys.modules[base.__module__]),
            *parameters,
            _table(("", ""), facts),
            _table(("key", "default"), keys),
            "",
        ]
    )


def problems() -> str:
    """Every shipped problem with its options and oracles."""
    found = []
    for name in PROBLEMS:
        cls = problem_class(name)
        options = {
            key: p.default
            for key, p in inspect.signature(cls).parameters.items()
            if key not in RESERVED and p.kind is not p.VAR_KEYWORD
        }
        has = "Oracles: " + " ".join(
            f"`{oracle}`" for oracle in ORACLES if getattr(cls, oracle, None) is not None
        )
        own = (
            "Own steps: " + ", ".join(f"`{key} = {value:g}`" for key, value in cls.steps.items())
            if cls.steps
            else ""
        )
        found += [
            f"## {name}",
            f"`{cls.__module__}.{cls.__qualname__}`",
            _text(cls, options),
            f"{has}.",
            own and f"{own}.",
            "",
        ]
    return "\n\n".join(found)


def rows() -> str:
    """The table of the strategies."""
    head = ("name", "", "recursion", "A", "B", "C", "sends", "rounds", "weights", "bias-corrected")
    found = []
    for name, (recursion, form) in recursions_of_strategies().items():
        strategy = STRATEGIES[name]
        found.append(
            (
                f"`{name}`",
                strategy.title,
                f"`{recursion}`",
                *(f"`{matrix}`" if matrix else "" for matrix in form),
                catalogue.sends(strategy),
                str(strategy.rounds),
                catalogue.weights(strategy),
                "yes" if strategy.corrected else "no",
            )
        )
    return _table(head, found)


def graphs() -> str:
    """Every named topology with its options."""
    found = []
    for name, graph in TOPOLOGIES.items():
        said = (inspect.getdoc(graph) or "").split("\n")[0]
        found.append(
            (
                f"`{name}`",
                said,
                "; ".join(
                    f"`{key}`: {describe(field.hint)} (default {_value(field.default)})"
                    for key, field in graph_options(name).items()
                ),
            )
        )
    return _table(("name", "", "options"), found)


def kinds() -> str:
    """The keys of each kind of schedule."""
    return _table(
        ("kind", "keys"),
        [
            (f"`{name}`", "; ".join(_schedule_key(key) for key in (*kind.keys, "warmup")))
            for name, kind in schedules.KINDS.items()
        ],
    )


def _schedule_key(key: str) -> str:
    return f"`{key}`: {describe(schedules.HINTS[key])}"


def configuration(page: str) -> str:
    """The page docs/configuration.md with the table of each section between its marks."""

    def table(marks: re.Match[str]) -> str:
        fields = fields_of(SECTIONS[marks[2]])
        rows = [_key(f"{marks[2]}.{name}", field) for name, field in fields.items()]
        return f"{marks[1]}{_table(('key', 'default', 'value', 'meaning'), rows)}\n{marks[3]}"

    return KEYS.sub(table, page)


def _key(name: str, field: Field) -> tuple[str, str, str, str]:
    """A row of the table of a section."""
    default = field.doc.default
    if not default and field.default is not MISSING:
        default = _value(field.default)
    return f"`{name}`", default, describe(field.hint), field.doc.text


def parameters(cls: Any) -> list[str]:
    """The section "Parameters" of a class whose fields carry their meaning; [] for any other."""
    if not is_dataclass(cls) or not any(field.doc.text for field in fields_of(cls).values()):
        return []
    lines = ["", "Parameters", "----------"]
    for name, field in fields_of(cls).items():
        text = LINK.sub(r"\1", field.doc.text)
        default = "optional" if field.default is None else f"default {shown(field.default)}"
        lines += [f"{name} : {describe(field.hint)}, {default}", f"    {text}"]
    return lines


def commands() -> str:
    """What every command says about itself."""
    parser = cli.parser()
    verbs = next(
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    return "\n\n".join(
        part
        for name, verb in verbs.choices.items()
        for part in (f"## mpidbo {name}", _code(_help(verb)))
    )


def _help(parser: argparse.ArgumentParser) -> str:
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=100)
    return parser.format_help()


def _text(thing: Any, options: Mapping[str, Any] = MappingProxyType({})) -> str:
    """A docstring as Markdown; its options with their defaults."""
    return "\n".join(listed((inspect.getdoc(thing) or "").splitlines(), options))


def listed(lines: Sequence[str], options: Mapping[str, Any] = MappingProxyType({})) -> list[str]:
    """Show lines "name : text" below an underlined head or an empty line as a list.

    The list is the same in Markdown and reStructuredText.
    """
    found: list[str] = []
    section = False
    for i, line in enumerate(lines):
        below = lines[i + 1] if i + 1 < len(lines) else ""
        name, colon, text = line.partition(" : ")
        if NAMES.match(line) and (not i or not lines[i - 1].strip()):
            section = True
        if line and set(below) == {"-"}:
            section = line not in PROSE
            found += [f"**{line}**", ""]
        elif line and set(line) == {"-"} and i and lines[i - 1].strip():
            continue  # the line below a section's name
        elif section and colon:
            defaults = ", ".join(_value(options[key]) for key in name.split(", ") if key in options)
            if "default" in text:
                defaults = ""
            typed = below.startswith("    ")  # the text is a type, its meaning is below
            remarks = ", ".join(part for part in (text if typed else "", defaults) if part)
            item = f"- ``{name}`` ({remarks}):" if remarks else f"- ``{name}``:"
            found.append(item if typed else f"{item} {text}")
        elif section and line.startswith("    "):
            found.append(f"  {line[4:]}")
        elif section and line:
            explained = below.startswith(" ") or line.startswith("*")
            found.append(f"- ``{line}``:" if explained else f"- {line}")
        elif section and not line and below.startswith("    "):
            found.append("")  # an item of several paragraphs, or with a list
        else:
            section = False
            found.append(line)
    return found


def _code(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


def _value(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "needed"
    if value is None:
        return "unset"
    return f"`{catalogue.value_of(value) if isinstance(value, Mapping) else shown(value)}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    found = list(rows)
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, found)]) if found else ""


if __name__ == "__main__":
    page = CONFIGURATION.read_text(encoding="utf-8")
    CONFIGURATION.write_text(configuration(page), encoding="utf-8")
