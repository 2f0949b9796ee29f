"""Claims: run, judged, archived; a false one does not hold."""

import importlib

import numpy as np
import pytest

from mpidbo import cli
from mpidbo.reports import FigureFolder
from mpidbo.studies import claims, claims_listing
from mpidbo.studies.claims.archive import Archived, read_archive, write_archive
from mpidbo.studies.claims.base import Claim
from mpidbo.studies.claims.comparison import better, cheaper, mean_std
from mpidbo.studies.claims.finding import FAILS, HOLDS, findings
from mpidbo.studies.claims.outcome import Outcome

STUDY = {
    "study": {
        "methods": ["sparkle-ed", "d-soba"],
        "topologies": ["ring"],
        "seeds": [0, 1, 2, 3, 5],  # 4 is a problem on which these steps diverge
        "metric": "distance",
    },
    "problem": {"name": "quadratic", "p": 2, "q": 3, "heterogeneity": 1.0},
    "steps": {"alpha": 0.05, "beta": 0.2, "gamma": 0.2},
    "run": {"agents": 5, "iterations": 800, "evaluate_every": 100},
}


class True_(Claim):
    statement, source, rule = (
        "SPARKLE-ED ends nearer to x* than D-SOBA",
        "a test",
        "distance at the end, by a factor of 2",
    )

    def studies(self, size):
        return {"one": STUDY}

    def judge(self, found):
        ed, soba = (found["one"].end(method, "ring") for method in ("sparkle-ed", "d-soba"))
        yield better("ring", f"{mean_std(ed)} against {mean_std(soba)}", soba, ed, times=2)


class Planted(True_):
    statement = "D-SOBA ends nearer to x* than SPARKLE-ED"

    def judge(self, found):
        ed, soba = (found["one"].end(method, "ring") for method in ("sparkle-ed", "d-soba"))
        yield better("ring", "", ed, soba)


class Itself(True_):
    statement = "D-SOBA ends nearer to x* than D-SOBA"

    def judge(self, found):
        soba = found["one"].end("d-soba", "ring")
        yield better("ring", "", soba, soba)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "verdict"), [(True_, HOLDS), (Planted, FAILS), (Itself, FAILS)])
def test_a_false_claim_does_not_hold(kind, verdict, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(claims.CLAIMS, "planted", "planted:Planted")
    monkeypatch.setattr(claims, "make_claim", lambda name: kind())
    assert cli.main(["reproduce", "planted", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert (
        printed.rstrip().endswith(f"\n{verdict}")
        and kind.statement in printed
        and kind.rule in printed
    )
    out = tmp_path / "quick"
    assert (out / "verdict.txt").read_text().rstrip().endswith(verdict)
    assert (out / "curves.png").is_file() and (out / "intervals.png").is_file()
    found, about = read_archive(out / "planted-quick.h5")
    (judged,) = findings(kind().judge(found))
    assert judged.condition in printed and judged.verdict == verdict
    (out / "curves.png").unlink()
    drawn = kind().draw(found, FigureFolder(out))
    assert drawn == [out / "curves.png"] and (out / "curves.png").is_file()
    assert about["command"] == "mpidbo reproduce planted --size quick"
    assert about["seconds"] == float((out / "seconds.txt").read_text()) > 0
    # nothing is run anew
    written = {path: path.stat().st_mtime_ns for path in out.rglob("result.h5")}
    again = ["reproduce", "planted", "--out", str(tmp_path), "--figures", "svg", "--column"]
    assert cli.main(again) == 0
    printed = capsys.readouterr().out
    for name in ("curves.svg", "intervals.svg"):
        assert str(out / name) in printed and (out / name).is_file()
    assert {path: path.stat().st_mtime_ns for path in out.rglob("result.h5")} == written


@pytest.mark.slow
def test_parts_make_the_runs_and_the_verdict_follows(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(claims.CLAIMS, "planted", "planted:Planted")
    monkeypatch.setattr(claims, "make_claim", lambda name: True_())
    arguments = ["reproduce", "planted", "--out", str(tmp_path)]
    for part, runs in (("0/2", 5), ("1/2", 10)):
        assert cli.main([*arguments, "--part", part]) == 0
        written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.h5")}
        assert len(written) == runs and not list(tmp_path.rglob("verdict.txt"))
    assert cli.main(arguments) == 0 and capsys.readouterr().out.rstrip().endswith(HOLDS)
    counted = [float(path.read_text()) for path in (tmp_path / "quick").glob("seconds*.txt")]
    _, about = read_archive(tmp_path / "quick" / "planted-quick.h5")
    assert len(counted) == 3 and max(counted) < about["seconds"] == pytest.approx(sum(counted))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.h5")} == written


def test_parts_that_there_are_not(tmp_path, capsys):
    arguments = ["--part", "2/2", "--out", str(tmp_path)]
    assert cli.main(["reproduce", "heterogeneity", *arguments]) == 2
    assert '--part "2/2": not of the form I/N' in capsys.readouterr().err
    assert cli.main(["reproduce", "failing-link", "--part", "0/2", "--out", str(tmp_path)]) == 2
    assert "this claim is not made of studies" in capsys.readouterr().err


def planted(rows):
    columns = {("d-soba", "ring", "distance"): rows, ("d-soba", "ring", "iteration"): rows * 0}
    return Archived(STUDY, "one", columns, {"d-soba on ring": [{"steps": {}, "score": 1.0}]})


def test_an_archive_holds_what_was_asked_for(tmp_path):
    rows = np.random.default_rng(0).normal(size=(5, 7))
    found = {
        "b": planted(rows),
        "a": planted(2 * rows),
        "curves": {"z 5 %": (np.arange(3.0), rows), "y": (np.arange(2.0), rows)},
    }

    class Two(True_):
        def studies(self, size):
            return {"a": STUDY, "b": STUDY}

    about = {"claim": "x", "size": "quick", "seconds": 1.5}
    write_archive(tmp_path / "x.h5", Two(), found, about)
    read, back = read_archive(tmp_path / "x.h5")
    assert back == about and list(read) == ["b", "a", "curves"]
    assert list(read["curves"]) == ["z 5 %", "y"]
    for name, curve in found["curves"].items():
        assert all((x == y).all() for x, y in zip(read["curves"][name], curve, strict=True))
    assert (read["a"].end("d-soba", "ring", 1) == (2 * rows).mean(axis=1)).all()
    with pytest.raises(KeyError, match="the archive has no floats of d-soba on ring"):
        read["b"].column("d-soba", "ring", "floats")


def test_a_diverged_seed_counts_as_the_worst(tmp_path):
    from mpidbo.studies import run_study, study_of

    study = study_of({**STUDY, "steps": {"alpha": 40.0}}, "s", out=tmp_path)
    assert run_study(study, study.work, None, print)
    assert (
        np.isinf(Outcome(study).end("d-soba", "ring")).all()
        and np.isinf(Outcome(study).reached("d-soba", "ring", 1.0)).all()
    )


@pytest.mark.parametrize(("beta", "diverged"), [(0.2, False), (3.5, True)])
def test_so_does_one_that_grows_and_is_still_finite(beta, diverged, tmp_path):
    from mpidbo.studies import run_study, study_of

    tables = {**STUDY, "study": {**STUDY["study"], "seeds": 2, "methods": ["d-soba"]}}
    tables |= {"steps": {"beta": beta}, "run": {"agents": 5, "iterations": 40, "evaluate_every": 5}}
    study = study_of(tables, "s", out=tmp_path)
    assert run_study(study, study.work, None, print)
    assert len(list(tmp_path.rglob("done"))) == 2  # none was stopped
    outcome = Outcome(study)
    assert np.isinf(outcome.column("d-soba", "ring")).all() == diverged
    assert np.isinf(outcome.column("d-soba", "ring", "floats")).all() == diverged


def test_a_curve_has_the_x_axis_of_a_seed_that_finished():
    rows = np.array([[np.inf, np.inf], [0.0, 5.0]])
    columns = {("d-soba", "ring", name): rows for name in ("iteration", "distance")}
    x, values = Archived(STUDY, "one", columns, {}).curve("d-soba", "ring")
    assert x.tolist() == [0, 5] and values is rows


def test_every_claim_says_what_and_how():
    for name in claims.CLAIMS:
        claim = claims.make_claim(name)
        assert claim.statement and claim.source and claim.rule and claim.full_hours > 0, name
        for size in claims.SIZES:
            for key, tables in claim.studies(size).items():
                seeds = tables["study"]["seeds"]
                # starts take the place of seeds
                assert seeds >= (5 if size == "quick" or size == "full" else 10) or "from" in key


def test_a_cost_that_nobody_reaches_is_equal():
    ours, theirs = np.array([10.0, np.inf, 20.0]), np.array([100.0, np.inf, np.inf])
    found = cheaper("floats", {"b": theirs}, {"a": ours})
    assert found.values.tolist() == [1.0, 0.0, np.inf]
    assert found.numbers == "a 20 in the median, 1 of 3 seeds never, b " + (
        "inf in the median, 2 of 3 seeds never"
    )


@pytest.fixture
def pages(repo, monkeypatch):
    """The program that writes docs/results.md, docs/claims.md and docs/papers/."""
    monkeypatch.syspath_prepend(repo / "docs")
    return importlib.import_module("claims")


def test_the_pages_are_those_of_the_archives(repo, pages):
    """After a change of a claim, a rule or an archive: make results."""
    results, figures = pages.load(), repo / "docs" / "figures" / "claims"
    texts = {"claims": pages.page(results, figures), "results": pages.overview(results)}
    for name, text in texts.items():
        _, mark, written = (
            (repo / "docs" / f"{name}.md").read_text(encoding="utf-8").partition(pages.MARK)
        )
        assert mark and written == f"\n{text}"
    for name, result in results.items():
        assert result.about["claim"] == name and result.about["size"] == "standard"
        assert (figures / name / "intervals.png").is_file()
        assert (figures / name / "small.png").is_file()
        compared = [finding.comparison.what for finding in result.findings]
        assert len(set(compared)) == len(compared) > 0
        assert f"| {result.verdict} |" in texts["results"]


OURS = {"lost-rank", "partial-average"}
"""Claims that no page of a paper shows: of all methods."""


def test_the_papers_pages_are_those_of_the_archives(pages):
    results, shown = pages.load(), set()
    for path in pages.papers.PAGES:
        text = path.read_text(encoding="utf-8")
        assert text == pages.papers.filled(path, results)
        here = {name for _, name, _ in pages.papers.BLOCK.findall(text)}
        explained = {name for name, *_ in pages.papers.GIVEN.findall(text)}
        other = {name for name in here & set(results) if results[name].verdict != HOLDS}
        assert other <= explained, "why a claim does not hold, or is undecided"
        shown |= here
    assert shown == set(claims.CLAIMS) - OURS


def test_a_paragraph_on_another_verdict_is_refused(pages, tmp_path):
    results = pages.load()
    comment = "<!-- given topology-order, quadratic, exponential < torus: {} -->\nSo it is.\n"
    path = tmp_path / "page.md"
    path.write_text(comment.format(HOLDS))
    assert pages.papers.filled(path, results) == comment.format(HOLDS)
    path.write_text(comment.format(FAILS))
    with pytest.raises(ValueError, match="exponential < torus is HOLDS, not DOES NOT HOLD"):
        pages.papers.filled(path, results)


def test_an_archive_that_was_changed_is_refused(tmp_path, pages):
    (tmp_path / "new.h5").write_bytes(b"1")
    pages.add([tmp_path / "new.h5"], tmp_path / "results")
    assert [path.name for path in pages.checked(tmp_path / "results")] == ["new.h5"]
    (tmp_path / "results" / "new.h5").write_bytes(b"2")
    with pytest.raises(ValueError, match="the checksum is not that of SHA256SUMS"):
        pages.checked(tmp_path / "results")
    (tmp_path / "results" / "other.h5").write_bytes(b"1")
    with pytest.raises(ValueError, match="the archives are not those of SHA256SUMS"):
        pages.checked(tmp_path / "results")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["topology-order", "failing-link"])
def test_the_quick_size_anew(name, tmp_path, capsys):
    """To the last bit of luck: seeds and budgets are fixed."""
    assert cli.main(["reproduce", name, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == HOLDS


def test_the_list_and_the_mistakes(capsys):
    assert cli.main(["reproduce"]) == 0
    printed = capsys.readouterr().out
    assert printed == f"{claims_listing()}\n" and all(name in printed for name in claims.CLAIMS)
    assert cli.main(["reproduce", "heterogenity"]) == 2
    assert (
        'no claim is called "heterogenity"; did you mean heterogeneity?' in capsys.readouterr().err
    )
