"""mpidbo: decentralized stochastic bilevel optimization over MPI."""

from ._version import __version__
from .errors import Diverged, MpidboError, UserError
from .plan import Result
from .problems import Problem
from .solve import solve

__all__ = ["Diverged", "MpidboError", "Problem", "Result", "UserError", "__version__", "solve"]
