"""The way of a configuration through the package, from `check` to the first line of `Loop.run`.

    python benchmarks/config_way.py [REPOSITORY]

A short `mpidbo run` with a folder is traced in this process. The script prints the files of the
package that it enters, the calls from a lower layer into a higher one (layers are those of the
repository's test_layers.py), and the functions that call into the most files.
"""

import ast
import os
import re
import sys
import tempfile
from collections import defaultdict
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import FrameType
from typing import Any

MAX_LISTED = 6
"""Functions that are printed."""
CONFIG = """
[problem]
name = "quadratic"
[method]
name = "sparkle-gt-ed"
[topology]
name = "ring"
[run]
agents = 4
iterations = 2
"""


class Way:
    """A profiler that records calls between files of one package, from `check` until `Loop.run`."""

    def __init__(self, package: Path) -> None:
        self.folder = f"{package}{os.sep}"
        self.is_on, self.is_over = False, False
        self.calls: list[tuple[str, str, str]] = []
        """(file of the caller, its function, file of the called one)."""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event != "call" or self.is_over or not code.co_filename.startswith(self.folder):
            return
        if code.co_qualname in ("<module>", "__getattr__"):  # imports
            return
        file = code.co_filename.removeprefix(self.folder)
        if code.co_qualname == "check" and file.startswith("config"):
            self.is_on = True
        if not self.is_on:
            return
        caller = frame.f_back
        while caller is not None and not caller.f_code.co_filename.startswith(self.folder):
            caller = caller.f_back
        if caller is not None:
            name = caller.f_code.co_filename.removeprefix(self.folder)
            self.calls.append((name, caller.f_code.co_qualname, file))
        self.is_over = code.co_qualname == "Loop.run"


def heights(repository: Path) -> dict[str, int]:
    """The height of each module or package at the top, from LAYERS of test_layers.py."""
    source = next(iter(sorted(repository.glob("tests/**/test_layers.py")))).read_text()
    listed = re.search(r"^LAYERS = (\[.*?^\])", source, re.MULTILINE | re.DOTALL)
    assert listed is not None
    layers = ast.literal_eval(listed[1])
    return {name: -number for number, layer in enumerate(layers) for name in layer.split()}


def main(repository: Path) -> None:
    sys.path.insert(0, str(repository))
    package, height = repository / "mpidbo", heights(repository)
    way = Way(package)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.toml")
        config.write_text(CONFIG)
        from mpidbo.cli import main as command

        with redirect_stdout(StringIO()):
            sys.setprofile(way)
            code = command(["run", str(config), "--out", f"{folder}/run"])
            sys.setprofile(None)
    assert code == 0 and way.is_over
    between = [call for call in way.calls if call[0] != call[2]]

    def layer(file: str) -> int:
        return height[file.partition(os.sep)[0].removesuffix(".py")]

    climbs = {call for call in between if layer(call[2]) > layer(call[0])}
    called = defaultdict(set)
    for file, function, other in between:
        called[file, function].add(other)
    widest = sorted(called.items(), key=lambda item: -len(item[1]))[:MAX_LISTED]
    print("files entered:", len({file for call in way.calls for file in (call[0], call[2])}))
    print("calls from a lower layer into a higher one:", len(climbs))
    for climb in sorted(climbs):
        print("   ", *climb)
    print("functions that call into the most other files:")
    for (file, function), others in widest:
        print(f"    {len(others):2} {file} {function}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve())
