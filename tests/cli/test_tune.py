"""`mpidbo tune`: what it prints, and the configuration that it writes."""

import re
import tomllib

import pytest

from mpidbo import cli
from mpidbo.storage import files
from support.runs import QUADRATIC, run, toml

GIVEN = QUADRATIC | {"steps.alpha": 0.5, "steps.theta": 0.3}
AUTO = {key: value for key, value in QUADRATIC.items() if key != "steps.alpha"} | {"steps": "auto"}


def tuned(path, capsys, *words):
    assert cli.main(["tune", str(path), *words]) == 0
    return capsys.readouterr().out


def test_it_prints_estimates_pilots_and_what_to_do(tmp_path, capsys):
    path = toml(tmp_path, GIVEN)
    text = tuned(path, capsys)
    lines = text.splitlines()
    assert lines[0].startswith("at the start: phi ")
    assert re.match(r"largest curvature of g in y [\d.]+: beta up to [\d.]+, gamma up to", lines[1])
    assert lines[2] == "alpha falls as (1 + k/64)^-0.5"
    assert lines[4].split() == ["alpha", "beta", "gamma", "iterations", "phi"]
    rows = [line.split() for line in lines[5 : lines.index("", 5)]]
    assert len(rows) >= 10 and all(len(row) == 5 for row in rows)
    found = re.search(r"^step sizes found: alpha = (\S+), beta = (\S+), gamma = (\S+);", text, re.M)
    assert [*found.groups()] == rows[-1][:3]
    total = int(re.search(r"(\d+) iterations, and with the estimates (\d+) oracle", text).group(1))
    assert max(int(row[3]) for row in rows) < total < sum(int(row[3]) for row in rows)
    schedule = f'{{kind="power", start={rows[-1][0]}, exponent=-0.5, offset=64}}'
    assert lines[-1].startswith(f"next: mpidbo run {path} --set 'steps.alpha={schedule}' ")
    assert re.search(r"(\d+) oracle calls of each agent, \d+% of the run's", text)
    # No run was made, and the same numbers come out again.
    assert not (tmp_path / "runs").exists()
    assert tuned(path, capsys) == text


def test_out_is_a_configuration_that_runs(tmp_path, capsys):
    path, out = toml(tmp_path, GIVEN), tmp_path / "tuned.toml"
    text = tuned(path, capsys, "--out", str(out))
    assert text.splitlines()[-1] == f"next: mpidbo run {out}"
    tables = tomllib.loads(out.read_text())
    assert tables["steps"]["theta"] == 0.3 and tables["problem"]["noise"] == 0.3
    assert {key: tables["steps"][key] for key in tables["tuning"]["found"]} == (
        tables["tuning"]["found"]
    )
    assert out.read_text().startswith("# Step sizes found by mpidbo tune")
    run(out, tmp_path / "a")
    capsys.readouterr()
    made = tomllib.loads((tmp_path / "a" / files.CONFIG).read_text())
    assert made["steps"] == tables["steps"] and made["tuning"] == tables["tuning"]
    assert cli.main(["tune", str(path), "--out", str(out)]) == 2
    assert f"--out {out}: exists already" in capsys.readouterr().err
    assert cli.main(["tune", str(path), "--out", str(tmp_path / "a/b/tuned.toml")]) == 2
    printed = capsys.readouterr()
    assert "there is no folder" in printed.err and not printed.out, "before the search"


def test_it_finds_what_a_run_finds(tmp_path, capsys):
    """Of a configuration with "auto" only those step sizes."""
    path = toml(tmp_path, AUTO)
    out = tmp_path / "tuned.toml"
    text = tuned(path, capsys, "--set", "steps.gamma=0.2", "--out", str(out))
    assert "gamma" not in text.splitlines()[3]
    assert tomllib.loads(out.read_text())["steps"]["gamma"] == 0.2
    run(path, tmp_path / "a", steps__gamma=0.2)
    made = tomllib.loads((tmp_path / "a" / files.CONFIG).read_text())
    assert made["tuning"] == tomllib.loads(out.read_text())["tuning"]
    assert "step sizes found: alpha = " in capsys.readouterr().out


def test_auto_on_the_command_line(tmp_path, capsys):
    path = toml(tmp_path, GIVEN)
    text = tuned(path, capsys, "--set", "steps.alpha=auto")
    assert text.splitlines()[3].split() == ["alpha", "iterations", "phi"]  # no curvature is needed
    path = toml(tmp_path, {key: value for key, value in GIVEN.items() if key[:5] != "steps"})
    assert tuned(path, capsys, "--set", "steps=auto") == tuned(path, capsys)
    assert cli.main(["tune", str(path), "--set", "steps=automatic"]) == 2
    error = capsys.readouterr().err
    assert error.startswith('mpidbo: steps: "automatic" is not a table; write steps = "auto", or')


def test_a_diverging_pilot_is_said(tmp_path, capsys):
    tables = {"problem.name": "compositional", "run.agents": 4, "run.iterations": 10}
    assert re.search(r" \d+ +diverged$", tuned(toml(tmp_path, tables), capsys), re.M)


@pytest.mark.parametrize("what", ["a.h5", "sparkle", "study.toml"])
def test_other_files(what, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.h5").write_text("")
    (tmp_path / "study.toml").write_text("[study]\n")
    assert cli.main(["tune", what]) == 2
    assert " tune takes " in capsys.readouterr().err


def test_a_terminal_shows_the_newest_pilot(tmp_path, capsys, monkeypatch):
    path = toml(tmp_path, GIVEN)
    assert cli.main(["tune", str(path)]) == 0
    usual = capsys.readouterr()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert cli.main(["tune", str(path)]) == 0
    printed = capsys.readouterr()
    assert usual.err == "" and printed.out == usual.out
    begin, *shown, end = printed.err.split("\r\x1b[K")
    assert begin == end == "" and len(shown) == int(
        re.search(r"(\d+) pilots", printed.out).group(1)
    )
    assert re.fullmatch(r"\d+ iterations with alpha = \S+, beta = \S+, gamma = \S+: \S+", shown[0])


def test_help(capsys):
    assert cli.main(["tune", "--help"]) == 0
    text = capsys.readouterr().out
    assert "Find step sizes" in text and "--out FILE" in text and "--set" in text
