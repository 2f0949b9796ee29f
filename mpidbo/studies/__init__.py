"""Studies: methods, strategies, topologies and seeds compared, each with steps of its own."""

from .report import report
from .run import execute
from .study import Study, checked, load

__all__ = ["Study", "checked", "execute", "load", "report"]
