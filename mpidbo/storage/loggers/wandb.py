"""`run.log = ["wandb"]`: a run of Weights & Biases, online or in files of the run's folder."""

import os
from secrets import token_hex

from .base import About, Logger, Row, Status

FOLDER, ID = "wandb", "wandb.id"
OFFLINE = ("offline", "dryrun", "disabled")


class Wandb(Logger):
    """Values with the iteration as their step, the configuration, and how it ended.

    WANDB_MODE=offline writes into the folder wandb of the run's folder, for `wandb sync`; the
    other variables of wandb have their effect too. A run that is resumed continues that of W&B,
    which is given the rows that it lacks; offline it begins a new folder under the same name, with
    all rows.
    """

    package = "wandb"
    files = (FOLDER, ID)

    def __init__(self, about: About) -> None:
        import wandb

        mode = wandb.setup().settings.mode
        # By itself wandb would ask for a key in the terminal, in the middle of a run.
        if mode not in OFFLINE and not wandb.login(prompt=False, verify=False):
            raise RuntimeError("no API key: run `wandb login`, or set WANDB_MODE=offline")
        name = about.stored(ID) or token_hex(4)
        about.store(ID, name)
        self.run = wandb.init(
            dir=about.folder,
            id=name,
            resume="allow",
            project=os.environ.get("WANDB_PROJECT", "mpidbo"),
            name=os.environ.get("WANDB_NAME", about.name),
            config=dict(about.config),
            # A run beside those of the user; what the ranks print is left alone.
            settings=wandb.Settings(reinit="create_new", console="off", quiet=True),
        )
        self.first = self.run.step
        for row in about.rows:
            self.log(row)

    def log(self, row: Row) -> None:
        step = int(row["iteration"])
        if step >= self.first:  # else it is there already
            values = {name: value for name, value in row.items() if name != "iteration"}
            self.run.log(values, step=step, commit=True)

    def close(self, status: Status, reason: str) -> None:
        self.run.summary["ended"] = f"{status}: {reason}"
        self.run.finish(exit_code=0 if status in ("finished", "stopped") else 1)
