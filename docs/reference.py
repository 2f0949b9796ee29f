"""Pages of the site that the registries write: each function gives Markdown for a mark of docs/api."""

import argparse
import inspect
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mpidbo import cli
from mpidbo.algorithms import METHODS, schedules, strategies
from mpidbo.algorithms.communication import formula
from mpidbo.algorithms.strategies import STRATEGIES
from mpidbo.config import validate as config
from mpidbo.errors import shown
from mpidbo.network.graphs import TOPOLOGIES
from mpidbo.network.table import RULES
from mpidbo.problems import ORACLES, PROBLEMS
from mpidbo.problems.lookup import RESERVED, problem_class
from mpidbo.reports import catalogue

NAMES = re.compile(r"[\w, ]+ : ")


def methods() -> str:
    """Every method: what it is, its equations, keys with defaults, what it needs and sends."""
    return "\n".join(_method(name) for name in METHODS)


def _method(name: str) -> str:
    table, steps, rule = catalogue.defaults(name)
    base, fixed = METHODS[name]
    floats, rounds = formula(rule)
    facts = [("class", f"`{base.__module__}.{base.__qualname__}`"), ("source", base.source),
             ("levels that gossip", ", ".join(f"{level} by `{row}`" for level, row in rule.strategies().items())),
             ("oracles needed", " ".join(f"`{oracle}`" for oracle in rule.needs)),
             ("sends", f"{floats} floats to each neighbour in an iteration, {rounds} round{'s' * (rounds > 1)}")]
    if fixed:
        facts.append(("fixed by this name", ", ".join(f"`{key} = {value}`" for key, value in fixed.items())))
    if aliases := config.ALIASES.get(name):
        facts.append(("names", ", ".join(f"`{name}-{theirs}` is `{name}-{ours}`" for theirs, ours in aliases.items())))
    if base.claims:
        facts.append(("claimed", catalogue.claims_of(base.claims)))
    keys = [(f"`method.{key}`", _value(value)) for key, value in table.items() if key != "name"]
    keys += [(f"`steps.{key}`", _value(value)) for key, value in steps.items()]
    return "\n\n".join([f"## {name}", _text(base), _text(sys.modules[base.__module__]), _table(("", ""), facts),
                        _table(("key", "default"), keys), ""])


def problems() -> str:
    """Every shipped problem with its options and oracles."""
    found = []
    for name in PROBLEMS:
        cls = problem_class(name)
        options = {key: p.default for key, p in inspect.signature(cls).parameters.items()
                   if key not in RESERVED and p.kind is not p.VAR_KEYWORD}
        has = "Oracles: " + " ".join(f"`{oracle}`" for oracle in ORACLES if getattr(cls, oracle, None) is not None)
        own = "Own steps: " + ", ".join(f"`{key} = {value:g}`" for key, value in cls.steps.items()) if cls.steps else ""
        found += [f"## {name}", f"`{cls.__module__}.{cls.__qualname__}`", _text(cls, options), f"{has}.", own and f"{own}.", ""]
    return "\n\n".join(found)


def rows() -> str:
    """The table of the strategies, from where it is written down."""
    lines = [line for line in (strategies.__doc__ or "").splitlines() if line.startswith("|")][2:]
    found = []
    for name, *powers, recursion in ([cell.strip() for cell in line.strip("|").split("|")] for line in lines):
        row = STRATEGIES[name]
        found.append((f"`{name}`", f"`{recursion}`", *(f"`{power}`" for power in powers), f"{row.width} d", str(row.rounds),
                      "symmetric" if row.symmetric else "any", "yes" if row.corrected else "no"))
    return _table(("name", "recursion", "A", "B", "C", "sends", "rounds", "W", "exact where agents differ"), found)


def graphs() -> str:
    """Every named topology with its options."""
    found = []
    for name, graph in TOPOLOGIES.items():
        options = list(inspect.signature(graph).parameters.values())[1:]
        said = "" if graph.__name__ == "<lambda>" else (inspect.getdoc(graph) or "").split("\n")[0]
        found.append((f"`{name}`", said, "; ".join(f"`{p.name}`: {RULES[p.name][1]} (default {_value(p.default)})" for p in options)))
    return _table(("name", "", "options"), found)


def kinds() -> str:
    """The keys of each kind of schedule."""
    return _table(("kind", "keys"), [(f"`{kind}`", ", ".join(f"`{key}`" for key in (*keys, "warmup")))
                                     for kind, keys in schedules.KINDS.items()])


def commands() -> str:
    """What every command says about itself."""
    parser = cli.parser()
    verbs = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return "\n\n".join(part for name, verb in verbs.choices.items() for part in (f"## mpidbo {name}", _code(_help(verb))))


def _help(parser: argparse.ArgumentParser) -> str:
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=100)
    return parser.format_help()


def _text(thing: Any, options: Mapping[str, Any] = MappingProxyType({})) -> str:
    """A docstring as Markdown; its options with their defaults."""
    return "\n".join(listed((inspect.getdoc(thing) or "").splitlines(), options))


def listed(lines: Sequence[str], options: Mapping[str, Any] = MappingProxyType({})) -> list[str]:
    """A docstring whose lines "name : text", below an underlined head or an empty line, are a list, alike in Markdown and
    reStructuredText."""
    found: list[str] = []
    section = False
    for i, line in enumerate(lines):
        below = lines[i + 1] if i + 1 < len(lines) else ""
        name, colon, text = line.partition(" : ")
        if NAMES.match(line) and (not i or not lines[i - 1].strip()):
            section = True
        if line and set(below) == {"-"}:
            section = True
            found += [f"**{line}**", ""]
        elif section and line and set(line) == {"-"}:
            continue
        elif section and colon:
            defaults = ", ".join(_value(options[key]) for key in name.split(", ") if key in options)
            found.append(f"- ``{name}``{f' ({defaults})' if defaults else ''}: {text}")
        elif section and line:
            found.append(f"  {line.strip()}" if line.startswith("    ") else f"- {line}")
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
