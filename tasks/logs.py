"""What runs write to their logs, in the terminal and in the UI."""

import logging

from pricing.errors import PricingError

__all__ = ["shorten_expected_errors"]


class _ExpectedErrors(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], PricingError):
            record.exc_info = None  # the message has it already
        return True


_EXPECTED = _ExpectedErrors()


def shorten_expected_errors() -> None:
    """One line for an error that the user can mend; Prefect would log fifty of traceback, which are for bugs."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_EXPECTED)
