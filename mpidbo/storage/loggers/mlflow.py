"""`run.log = ["mlflow"]`: a run of MLflow, on its server or in a file of the run's folder."""

import os
import re
from time import time
from typing import Any

from .base import About, Logger, Row, Status

DATABASE, ID = "mlflow.db", "mlflow.id"
MAX_PARAMS = 100
"""How many MLflow takes at once."""
ENDS: dict[Status, str] = {"finished": "FINISHED", "stopped": "KILLED"}
"""What MLflow calls the ends of a run; it calls the others FAILED."""


class Mlflow(Logger):
    """Metrics with the iteration as their step, the configuration as parameters, and how it ended.

    The run is kept where MLFLOW_TRACKING_URI or `mlflow.set_tracking_uri` say, or else in mlflow.db
    in the run's folder. A run that is resumed continues that of MLflow, which is given the rows
    that it lacks.
    """

    package = "mlflow"
    files = (DATABASE, ID)

    def __init__(self, about: About) -> None:
        import mlflow
        from mlflow import entities

        own = about.folder is not None and not mlflow.is_tracking_uri_set()
        uri = f"sqlite:///{about.folder}/{DATABASE}" if own else None
        self.entities, self.client = entities, mlflow.MlflowClient(tracking_uri=uri)
        run = self._resumed(about) or self._new(about)
        self.run: str = run.info.run_id
        about.store(ID, self.run)
        # Parameters never change in MLflow: those that are there stay.
        params = [
            entities.Param(_key(key), str(value))
            for key, value in about.config.items()
            if _key(key) not in run.data.params
        ]
        for i in range(0, len(params), MAX_PARAMS):
            self.client.log_batch(self.run, params=params[i : i + MAX_PARAMS])
        self.last = run.data.metrics.get("iteration", -1)
        for row in about.rows:
            self.log(row)

    def _resumed(self, about: About) -> Any:
        """The run of MLflow that an earlier start has begun; None if it is not there."""
        from mlflow.exceptions import MlflowException

        stored = about.stored(ID)
        if not stored:
            return None
        try:
            self.client.update_run(stored, status="RUNNING")
            return self.client.get_run(stored)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None  # of another server, or deleted
            raise

    def _new(self, about: About) -> Any:
        """A new run, in the experiment that MLflow's variables name."""
        experiment = os.environ.get("MLFLOW_EXPERIMENT_ID", "")
        if not experiment:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "mpidbo")
            found = self.client.get_experiment_by_name(name)
            experiment = found.experiment_id if found else self.client.create_experiment(name)
        return self.client.create_run(experiment, run_name=about.name)

    def log(self, row: Row) -> None:
        if row["iteration"] <= self.last:
            return  # a row that is made again has the same values
        now, step = int(1000 * time()), int(row["iteration"])
        metrics = [
            self.entities.Metric(_key(name), value, now, step) for name, value in row.items()
        ]
        self.client.log_batch(self.run, metrics=metrics)
        self.last = step

    def close(self, status: Status, reason: str) -> None:
        self.client.set_tag(self.run, "ended", f"{status}: {reason}")
        self.client.set_terminated(self.run, ENDS.get(status, "FAILED"))


def _key(name: str) -> str:
    """A name of a metric or parameter, with the characters that MLflow allows."""
    return re.sub(r"[^\w\-. :/]", "_", name)
