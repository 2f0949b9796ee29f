"""`mpidbo check`: finite differences of a problem's oracles, or the list of all problems."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np

from .._fields import convert
from ..config import RUN_FIELDS, options_of, with_absolute_paths
from ..parallel import announce
from ..problems import (
    ORACLES,
    Problem,
    agents_of,
    check_agents,
    checks,
    make_problems,
    problem_class,
)
from ..reports import catalogue
from . import arguments
from .kinds import expect_problem


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `mpidbo check`."""
    parser.set_defaults(call=check)
    parser.add_argument(
        "problem", nargs="?", metavar="PROBLEM", help="a name, or my_file.py:MyProblem"
    )
    arguments.add_options(parser, "an option of the problem")
    parser.add_argument(
        "--agents",
        type=int,
        metavar="N",
        help="the number of agents, of which the first is checked; default: the problem's, else 2",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="the seed of the problem and of the check; default: 0",
    )


def check(args: Namespace, comm: None) -> int:
    """Print the findings of each oracle, and the methods whose oracles the problem has."""
    if args.problem is None:
        print(catalogue.problems())
        return 0
    if args.agents is not None:
        convert(args.agents, RUN_FIELDS["agents"].hint, "--agents")
    convert(args.seed, RUN_FIELDS["seed"].hint, "--seed")

    expect_problem(args.problem)
    table = {"name": args.problem, **arguments.options(args.options)}
    table = with_absolute_paths({"problem": table}, Path())["problem"]
    announce(1)  # before the problem's file, which may compute with JAX, is run
    cls = problem_class(table["name"])
    n = args.agents or agents_of(cls) or 2
    problem, *others = make_problems(
        cls, options_of(cls, table), range(n), n, seed=args.seed, dtype=np.dtype("float64")
    )
    findings = checks.check(problem, rng=np.random.default_rng(args.seed))
    if all(finding.ok for finding in findings):
        findings.append(check_agents([problem, *others]))
    print(checks.report(findings))
    print(_methods(problem))
    return 0 if all(finding.ok for finding in findings) else 1


def _methods(problem: Problem) -> str:
    """The methods that can solve a problem, and why the others cannot."""
    oracles = [name for name in ORACLES if getattr(problem, name, None) is not None]
    reasons = {
        name: f"which needs {' and '.join(missing)}" if missing else ""
        for name, missing in catalogue.lacking(oracles).items()
    }
    if problem.project_y is not None:
        for name in catalogue.differentiating():
            reasons[name] = reasons[name] or "which differentiates y*(x), and y is to stay in a set"
    usable = [name for name, reason in reasons.items() if not reason]
    lines = [f"methods: {', '.join(usable) or 'none'}"]
    lines += [f"    not {name}, {reason}" for name, reason in reasons.items() if reason]
    return "\n".join(lines)
