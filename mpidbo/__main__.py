"""The command `python -m mpidbo`."""

import sys

from .cli import main

sys.exit(main())
