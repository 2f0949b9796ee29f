"""The marker of a finished run, and what identifies its configuration."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from ..config import Config
from .files import flat
from .identity import ESTIMATED

DIGEST = "config_digest"
"""The attribute of result.h5 with the digest of its configuration."""


@dataclass(frozen=True)
class Done:
    """The marker of a finished run.

    Its first line has the iterations, the second one the rest as JSON. A marker of an earlier
    version has the first line only.

    Parameters
    ----------
    iteration : int
        Iterations done.
    config : str
        The digest of its configuration.
    version : str
        Of mpidbo.
    defaulted : tuple of str
        The keys that it left to the problem or to an estimate.
    contents : mapping
        Key -> digest of the file that it names.
    """

    iteration: int
    config: str = ""
    version: str = ""
    defaulted: tuple[str, ...] = ()
    contents: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        rest = {key: value for key, value in asdict(self).items() if key != "iteration"}
        return f"{self.iteration}\n{json.dumps(rest)}\n"

    @classmethod
    def parse(cls, text: str) -> "Done":
        """Read a marker; ValueError, TypeError or AttributeError where it is damaged."""
        first, _, rest = text.partition("\n")
        found = json.loads(rest) if rest.strip() else {}
        return cls(
            int(first),
            found.get("config", ""),
            found.get("version", ""),
            tuple(found.get("defaulted", ())),
            dict(found.get("contents", {})),
        )


def defaulted(config: Config, resolved: Config) -> tuple[str, ...]:
    """Return the keys of a run's configuration that the problem or an estimate filled in.

    Parameters
    ----------
    config : Config
        As it was checked.
    resolved : Config
        As the run has it.
    """
    added = flat(resolved.tables()).keys() - flat(config.tables()).keys()
    return tuple(sorted({f"steps.{key}" for key in config.defaulted} | ESTIMATED & added))
