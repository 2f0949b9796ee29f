"""Step sizes that were found, as text and as a configuration."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import tomli_w

from .._text import aligned
from ..config import Config, tuning_summary

HEAD = "# Step sizes found by mpidbo tune from short runs; [tuning] records how."


def describe_tuning(config: Config) -> str:
    """Describe what the step sizes follow from: estimates at the start, and a table of the pilots.

    Parameters
    ----------
    config : Config
        With `tuning`.
    """
    record = config.tuning
    judge = record["judge"]
    lines = [f"at the start: {judge} {record['at_start']:.6g}"]
    if "curvature" in record:
        limits = ", ".join(
            f"{key} up to {limit / record['curvature']:.3g}"
            for key, limit in record["limits"].items()
        )
        lines.append(f"largest curvature of g in y {record['curvature']:.4g}: {limits}")
    if "curvature_of_pilots" in record:
        lines.append(
            f"along the pilots it grew to {record['curvature_of_pilots']:.4g}, "
            "for which the last of them have smaller step sizes"
        )
    if "curvature_growth" in record:
        lines.append(f"at the end of the last pilot it grows as k^{record['curvature_growth']:g}")
    for key, value in record["found"].items():
        if isinstance(value, Mapping) and "offset" in value:
            lines.append(f"{key} falls as (1 + k/{value['offset']:g})^{value['exponent']:g}")
    keys = [key for key in record["pilot"][0] if key not in ("iterations", "value")]
    rows = [[*keys, "iterations", judge]]
    for pilot in record["pilot"]:
        value = f"{pilot['value']:.6g}" if isfinite(pilot["value"]) else "diverged"
        rows.append([*(f"{pilot[key]:g}" for key in keys), str(pilot["iterations"]), value])
    lines += ["", aligned(rows, right=True), ""]
    lines.append(tuning_summary(config))
    return "\n".join(lines)


def found_steps(config: Config) -> list[str]:
    """Return what was found as arguments of `--set` have it: "alpha=0.1"."""
    return [f"{key}={_value(value)}" for key, value in config.tuning["found"].items()]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={_value(part)}" for key, part in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"


def tuned_configuration(tables: Mapping[str, Any], config: Config) -> str:
    """Return the file of a configuration with the step sizes that were found.

    Parameters
    ----------
    tables : mapping
        The configuration as it was read.
    config : Config
        The one with the step sizes.
    """
    others = {key: table for key, table in tables.items() if key not in ("steps", "tuning")}
    given = tables.get("steps", {})
    given = given if isinstance(given, Mapping) else {}
    steps = {**given, **config.tuning["found"]}
    steps = {key: value for key, value in steps.items() if value != "auto"}
    record = tomli_w.dumps({"tuning": config.tuning})
    parts = [HEAD, tomli_w.dumps(others), tomli_w.dumps({"steps": steps}), record]
    return "\n".join(parts)
