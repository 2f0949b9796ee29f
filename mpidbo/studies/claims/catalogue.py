"""The text listing of all claims."""

from ..._text import aligned
from . import CLAIMS, claim


def claims() -> str:
    """Every claim of the literature that can be run."""
    return "\n".join([aligned([(name, claim(name).says) for name in CLAIMS]), "",
                      "mpidbo reproduce NAME runs one at a quick size, with --full at the papers', and judges it."])
