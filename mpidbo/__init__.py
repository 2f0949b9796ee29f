"""mpidbo: decentralized stochastic bilevel optimization over MPI."""

import lazy_loader

from ._version import __version__

# Imported when first used: a command must catch signals before numpy is loaded.
__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)

__all__ = [
    "Diverged",
    "MpidboError",
    "Problem",
    "Result",
    "Saved",
    "Solver",
    "UserError",
    "__version__",
    "from_jax",
    "from_torch",
    "load",
    "solve",
    "split",
    "split_files",
    "subsets",
]
