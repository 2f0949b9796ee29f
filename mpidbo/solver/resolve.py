"""A configuration with all that its problem's class decides; needs no communicator or file."""

from dataclasses import dataclass, replace
from typing import Any

from ..algorithms import Method
from ..config import Config, level_topologies, options_of, rule_of, with_problem_steps
from ..problems import agents_of
from .levels import LevelTables


@dataclass(frozen=True)
class Resolved:
    """A configuration and what follows from it and from the class of its problem.

    Parameters
    ----------
    config : Config
        With the number of agents, the problem's own step sizes, and absolute paths in its options.
    problem : type
        The class of the problem.
    n : int
        The number of agents.
    method : Method
        The method; L and mu_g are None where they are to be estimated.
    tables : mapping of str to (str, table)
        Of each level of the method, where its topology is configured, and that table.
    """

    config: Config
    problem: type[Any]
    n: int
    method: Method
    tables: LevelTables


def resolve(config: Config, problem: type[Any], ranks: int) -> Resolved:
    """Fill in what a checked configuration leaves to the class of its problem.

    The number of agents is `run.agents`, else that for which the class has data, else the number of
    ranks. Raises UserError where the class and the configuration do not fit each other.
    """
    n = config.run.agents or agents_of(problem) or ranks
    options = options_of(problem, config.problem)
    config = replace(config, problem=options, run=replace(config.run, agents=n))
    config = with_problem_steps(problem, config)
    method = rule_of(config.method, config.steps, n=n, horizon=config.run.iterations)
    tables = level_topologies(config.topology, method, config.method["name"])
    return Resolved(config, problem, n, method, tables)
