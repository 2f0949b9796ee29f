"""The version, which comes from the git tag: the build writes it into `_version.txt`."""

from pathlib import Path

try:
    __version__ = Path(__file__).with_name("_version.txt").read_text(encoding="ascii").strip()
except OSError:  # source code that has been neither built nor installed
    __version__ = "0.1.0.dev0"
