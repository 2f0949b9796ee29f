"""`mpidbo report --serve`: a page for this machine alone that follows its runs."""

import json
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from mpidbo import cli
from mpidbo.errors import UserError
from mpidbo.reports import ReportServer
from mpidbo.storage import files, read_run, write_arrays
from mpidbo.storage.lock import LOCK, Holder, _started
from support import launch
from support.runs import QUADRATIC, run, toml
from support.served import serving


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    run(toml(folder, QUADRATIC), folder / "a")
    return folder / "a"


def test_a_run_is_followed_from_its_start(finished, tmp_path):
    out = tmp_path / "a"
    out.mkdir()
    shutil.copy(finished / files.CONFIG, out)
    process = subprocess.Popen(["sleep", "100"])
    holder = replace(Holder.of_this_process(), pid=process.pid, started=_started(process.pid))
    (out / LOCK).write_text(json.dumps(vars(holder)))
    with serving(out) as (_, ask):
        status, text = ask("/")
        assert status == 200 and "connect-src 'self'" in text and 'data-poll="2000"' in text
        assert "nothing written yet" in text and "badge running" in text
        news = json.loads(ask("/data?version=")[1])
        assert news["curves"]["metrics"] == [] and news["version"] in text
        assert ask(f"/data?version={news['version']}") == (204, "")

        history = read_run(finished).columns
        part = {name: values[:3] for name, values in history.items()}
        write_arrays(out / files.HISTORY, part, {})
        later = json.loads(ask(f"/data?version={news['version']}")[1])
        assert later["curves"]["runs"][0]["x"]["iterations"] == [0, 5, 10]
        assert "seen at iteration 10" in later["above"]

        # A run that is killed changes no file.
        process.kill()
        process.wait()
        last = json.loads(ask(f"/data?version={later['version']}")[1])
        assert "it was killed or failed; seen at iteration 10" in last["above"]

        shutil.copy(finished / files.RESULT, out)
        shutil.copy(finished / files.DONE, out)
        assert "finished" in json.loads(ask("/data?version=")[1])["above"]


def test_a_run_that_cannot_be_read_now_is_a_sentence(finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "a")
    with serving(out) as (_, ask):
        history = (out / files.HISTORY).read_bytes()
        (out / files.HISTORY).write_bytes(history[:5000])
        news = json.loads(ask("/data?version=")[1])
        assert "damaged" in news["error"]
        assert "finished" in ask("/")[1]  # what was known before
        (out / files.HISTORY).write_bytes(history)
        assert "error" not in json.loads(ask("/data?version=")[1])
        shutil.rmtree(out)
        assert "no such file or folder" in json.loads(ask("/data?version=")[1])["error"]


def test_it_is_for_this_machine_alone(finished):
    with serving(finished) as (server, ask):
        assert server.server_address[0] == "127.0.0.1"
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
            assert ask("/", Host=host)[0] == 403, host
        assert ask("/", Host="localhost:1")[0] == 200
        assert ask("/../../etc/passwd")[0] == ask("/config.toml")[0] == 404


def test_a_port_that_cannot_be_had(finished, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} cannot be used .* give another, or 0"):
            ReportServer([finished], port)
    assert cli.main(["report", str(finished), "--serve", "70000"]) == 2
    assert "70000 is not a port" in capsys.readouterr().err
    assert cli.main(["report", "--serve", str(finished)]) == 2
    assert "write the runs first: mpidbo report RUN --serve" in capsys.readouterr().err
    assert cli.main(["report", "nowhere", "--serve", "0"]) == 2
    assert "nowhere: no such file or folder" in capsys.readouterr().err


def test_an_interrupt_ends_it_as_other_commands(finished):
    process = subprocess.Popen(
        [sys.executable, "-m", "mpidbo", "report", str(finished), "--serve", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=launch.environment({}),
    )
    try:
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, printed) == (130, "mpidbo: interrupted\n")
    assert not (finished / files.REPORT).exists()
