"""Whether a topology suits a strategy."""

from .._warning import warn
from ..errors import UserError
from .table import LevelStrategy
from .topology import ROUNDING, Topology, has
from .turns import Turns


def suits(topology: Topology, strategy: LevelStrategy, *, where: str = "topology") -> None:
    """Check that a strategy is stable on this topology for small enough step sizes.

    Parameters
    ----------
    topology : Topology
        The topology of a level.
    strategy : Strategy
        The strategy of that level.
    where : str, default "topology"
        The key of the configuration that an error names.

    Raises
    ------
    UserError
        Where the topology lacks weights that the strategy needs, where this needs a symmetric W and
        that is not, where it compresses its messages and W changes, or where the smallest
        eigenvalue of W is below the strategy's bound, so that it diverges however small the step
        size. At the bound, and where a symmetric W changes from iteration to iteration, a warning.

    Notes
    -----
    `extra` needs lambda_min > (E - 2)/(E + 2) and `ed` lambda_min >= that, if one of E iterations
    gossips: -1/3 for E = 1. It is the bound of their recursions as the step size goes to zero.
    """
    if strategy.compression is not None and changes(topology):
        raise UserError(f"{where}: {_changing(topology, strategy)}")
    lacking = [name for name in strategy.weights if not has(topology, name)]
    if lacking:
        raise UserError(f"{where}: {_lack(topology, strategy, lacking[0])}")
    if strategy.symmetric and not topology.symmetric:
        raise UserError(
            f"{where}: {strategy.name} needs a symmetric W, and {topology.name} has none; take an "
            "undirected graph, or a strategy that works with any doubly stochastic W, such as gt "
            "or sgd"
        )
    if strategy.min_eigenvalue is not None:
        bound, every = strategy.min_eigenvalue, topology.turns.every
        for graph in topology.graphs:
            least = bound(every) if callable(bound) else bound
            _check_eigenvalue(graph, strategy, least, every, where)
    if strategy.symmetric and len(topology.graphs) > 1:
        warn(
            f"{where}: {strategy.name} may diverge on {topology.name}, whose W changes from "
            "iteration to iteration; a gradient-tracking strategy such as gt stays exact"
        )


def changes(topology: Topology) -> bool:
    """Whether W differs from iteration to iteration."""
    return bool(topology.drop) or topology.turns != Turns()


def _changing(topology: Topology, strategy: LevelStrategy) -> str:
    """Describe that a compressed strategy needs one W, and the remedy."""
    if topology.drop:
        how, remedy = "where links fail", "leave drop out"
    elif topology.turns.every > 1:
        how, remedy = f"with every = {topology.turns.every}", "leave every out"
    else:
        how, remedy = f"of {topology.name}", "take a graph that does not change"
    return (
        f"{strategy.name} keeps the product of W and what is known of each agent, which holds for "
        f"one W only, and the W {how} differs from iteration to iteration; {remedy}, or take a "
        "strategy that sends in full, such as gt"
    )


def _lack(topology: Topology, strategy: LevelStrategy, name: str) -> str:
    """Describe that a topology lacks the weights of this name, and the remedy."""
    found = "".join(topology.weights)
    if name == "W":
        needs = f"{strategy.name} needs a W whose rows and columns sum to one"
        if found == "AB" and topology.drop and _are_one(topology):
            return (
                f"{needs}, and {topology.name} has none where links of a directed graph fail; "
                "leave drop out, or take the strategy push-pull, ab or push-sum, or an undirected "
                "graph"
            )
        if found == "AB":
            return (
                f"{needs}, and {topology.name} has none: not every agent receives from as many "
                "as it sends to; take the strategy push-pull, ab or push-sum, or an undirected "
                "graph"
            )
        line = {"A": "columns", "B": "rows"}[found]
        other = ", or take the strategy push-sum" if found == "B" else ""
        return f"{needs}, and the {line} of {topology.name} do not; normalize them, too{other}"
    line = {"A": "rows", "B": "columns"}[found]
    return (
        f"{strategy.name} needs {' and '.join(strategy.weights)}, and {topology.name} is one "
        f"matrix, whose {line} alone sum to one; give the edges with directed = true, of which "
        'both are made, or both matrices, numpy.savez("weights.npz", A=A, B=B)'
    )


def _are_one(topology: Topology) -> bool:
    """Whether A is B, which are doubly stochastic then but for links that fail."""
    return all(
        bool((graph.weights["A"].data == graph.weights["B"].data).all())
        for graph in topology.graphs
        if "A" in graph.weights
    )


def _check_eigenvalue(
    topology: Topology, strategy: LevelStrategy, bound: float, every: int, where: str
) -> None:
    """Raise UserError, or warn, where W has an eigenvalue below the bound, or at it."""
    # Gershgorin's bound, without eigenvalues: the rows of W sum to one
    if 2 * topology.W.diagonal().min() - 1 > bound + ROUNDING:
        return
    excess, limit = topology.lambda_min - bound, _fraction(bound)
    found = (
        f"{where}: the smallest eigenvalue of {topology.name} is {topology.lambda_min:.6g}, "
        f"and {strategy.name}"
    )
    if every > 1:
        found += f" with every = {every}"
        remedy = "gossip more often, or take a gradient-tracking strategy such as gt"
    else:
        remedy = "set lazy = true"
    if excess < -ROUNDING or (strategy.strict and excess <= ROUNDING):
        needed = "above" if strategy.strict else "at least"
        raise UserError(f"{found} diverges unless it is {needed} {limit}; {remedy}")
    if excess <= ROUNDING:
        warn(f"{found} is at the edge of divergence, {limit}; {remedy}")


def _fraction(bound: float) -> str:
    """A bound as a user knows it, such as -1/3."""
    # Here, since only a message needs it.
    from fractions import Fraction

    return str(Fraction(bound).limit_denominator(1000))
