"""Numbers and tables as text."""

from collections.abc import Iterable, Sequence


def quantity(number: float, unit: str = "") -> str:
    """Three digits and a decimal prefix: "1.23 M", "960 B"; a count below ten thousand as it is."""
    if not unit and abs(number) < 1e4 and number == int(number):
        return str(int(number))
    prefixes = ["", "k", "M", "G", "T", "P"]
    while abs(number) >= 999.5 and len(prefixes) > 1:
        number /= 1000
        prefixes.pop(0)
    return f"{number:.3g} {prefixes[0]}{unit}".rstrip()


def plural(number: int, word: str) -> str:
    """"1 rank", "2 ranks"."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def aligned(rows: Iterable[Sequence[str]], *, indent: str = "", right: bool = False) -> str:
    """Rows of cells in columns, two spaces apart; the last column is as wide as it likes."""
    kept = [list(row) for row in rows]
    widths = [max((len(row[i]) for row in kept if i < len(row)), default=0) for i in range(max(map(len, kept), default=0))]
    lines = (indent + "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width in zip(row, widths, strict=False))
             for row in kept)
    return "\n".join(line.rstrip() for line in lines)
