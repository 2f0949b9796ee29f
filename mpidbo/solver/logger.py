"""What the library itself says beside warnings: `logging.getLogger("mpidbo")`."""

import logging

logger = logging.getLogger("mpidbo")
# As libraries do: without handlers of the application nothing is printed.
logger.addHandler(logging.NullHandler())
