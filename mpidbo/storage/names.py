"""The name of a run's method, and the keys that it leaves out."""

from collections.abc import Mapping
from typing import Any


def method_name(tables: Mapping[str, Any]) -> str:
    """Return the method with its strategies, such as sparkle-ed-gt."""
    table = tables["method"]
    strategies = [table[key] for key in ("lower", "upper") if key in table]
    names = [row["name"] if isinstance(row, Mapping) else row for row in strategies]
    return "-".join([table["name"], *names])


def own_keys(method: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of [method] that are not in the name that `method_name` returns."""
    rest = {key: value for key, value in method.items() if key != "name"}
    for key in ("lower", "upper"):
        row = rest.pop(key, None)
        if isinstance(row, Mapping):
            rest[key] = {key: value for key, value in row.items() if key != "name"}
    return rest
