"""Agents over MPI ranks, agreement between them, devices and threads."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
