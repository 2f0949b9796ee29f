"""The text listing of all claims."""

from ..._text import aligned
from . import CLAIMS, make_claim


def claims_listing() -> str:
    """The name and the statement of every claim that can be run."""
    statements = aligned([(name, make_claim(name).statement) for name in CLAIMS])
    return (
        f"{statements}\n\n"
        "mpidbo reproduce NAME runs one at a quick size, with --size standard or full at a larger "
        "one, and judges it."
    )
