"""Scripts of the documentation's figures draw what the pages show."""

import runpy

import pytest

from mpidbo import reports

pytest.importorskip("matplotlib")


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("overview", ["overview.svg", "overview.png"]),
        ("topologies", ["topologies.png"]),
        ("job_life", ["job_life.png"]),
        pytest.param("tutorial", ["tutorial.png"], marks=pytest.mark.slow),
        pytest.param("diagnosis", ["diagnosis.png"], marks=pytest.mark.slow),
    ],
)
def test_a_script_draws_its_figures(repo, tmp_path, monkeypatch, script, names):
    save, drawn = reports.save, []

    def saved(figure, path):
        drawn.append(path)
        save(figure, tmp_path / path.name)

    monkeypatch.setattr(reports, "save", saved)
    runpy.run_path(str(repo / "docs/figures" / f"{script}.py"), run_name="__main__")
    assert drawn == [repo / "docs/figures" / name for name in names]
    assert all(path.exists() and (tmp_path / path.name).stat().st_size > 10**4 for path in drawn)


def test_gaps_of_the_gallery(repo, tmp_path, monkeypatch, capsys):
    """The first and the last are those that docs/choosing.md states, and all are in order."""
    monkeypatch.setattr(reports, "save", lambda figure, path: None)
    runpy.run_path(str(repo / "docs/figures/topologies.py"), run_name="__main__")
    gaps = [line.split(" gap ") for line in capsys.readouterr().out.splitlines()]
    values = [float(gap) for _, gap in gaps]
    assert values == sorted(values)
    text = (repo / "docs/choosing.md").read_text(encoding="utf-8")
    (first, low), (last, high) = gaps[0], gaps[-1]
    assert (
        f"from {float(low):g} for a {first.strip()} to {float(high):g} for the {last.strip()}"
        in text
    )
