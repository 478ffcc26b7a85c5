"""Logs: one line per event, key=value for people or JSON for machines; never a value from a data set."""

import logging
import os
import sys
import warnings

import structlog

_NOISY = ("pika", "pydicom", "pynetdicom", "urllib3")


def set_up(worker: str, level: str = "INFO") -> None:
    """Log to standard error: readable on a terminal or by default, JSON when DCMRELAY_LOG_FORMAT=json.

    Other libraries are silenced below CRITICAL: their texts quote values, peers and URLs. DCMRELAY_LOG_LEVEL sets ours.

    Args:
        worker: who logs.
        level: when the environment says none.
    """
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.simplefilter("ignore")
    threshold = getattr(logging, os.environ.get("DCMRELAY_LOG_LEVEL", level).upper(), logging.INFO)
    as_json = os.environ.get("DCMRELAY_LOG_FORMAT") == "json"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _stamped(worker),
            structlog.processors.JSONRenderer() if as_json else structlog.processors.LogfmtRenderer(bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _stamped(worker: str) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {
            "timestamp": event.pop("timestamp"),
            "level": event.pop("level"),
            "worker": worker,
            "event": event.pop("event"),
            **event,
        }

    return add
