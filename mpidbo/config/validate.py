"""From the tables of TOML, or the same in Python, to a checked configuration.

Every mistake is a UserError that names the key, what is wrong with it and the remedy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .._fields import check_key, check_table, convert, from_table
from ..algorithms import METHODS, Method
from ..errors import UserError, did_you_mean, known_as, shown
from ..network import Spec, topology_tables, with_default_name, with_known_names
from ..problems import METRICS, PROBLEMS, metric_names, requested_for, similar_metric
from .auto_steps import record_of, split_auto, step_table
from .loggers import known_logger
from .method import check_steps, resolve_method, rule_of
from .places import check_places
from .rules import best_rule, stop_rules
from .run_section import Checkpoint, Run
from .schema import SECTIONS, STEPS, Config
from .values import check_storable, plain


def check(tables: Mapping[str, Any]) -> Config:
    """Check the tables of a configuration and fill in the defaults.

    Parameters
    ----------
    tables : Mapping
        Section -> table, as TOML has them, or with classes, numbers of numpy and paths as in
        `solve`. Of the sections `[problem]`, `[method]`, `[steps]`, `[topology]`, `[run]` and
        `[checkpoint]` only the name of the problem is needed.

    Returns
    -------
    Config
        The configuration; the problem's options are not checked, since that needs its class.

    Raises
    ------
    UserError
        An unknown section or key, a value of the wrong type or out of range, or a key that has no
        effect on the method.
    """
    check_places(tables)
    for section, table in tables.items():
        if section == "tuning":
            continue
        if section in ("study", "tune"):
            raise UserError(
                f"{section}: is of a study, which compares runs; start it with mpidbo compare, or "
                "leave the section out"
            )
        if section not in SECTIONS:
            raise UserError(f"{section}: unknown section; {did_you_mean(section, SECTIONS)}")
        if section != "steps":
            check_table(table, section)
    tables = {**tables, "steps": step_table(tables.get("steps", {}), tables.get("method", {}))}
    given = {section: plain(tables.get(section, {})) for section in SECTIONS}
    for section, table in given.items():
        check_storable(table, section, objects=section in ("problem", "run"))
    if "name" not in given["problem"]:
        raise UserError(
            'problem.name: missing; name the problem, such as name = "hyper-cleaning" or '
            'name = "my_file.py:MyProblem"'
        )
    name = given["problem"]["name"]
    given["problem"]["name"] = known_as(name, PROBLEMS) or name
    run = _checked_run(given["run"])
    chosen, auto = split_auto(given["steps"])
    check_steps(auto, given["method"])
    method, steps = resolve_method(given["method"], chosen, run.iterations)
    topology = with_known_names(with_default_name(given["topology"]))
    rule = rule_of(method, steps, n=1, horizon=run.iterations)
    level_topologies(topology, rule, method["name"])  # only to check the tables
    return Config(
        given["problem"],
        method,
        steps,
        topology,
        run,
        from_table(Checkpoint, given["checkpoint"], "checkpoint"),
        tuple(key for key in steps if key not in chosen and key not in auto),
        auto,
        record_of(tables, steps),
    )


def _checked_run(table: Mapping[str, Any]) -> Run:
    """`[run]`; metrics on request that its rules name count as requested."""
    values = dict(table)
    if isinstance(values.get("metrics"), str):
        values["metrics"] = [values["metrics"]]
    if isinstance(values.get("metrics"), list):
        values["metrics"] = [*_requested(values["metrics"])]
    if isinstance(values.get("log"), str | type):
        values["log"] = [values["log"]]
    if "stop" in values:
        values["stop"] = stop_rules(values["stop"])
    if "best" in values:
        values["best"] = best_rule(values["best"])
    run = from_table(Run, values, "run")
    if run.out is not None and not run.out.strip():
        raise UserError(
            'run.out: "" names no folder; give one, such as out = "runs/mine", or leave it out'
        )
    loggers = dict.fromkeys(map(known_logger, run.log))
    rules = [*run.stop, *([run.best] if run.best else [])]
    watched = [rule["metric"] for rule in rules]
    wanted = [name for name in map(requested_for, watched) if name]
    metrics = dict.fromkeys((*run.metrics, *wanted))
    return replace(run, metrics=tuple(metrics), log=tuple(loggers))


def _requested(names: list[Any]) -> Iterator[str]:
    """Yield the metrics on request among names; those that every history has need no request."""
    for name in names:
        known = known_as(name, metric_names())
        if known in METRICS:
            known = METRICS[known].beside or known
        if wanted := requested_for(known or str(name)):
            yield wanted
        elif not known:
            raise UserError(
                f"run.metrics: no metric on request is called {shown(name)}; "
                f"{similar_metric(name, metric_names())} (those of the problem need no request)"
            )


def level_topologies(
    topology: Mapping[str, Any], rule: Method, method: str
) -> dict[str, tuple[str, Spec]]:
    """The topology of each level of a method.

    Parameters
    ----------
    topology : Mapping
        `[topology]`, with a default name.
    rule : Method
        The method.
    method : str
        Its name, for messages.

    Returns
    -------
    dict
        Level -> (name of its table, the table); see `network.topology_tables`.
    """
    return topology_tables(topology, rule.strategies(), method)


def with_problem_steps(problem: type[Any], config: Config) -> Config:
    """The configuration with the problem's own step sizes in place of the method's defaults.

    Parameters
    ----------
    problem : type
        The class of the problem; its `steps`, if it has any, are a table key -> number.
    config : Config
        The configuration; step sizes that it states stay, and so do all of a method that does not
        use the problem's.

    Raises
    ------
    UserError
        The problem's step sizes are not a table of numbers.
    """
    own = getattr(problem, "steps", {})
    where = f"problem {problem.__name__}.steps"
    if not isinstance(own, Mapping):
        raise UserError(f'{where}: {shown(own)} is not a table; give one such as {{"alpha": 0.1}}')
    for key, value in own.items():
        check_key(key, STEPS, where, "not a step size")
        convert(value, float, f"{where}: {key}")
    if not METHODS[config.method["name"]][0].uses_problem_steps:
        return config
    steps = {key: own[key] for key in (*config.defaulted, *config.auto) if key in own}
    return replace(config, steps={**config.steps, **steps})
