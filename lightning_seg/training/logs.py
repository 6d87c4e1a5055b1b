"""What of the log goes where; ``conf/hydra/job_logging`` uses it before anything heavy is imported."""

import logging


class NotDrawn(logging.Filter):
    """Keeps from a terminal the lines of what a progress bar shows there."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a record with a true attribute ``drawn``."""
        return not getattr(record, "drawn", False)
