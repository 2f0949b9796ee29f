"""The names of loggers, as `run.log` has them; `storage.loggers` has the loggers themselves."""

from typing import Any

from ..errors import UserError, did_you_mean, known_as, shown

LOGGERS = {
    "jsonl": "jsonl:Jsonl",
    "tensorboard": "tensorboard:TensorBoard",
    "mlflow": "mlflow:Mlflow",
    "wandb": "wandb:Wandb",
}
"""name -> "module:Class" inside `mpidbo.storage.loggers`; imported when asked for."""
KEY = "run.log"


def known_logger(name: Any) -> str | type[Any]:
    """Return an entry of `run.log`, with the name that it means; nothing is imported.

    Raises
    ------
    UserError
        It is neither a class nor the name of a logger.
    """
    if isinstance(name, type) or (isinstance(name, str) and ":" in name):
        return name
    if not isinstance(name, str):
        raise UserError(
            f'{KEY}: {shown(name)} is not a logger; give names such as "jsonl", or in Python '
            "classes, not instances"
        )
    known = known_as(name, LOGGERS)
    if known is None:
        raise UserError(
            f"{KEY}: no logger is called {shown(name)}; {did_you_mean(name, LOGGERS)} (your own is "
            "written my_module:MyLogger)"
        )
    return known
