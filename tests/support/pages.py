"""What the tests of pages read: blocks of code, commands, and printed output compared with what
a page shows."""

import contextlib
import io
import re
import shlex

from mpidbo import cli, config
from mpidbo.algorithms import communication_formula

FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page):
    """(language, text, the text block right below it or None) of every fenced block."""
    text = page.read_text(encoding="utf-8")
    found = [(match[1], match[2], match.start(), match.end()) for match in FENCED.finditer(text)]
    for i, (language, body, _, end) in enumerate(found):
        below = (
            found[i + 1] if i + 1 < len(found) and not text[end : found[i + 1][2]].strip() else None
        )
        yield language, body, below[1] if below and below[0] == "text" else None


def commands(page, languages=("sh",), inline=True):
    """The words of every line `mpidbo ...` in code, without what comments say; placeholders for
    numbers are numbers."""
    text = page.read_text(encoding="utf-8")
    lines = [
        line
        for language, body, _ in blocks(page)
        if language in languages
        for line in body.splitlines()
    ]
    prose = FENCED.sub("", text)
    if inline:
        lines += re.findall(r"^ {4}(.*)$", prose, re.MULTILINE) + re.findall(r"`([^`\n]+)`", prose)
    for line in lines:
        line = re.sub(r"^(#\s*)?(\$ )?(mpiexec -n \w+ )?", "", line.strip())
        if line.startswith("mpidbo "):
            words = shlex.split(re.split(r"\s{3,}|\s#\s|\s[|>]", line)[0])[1:]
            yield ["8" if word == "N" else word for word in words]


def call(words):
    """A command in this process, without MPI."""
    args = cli.parser().parse_args(words)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert args.call(args, None) == 0, printed.getvalue()


def run_line(line):
    """A line of a shell block: runs are short, and alone; the doctor is not asked."""
    words = re.sub(r"^mpiexec -n \d+ ", "", line.split(" # ")[0].strip())
    if not words.startswith("mpidbo "):
        return
    words = shlex.split(words)[1:]
    short = {
        "run": ["run.iterations=20", "run.evaluate_every=10"],
        "compare": [
            "run.iterations=20",
            "study.seeds=1",
            'study.topologies=["ring"]',
            "tune.budget=50",
            "tune.iterations=25",
        ],
    }
    call([*words, *(word for text in short.get(words[0], []) for word in ("--set", text))])


def alike(found, expected):
    """Equal words, and numbers equal to one unit of the second digit."""
    found, expected = found.split(), expected.split()
    if len(found) != len(expected):
        return False
    for a, b in zip(found, expected, strict=True):
        try:
            same = abs(float(a.strip("[],'")) - float(b.strip("[],'"))) <= 0.1 * abs(
                float(b.strip("[],'"))
            )
        except ValueError:
            same = a == b
        if not same:
            return False
    return True


def sent(method):
    checked = config.check({"problem": {"name": "quadratic"}, "method": method})
    return communication_formula(config.rule_of(checked.method, checked.steps, n=2, horizon=1))
