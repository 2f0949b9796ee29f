"""Claims: judged by margins over seeds; a false one does not hold."""

import re

import numpy as np
import pytest

from mpidbo import cli
from mpidbo.studies import claims, claims_listing
from mpidbo.studies.claims.base import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Claim,
    Comparison,
    Outcome,
    log_ratio,
    mean_std,
)

STUDY = {
    "study": {
        "methods": ["sparkle-ed", "d-soba"],
        "topologies": ["ring"],
        "seeds": 3,
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

    def studies(self, full):
        return {"one": STUDY}

    def judge(self, found):
        ed, soba = (found["one"].end(method, "ring") for method in ("sparkle-ed", "d-soba"))
        yield Comparison(
            "ring", f"{mean_std(ed)} against {mean_std(soba)}", log_ratio(soba, ed) - np.log10(2)
        )


class Planted(True_):
    statement = "D-SOBA ends nearer to x* than SPARKLE-ED"

    def judge(self, found):
        ed, soba = (found["one"].end(method, "ring") for method in ("sparkle-ed", "d-soba"))
        yield Comparison("ring", "", log_ratio(ed, soba))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "verdict"), [(True_, HOLDS), (Planted, FAILS)])
def test_a_false_claim_does_not_hold(kind, verdict, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(claims.CLAIMS, "planted", "planted:Planted")
    monkeypatch.setattr(claims, "make_claim", lambda name: kind())
    assert cli.main(["reproduce", "planted", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.rstrip().endswith(f"\n{verdict}") and kind.statement in said and kind.rule in said
    assert (tmp_path / "quick" / "verdict.txt").read_text().rstrip().endswith(verdict) and list(
        tmp_path.rglob("curves.png")
    )


@pytest.mark.parametrize(
    ("margins", "verdict"),
    [
        ([1.0, 1.2, 0.9], HOLDS),
        ([-1.0, -1.2, -0.9], FAILS),
        ([1.0, -1.0, 0.3], UNDECIDED),
        ([0.1, 0.5, -0.3], UNDECIDED),
        ([np.inf, 1.0, 1.0], HOLDS),
        ([np.inf, -1.0, -1.0], FAILS),
        ([np.nan, 1.0, 1.0], UNDECIDED),
        ([1.0], UNDECIDED),
        ([np.inf, np.inf, np.inf], HOLDS),
        ([0.0, 0.0, 0.0], UNDECIDED),
    ],
)
def test_the_gap_against_the_spread(margins, verdict):
    assert Comparison("", "", np.array(margins)).verdict == verdict


def test_the_worst_finding_decides():
    def verdict(*margins):
        findings = tuple(Comparison("", "", np.array(m)) for m in margins)
        return claims.Judgement("", True_(), False, findings).verdict

    good, bad, open_ = [1.0, 1.1], [-1.0, -1.1], [1.0, -1.0]
    assert (verdict(good, good), verdict(good, open_), verdict(good, open_, bad), verdict()) == (
        HOLDS,
        UNDECIDED,
        FAILS,
        UNDECIDED,
    )


def test_a_diverged_seed_counts_as_the_worst(tmp_path):
    from mpidbo.studies import run_study, study_of

    study = study_of({**STUDY, "steps": {"alpha": 40.0}}, "s", out=tmp_path)
    assert run_study(study, study.work, None, print)
    assert (
        np.isinf(Outcome(study).end("d-soba", "ring")).all()
        and np.isinf(Outcome(study).reached("d-soba", "ring", 1.0)).all()
    )


def test_every_claim_says_what_and_how():
    for name in claims.CLAIMS:
        claim = claims.make_claim(name)
        assert claim.statement and claim.source and claim.rule, name
        for full in (False, True):
            for tables in claim.studies(full).values():
                from mpidbo.studies import study_of

                study = study_of(tables, name)
                assert len(study.seeds) >= 5, name


def told(repo, name):
    """The verdict on docs/results.md."""
    text = (repo / "docs" / "results.md").read_text(encoding="utf-8")
    section = next(
        part
        for part in text.split("\n## Claim: ")
        if re.search(rf"mpidbo reproduce {name}$", part, re.MULTILINE)
    )
    return re.search(rf"^\*\*({HOLDS}|{FAILS}|{UNDECIDED})\b", section, re.MULTILINE)[1]


@pytest.mark.parametrize("name", claims.CLAIMS)
def test_every_claim_is_among_the_results(repo, name):
    verdict = told(repo, name)
    assert f"| `{name}` | {claims.make_claim(name).statement} | {verdict} |" in (
        repo / "docs" / "results.md"
    ).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "name", ["topology-order", "failing-link", "unbounded-dissimilarity", "sun-dsbo-nonconvex"]
)
def test_a_verdict_is_the_one_told(repo, name, tmp_path, capsys):
    """The quick size anew, to the last bit of luck: seeds and budgets are fixed."""
    assert cli.main(["reproduce", name, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == told(repo, name)


def test_the_list_and_the_mistakes(capsys):
    assert cli.main(["reproduce"]) == 0
    said = capsys.readouterr().out
    assert said == f"{claims_listing()}\n" and all(name in said for name in claims.CLAIMS)
    assert cli.main(["reproduce", "heterogenity"]) == 2
    assert (
        'no claim is called "heterogenity"; did you mean heterogeneity?' in capsys.readouterr().err
    )
