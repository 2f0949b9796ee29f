"""mpidbo: decentralized stochastic bilevel optimization over MPI."""

from ._version import __version__
from .errors import Diverged, MpidboError, UserError
from .losses import from_jax, from_torch, split, split_files, subsets
from .plan import Result
from .problems import Problem
from .saved import Saved, load
from .solve import solve

__all__ = ["Diverged", "MpidboError", "Problem", "Result", "Saved", "UserError", "__version__", "from_jax", "from_torch", "load", "solve",
           "split", "split_files", "subsets"]
