"""Formatting of numbers and tables."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest

PREFIXES = ("", "k", "M", "G", "T", "P")
MAX_PLAIN_COUNT = 10_000


def quantity(number: float, unit: str = "") -> str:
    """Format a number with three digits and a decimal prefix: "1.23 M", "960 B".

    A count below ten thousand is written as it is.
    """
    if not unit and abs(number) < MAX_PLAIN_COUNT and number == int(number):
        return str(int(number))
    power = 0
    while abs(number) >= 999.5 and power < len(PREFIXES) - 1:  # 999.5 is rounded to 1000
        number /= 1000
        power += 1
    return f"{number:.3g} {PREFIXES[power]}{unit}".rstrip()


def plural(number: int, word: str) -> str:
    """Format a count with its noun: "1 rank", "2 ranks"."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def aligned(rows: Iterable[Sequence[str]], *, indent: str = "", right: bool = False) -> str:
    """Format rows of cells as a table with columns two spaces apart.

    Parameters
    ----------
    rows : iterable of sequence of str
        The cells; rows may differ in length.
    indent : str, default ""
        In front of each line.
    right : bool, default False
        Whether cells are aligned to the right.
    """
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip_longest(*cells, fillvalue="")]
    lines = []
    for row in cells:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width in zip(row, widths, strict=False)
        ]
        lines.append((indent + "  ".join(padded)).rstrip())
    return "\n".join(lines)


def alternatives(words: Sequence[str]) -> str:
    """Format words as alternatives: "a, b or c"."""
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def first_nonempty(texts: Iterable[str]) -> str:
    """Return the first string that is not empty, or ""."""
    return next((text for text in texts if text), "")
