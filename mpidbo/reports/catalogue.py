"""Listings of methods, strategies, topologies and problems, as text."""

import inspect
import sys
import textwrap
from collections.abc import Collection, Mapping
from typing import Any

from .._fields import Field, describe
from .._text import aligned, plural
from ..algorithms import (
    METHODS,
    STRATEGIES,
    CommunicationCost,
    Complexity,
    Method,
    Strategy,
    communication_cost,
    communication_formula,
    recursions_of_strategies,
)
from ..config import check as check_config
from ..config import full_name, rule_of, split_name
from ..errors import known_as
from ..network import TOPOLOGIES, TOPOLOGY_FIELDS, graph_options, make
from ..problems import PROBLEMS, problem_class

ITEMSIZE = 8
"""Bytes of a float64."""
SMALL, LARGE = 16, 1000
"""p and q: where it is seen whether messages are compressed, and where that counts."""


def methods() -> str:
    """Return all methods with their keys, oracles and what they send, and the strategies."""
    return "\n\n".join(
        [
            *(_method(name) for name in METHODS),
            "Strategies, for any level of any method that does not fix them:",
            recursions(),
            "A method that uses g also takes [method] lower_ridge, r_k of g + r_k |y|^2/2 in place "
            "of g: a number or a schedule.",
            "mpidbo methods NAME prints a method's equations.",
        ]
    )


def method(name: str) -> str:
    """Return a method with its equations, or a strategy.

    Parameters
    ----------
    name : str
        Of a method, also with strategies, such as sparkle-ed-gt; or of a strategy.

    Raises
    ------
    UserError
        Where there is none of this name.
    """
    known = known_as(name, STRATEGIES)
    if known:
        return recursions(known)
    rule = METHODS[split_name(name)[0]][0]
    return f"{_method(full_name(name))}\n\n{inspect.getdoc(sys.modules[rule.__module__])}"


def _method(name: str) -> str:
    """A method without its equations."""
    table, steps, rule = defaults(name)
    base, _ = METHODS[table["name"]]
    about = " ".join((inspect.getdoc(base) or "").split("\n\n")[0].split("\n"))
    sends, later = (
        f"{floats} floats to each neighbour in {{}}, {plural(rounds, 'round')}"
        for floats, rounds in (communication_formula(rule), communication_formula(rule, 99))
    )
    aliases = [
        f"{table['name']}-{theirs} is {table['name']}-{ours}"
        for theirs, ours in base.aliases.items()
    ]
    if later == sends:
        sent = sends.format("an iteration")
    else:
        sent = f"{sends.format('iteration 1')}; {later.format('iteration 99')}"
    levels = [f"{level} by {strategy}" for level, strategy in rule.strategies().items()]
    rows = [
        ("levels", ", ".join(levels)),
        ("names", ", ".join(aliases)),
        ("[method]", _keys({key: value for key, value in table.items() if key != "name"})),
        ("[steps]", _keys(steps)),
        ("needs", " ".join(rule.needs)),
        ("sends", sent),
        ("bytes", bytes_sent(rule)),
        ("claims", complexity_of(base.complexity)),
        ("source", base.source),
    ]
    listed = [(label.ljust(8), text) for label, text in rows if text]
    return f"{name}: {about}\n{aligned(listed, indent='    ')}"


def bytes_sent(rule: Method) -> str:
    """Return the bytes that an agent sends to each neighbour in an iteration, as text.

    A formula in p and q, and in float64; of a method with compressed messages the number at
    p = q = 1000.
    """
    levels = dict.fromkeys(rule.levels, make("ring", 2))

    def cost(d: int) -> CommunicationCost:
        (found,) = communication_cost(rule, levels, (d, d))
        return found

    small = cost(SMALL)
    if small.bytes == ITEMSIZE * small.floats:
        return f"{communication_formula(rule, unit=ITEMSIZE)[0]} in float64"
    large = cost(LARGE)
    return (
        f"{large.bytes} at p = q = {LARGE} in float64, where {ITEMSIZE * large.floats} would be "
        "sent in full"
    )


def complexity_of(row: Complexity | None) -> str:
    """Return a row of the papers' comparison as text."""
    if row is None:
        return ""
    assumes, rate, evaluations, communication, transient, single_loop = row
    columns = {
        "assumes": assumes,
        "rate": rate,
        "gradients": evaluations,
        "floats": communication,
        "transient": transient,
    }
    parts = [f"{key} {value}" for key, value in columns.items() if value != "-"]
    return "; ".join([*parts, "single loop" if single_loop else "double loop"])


def defaults(name: str) -> tuple[Mapping[str, Any], Mapping[str, Any], Method]:
    """Return the tables [method] and [steps] of a method with its defaults, and the method."""
    checked = check_config({"problem": {"name": "quadratic"}, "method": {"name": name}})
    rule = rule_of(checked.method, checked.steps, n=2, horizon=checked.run.iterations)
    return checked.method, checked.steps, rule


def _keys(table: Mapping[str, Any]) -> str:
    return "  ".join(
        f"{key} = {value_of(value)}" if value is not None else f"{key} (unset)"
        for key, value in table.items()
    )


def value_of(value: Any) -> str:
    """Return a key's value as text; a schedule as its table."""
    if not isinstance(value, Mapping):
        return str(value)
    parts = ", ".join(f"{key} = {part}" for key, part in value.items())
    return f"{{ {parts} }}"


def differentiating() -> list[str]:
    """Return the methods that differentiate y*(x), and so need a y that is free."""
    return [name for name in METHODS if defaults(name)[2].differentiates_lower_level()]


def lacking(oracles: Collection[str]) -> dict[str, list[str]]:
    """Return for each method the oracles that it needs and that are not among these."""
    return {
        name: [oracle for oracle in defaults(name)[2].needs if oracle not in oracles]
        for name in METHODS
    }


def recursions(only: str | None = None) -> str:
    """Return the strategies, or one, with recursion, primal-dual form and what each sends."""
    table = [["name", "explicit recursion", "A", "B", "C", "sends", "rounds", "weights"]]
    for name, (recursion, form) in recursions_of_strategies().items():
        if only in (None, name):
            row = STRATEGIES[name]
            table.append([name, recursion, *form, sends(row), str(row.rounds), weights(row)])
    legend = [
        "s: an iterate of d entries, u = step * direction, h: tracker, + and ++: the next ones;",
        "sends: floats to each neighbour in a step; the columns A, B, C: the primal-dual form;",
        "weights: W has rows and columns that sum to one, A rows, B columns",
    ]
    return "\n    ".join([f"{aligned(table, indent='    ')}\n", *legend])


def sends(strategy: Strategy) -> str:
    """Return how many floats a step of a strategy sends to each neighbour, such as "2 d"."""
    if strategy.compression is not None:
        return f"{strategy.width} d, compressed"
    return f"{strategy.width} d" + (f" + {strategy.scalars}" if strategy.scalars else "")


def weights(strategy: Strategy) -> str:
    """Return the weights that a strategy needs, such as "W, symmetric" or "A and B"."""
    return " and ".join(strategy.weights) + (", symmetric" if strategy.symmetric else "")


def topologies() -> str:
    """Return all named topologies with their options."""
    entries = []
    for name, graph in TOPOLOGIES.items():
        own = [f"{key}: {describe(field.hint)}" for key, field in graph_options(name).items()]
        entries.append(_entry(name, _summary(graph), "; ".join(own)))
    common = [(key, _option(TOPOLOGY_FIELDS[key])) for key in ("lazy", "weights", "drop")]
    return "\n".join(
        [
            *entries,
            "",
            "Options of all, but that W.npy and self_weight bring their weights:",
            aligned(common, indent="    "),
            "",
            "A file in place of the name: W itself in .npy, .npz, .mtx or as text, a row on a "
            "line, or an edge list,",
            "two agents 0..n-1 on a line; in Python also a graph of networkx or a matrix.",
            "mpidbo topology NAME -n N --set KEY=VALUE shows one; --picture FILE.png draws it.",
        ]
    )


def _option(field: Field) -> str:
    """What a key is, without the marks of Markdown."""
    text = f"{describe(field.hint)}: {field.doc.text}; default {field.doc.default}"
    return text.replace("`", "")


def problems() -> str:
    """Return all shipped problems with their options and defaults."""
    entries = []
    for name in PROBLEMS:
        cls = problem_class(name)
        options = {
            key: p.default
            for key, p in inspect.signature(cls).parameters.items()
            if p.default is not p.empty and key != "dtype"
        }
        listed = ", ".join(f"{key} = {value}" for key, value in options.items())
        entries.append(_entry(name, _summary(cls), listed))
    return "\n".join(
        [
            *entries,
            "",
            "Your own is written my_file.py:MyProblem.",
            "mpidbo check NAME --set KEY=VALUE compares the oracles with finite differences.",
        ]
    )


def _entry(name: str, about: str, options: str) -> str:
    lines = textwrap.wrap(options, 110, break_long_words=False, break_on_hyphens=False)
    return "\n".join([name, *(f"    {line}" for line in [about, *lines] if line)])


def _summary(what: Any) -> str:
    return (inspect.getdoc(what) or "").split("\n")[0]
