"""What of the log goes where; ``conf/hydra/job_logging`` uses it before anything heavy is imported."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


class StandardError(logging.StreamHandler[TextIO]):
    """Writes to what is standard error now: while a bar is drawn, to what puts lines above it instead of over it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Standard error."""
        return sys.stderr


class NotDrawn(logging.Filter):
    """Keeps from a terminal the lines of what a progress bar shows there."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a record with a true attribute ``drawn``."""
        return not getattr(record, "drawn", False)


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Send the log to ``path`` too."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("[%(asctime)s] %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
