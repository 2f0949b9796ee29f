"""The table of methods by name."""

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

from .base import Method

SHIPPED: dict[str, tuple[str, dict[str, Any]]] = {
    "sparkle": ("sparkle:Sparkle", {}),
    "d-soba": ("dsoba:DSoba", {}),
    "sun-dsbo": ("sun_dsbo:SunDsbo", {}),
    "soba": ("soba:Soba", {"lower": "centralized", "upper": "centralized", "schedule": "jacobi"}),
    "single-level": ("single_level:SingleLevel", {}),
    "sldbo": ("sldbo:Sldbo", {}),
    "f2sa": ("f2sa:F2sa", {}),
    "fab": ("fab:Fab", {}),
    "dsgda": ("dsgda:Dsgda", {}),
    "nr-dsbo": ("nr_dsbo:NrDsbo", {}),
    "gda": ("gda:Gda", {}),
    "dm-hsgd": ("dm_hsgd:DmHsgd", {}),
    "adasdbo": ("adasdbo:AdaSdbo", {"lower": "sgd", "upper": "sgd"}),
    "lopa": ("lopa:Lopa", {}),
    "maml": ("maml:Maml", {}),
    "mdbo": ("mdbo:Mdbo", {}),
    "vrdbo": ("vrdbo:Vrdbo", {}),
    "dbsa": ("dbsa:Dbsa", {}),
    "slam": ("slam:Slam", {}),
    "ma-dsbo": ("ma_dsbo:MaDsbo", {}),
    "dsbo": ("dsbo:Dsbo", {}),
    "gossip-dsbo": ("gossip_dsbo:GossipDsbo", {}),
    "dsgd": ("dsgd:Dsgd", {}),
}
"""The methods of the package: name -> ("module:Class", the keys that this name fixes).

A new one is a subclass of Method and an entry here: `mpidbo methods`, configurations, `solve` and
the reference read this table.
"""


class Methods(MutableMapping[str, tuple[type[Method], dict[str, Any]]]):
    """The methods by name: name -> (class, the keys that this name fixes).

    A shipped class is imported when its entry is read, so that a run imports its own method only.

    Parameters
    ----------
    shipped : mapping
        Entries with "module:Class" inside this package in place of a class.
    """

    def __init__(self, shipped: Mapping[str, tuple[str, dict[str, Any]]]) -> None:
        self._entries: dict[str, tuple[type[Method] | str, dict[str, Any]]] = {**shipped}

    def __getitem__(self, name: str) -> tuple[type[Method], dict[str, Any]]:
        rule, fixed = self._entries[name]
        if isinstance(rule, str):
            module, _, attribute = rule.partition(":")
            rule = getattr(import_module(f".{module}", __package__), attribute)
            self[name] = rule, fixed
        return rule, fixed

    def __setitem__(self, name: str, entry: tuple[type[Method], dict[str, Any]]) -> None:
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def imported(self) -> list[type[Method]]:
        """Return the classes that are imported, among them all that a user has added."""
        return [rule for rule, _ in self._entries.values() if not isinstance(rule, str)]


METHODS = Methods(SHIPPED)
"""The methods that configurations and `solve` know; `METHODS[name] = (Class, {})` adds one."""
