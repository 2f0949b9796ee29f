"""What the loggers write, read by the tools themselves."""

import json
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest

import mpidbo
from mpidbo.storage import Logger, files, read_arrays
from support import ROOT, launch, wandb_file
from support.runs import QUADRATIC, Killed, cutting, run, toml


def with_package(name):
    absent = f"{name} is not installed: pip install 'mpidbo[{name}]'"
    return pytest.mark.skipif(not find_spec(name), reason=absent)


pytestmark = [
    pytest.mark.loggers,
    pytest.mark.slow,  # MLflow alone takes seconds to import
    pytest.mark.filterwarnings("ignore"),  # the tools' own
    pytest.mark.timeout(300),
]


@pytest.fixture
def resumed(tmp_path, monkeypatch):
    """resumed("mlflow"): the folder of a run that was killed after 14 iterations, with rows that
    are made again, and then resumed; its history without the iteration."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def start(name):
        path, out = toml(tmp_path, {**QUADRATIC, "run.log": [name]}), tmp_path / "out"
        run(path, out, run__iterations=13)  # a row at 13, which a run without a break does not have
        cutting(monkeypatch, 21)
        with pytest.raises(Killed):
            run(path, out)
        run(path, out)
        history, _ = read_arrays(out / files.HISTORY)
        iterations = history.pop("iteration").tolist()
        return out, {
            name: {k: v for k, v in zip(iterations, values.tolist(), strict=True) if np.isfinite(v)}
            for name, values in history.items()
        }

    return start


@with_package("tensorboard")
def test_tensorboard(resumed):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    out, history = resumed("tensorboard")
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    assert {*events.Tags()["scalars"]} == {*history}
    for name, values in history.items():
        scalars = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in scalars] == [*values], name
        if not name.startswith("seconds_"):
            assert scalars == [(k, float(np.float32(value))) for k, value in values.items()]
    ended = events.Tensors("ended")[-1].tensor_proto.string_val
    assert ended == [b"finished: all iterations done"]
    about = HParamsPluginData.FromString(
        events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    ).session_start_info.hparams
    assert about["steps.alpha"].number_value == 0.002
    assert about["problem.name"].string_value == "quadratic"
    assert about["run.iterations"].number_value == 13  # those of the first start


@with_package("mlflow")
def test_mlflow(resumed):
    from mlflow import MlflowClient

    out, history = resumed("mlflow")
    client = MlflowClient(f"sqlite:///{out}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'mpidbo'")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED" and found.info.run_name == "out"
    assert found.data.tags["ended"] == "finished: all iterations done"
    assert found.data.params["steps.alpha"] == "0.002"
    assert found.data.params["run.iterations"] == "13"
    for name, values in history.items():
        # The end of the first start is a row that MLflow keeps.
        metrics = client.get_metric_history(found.info.run_id, name)
        logged = [(metric.step, metric.value) for metric in metrics if metric.step != 13]
        assert [step for step, _ in logged] == [*values], name
        if not name.startswith("seconds_"):
            assert logged == [*values.items()]


@with_package("mlflow")
def test_mlflow_where_it_is_told_to(tmp_path, monkeypatch):
    """Without a folder too; a run that is gone there is begun again."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/server.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    mpidbo.solve("quadratic", agents=2, iterations=5, log="mlflow")
    out, client = tmp_path / "out", MlflowClient(uri)
    experiment = client.get_experiment_by_name("mine").experiment_id
    assert [run.info.run_name for run in client.search_runs([experiment])] == ["quadratic sparkle"]
    path = toml(tmp_path, {**QUADRATIC, "run.log": ["mlflow"]})
    run(path, out, run__iterations=5)
    assert not (out / "mlflow.db").exists()
    client.delete_run((out / "mlflow.id").read_text().strip())
    run(path, out)
    found = client.search_runs([experiment], filter_string="run_name = 'out'")
    assert [run.info.status for run in found] == ["FINISHED"]
    assert len(client.get_metric_history(found[0].info.run_id, "upper_loss")) == 8


@with_package("wandb")
def test_wandb(resumed):
    out, history = resumed("wandb")
    folders = sorted((out / "wandb").glob("offline-run-*"))
    name = (out / "wandb.id").read_text().strip()
    assert len(folders) == 3  # of the three starts
    newest = [*wandb_file.records(folders[-1] / f"run-{name}.wandb")]
    rows = [
        {
            item.nested_key[0] if item.nested_key else item.key: json.loads(item.value_json)
            for item in r.history.item
        }
        for r in newest
        if r.WhichOneof("record_type") == "history"
    ]
    assert [row["_step"] for row in rows] == [*history["upper_loss"]]
    for name, values in history.items():
        if not name.startswith("seconds_"):
            assert {row["_step"]: row[name] for row in rows if name in row} == values
    (about,) = [r.run for r in newest if r.WhichOneof("record_type") == "run"][:1]
    values = {
        item.key or item.nested_key[0]: json.loads(item.value_json) for item in about.config.update
    }
    assert values["steps.alpha"] == 0.002 and about.project == "mpidbo"
    summary = {
        item.key or item.nested_key[0]: json.loads(item.value_json)
        for r in newest
        if r.WhichOneof("record_type") == "summary"
        for item in r.summary.update
    }
    assert summary["ended"] == "finished: all iterations done"
    (exit,) = [r.exit for r in newest if r.WhichOneof("record_type") == "exit"]
    assert exit.exit_code == 0


@with_package("wandb")
def test_wandb_without_a_key_asks_for_none(tmp_path):
    """In its own process, since wandb reads its variables once."""
    code = "import mpidbo; print(mpidbo.solve('quadratic', agents=2, log='wandb').iteration)"
    env = {"WANDB_MODE": "online", "WANDB_API_KEY": "", "NETRC": str(tmp_path / "none")}
    done = launch.mpirun(None, ["-c", code], cwd=tmp_path, env=env)
    assert done.stdout == "1000\n", done.stderr
    assert "run.log: wandb cannot be started (RuntimeError: no API key: run `wandb" in done.stderr


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_an_extra_installs_what_a_logger_needs(name):
    """The extra is called like the logger and like the module."""
    text = (ROOT / "setup.cfg").read_text()
    assert find_spec(f"mpidbo.storage.loggers.{name}") and f"\n{name} =" in text
    module = import_module(f"mpidbo.storage.loggers.{name}")
    assert [
        cls.package for cls in Logger.__subclasses__() if cls.__module__ == module.__name__
    ] == [name]
