"""The table of methods by name."""

from typing import Any

from .adasdbo import AdaSdbo
from .base import Method
from .dbsa import Dbsa
from .dm_hsgd import DmHsgd
from .dsbo import Dsbo
from .dsgd import Dsgd
from .dsgda import Dsgda
from .dsoba import DSoba
from .f2sa import F2sa
from .fab import Fab
from .gda import Gda
from .gossip_dsbo import GossipDsbo
from .lopa import Lopa
from .ma_dsbo import MaDsbo
from .maml import Maml
from .mdbo import Mdbo
from .nr_dsbo import NrDsbo
from .single_level import SingleLevel
from .slam import Slam
from .sldbo import Sldbo
from .soba import Soba
from .sparkle import Sparkle
from .sun_dsbo import SunDsbo
from .vrdbo import Vrdbo

METHODS: dict[str, tuple[type[Method], dict[str, Any]]] = {
    "sparkle": (Sparkle, {}),
    "d-soba": (DSoba, {}),
    "sun-dsbo": (SunDsbo, {}),
    "soba": (Soba, {"lower": "centralized", "upper": "centralized", "schedule": "jacobi"}),
    "single-level": (SingleLevel, {}),
    "sldbo": (Sldbo, {}),
    "f2sa": (F2sa, {}),
    "fab": (Fab, {}),
    "dsgda": (Dsgda, {}),
    "nr-dsbo": (NrDsbo, {}),
    "gda": (Gda, {}),
    "dm-hsgd": (DmHsgd, {}),
    "adasdbo": (AdaSdbo, {"lower": "sgd", "upper": "sgd"}),
    "lopa": (Lopa, {}),
    "maml": (Maml, {}),
    "mdbo": (Mdbo, {}),
    "vrdbo": (Vrdbo, {}),
    "dbsa": (Dbsa, {}),
    "slam": (Slam, {}),
    "ma-dsbo": (MaDsbo, {}),
    "dsbo": (Dsbo, {}),
    "gossip-dsbo": (GossipDsbo, {}),
    "dsgd": (Dsgd, {}),
}
"""The methods by name: name -> (class, the keys that this name fixes).

A new method is a subclass of Method and an entry here: `mpidbo methods`, configurations, `solve`
and the reference read this table.
"""
