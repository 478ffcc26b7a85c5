"""Every error the product raises, as one tree.

    DcmrelayError
    ├── ConfigError                  the configuration file: mend it; names every problem
    ├── StartError                   the world is not as it must be at start: mend what it names, start again
    ├── TransientError               may work later: the worker tries again
    │   ├── StorageError             the spool's disk refused (full, I/O error, gone)
    │   ├── BrokerError              RabbitMQ is away or did not confirm
    │   ├── NotifyError              a person could not be told: the message is tried again
    │   ├── LedgerError              the ledger's database is away, locked or full: nothing else waits for it
    │   └── PeerError                the other DICOM application
    │       ├── PeerUnreachableError no TCP or TLS connection
    │       ├── PeerRejectedError    A-ASSOCIATE-RJ
    │       ├── PeerAbortedError     A-ABORT, reset or close in mid association
    │       ├── PeerTimeoutError     silent or too slow
    │       └── ProtocolError        broke PS3.7 or PS3.8, or a bound of ours
    ├── PermanentError               never will work as it stands: becomes a dead letter of the class it names
    │   └── DataSetError             bytes that cannot be read as a DICOM data set
    ├── SupersededError              somebody else wrote the unit's next record: stop, touch nothing
    ├── HandedBackError              the process was told to stop: leave the unit as if it had not begun
    └── PausedError                  a person paused the destination: leave the unit until then, no try is counted

No message in this tree may quote a value from a data set, or text that a peer or a parser wrote.
"""

from datetime import datetime
from typing import Literal

DeadLetterClass = Literal["unreachable", "refused", "invalid", "policy", "bug"]


class DcmrelayError(Exception):
    """Anything the product raises on purpose; its text is one line that names the thing, the place and the remedy."""


class ConfigError(DcmrelayError):
    """The configuration cannot be used; mend the file and run `dcmrelay check` again.

    Args:
        problems: one line per problem, each beginning with the key it is about.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StartError(DcmrelayError):
    """A worker cannot start: mend what the message names, then start it again."""


class TransientError(DcmrelayError):
    """May work later; the worker tries again after a while."""


class StorageError(TransientError):
    """The spool's file system refused a read or a write; nothing was stored under a final name."""


class BrokerError(TransientError):
    """RabbitMQ is away, refused, or did not confirm; the spool's sweep will ring again."""


class NotifyError(TransientError):
    """A mail server, webhook or command did not take a message; it is tried again, and `status` says so."""


class LedgerError(TransientError):
    """The ledger's database is away, locked, full or damaged; what it misses it is told again from the spool."""


class PeerError(TransientError):
    """Something went wrong with the other DICOM application."""


class PeerUnreachableError(PeerError):
    """No connection could be made; check host, port and firewall."""


class PeerRejectedError(PeerError):
    """The peer answered A-ASSOCIATE-RJ; check AE titles on both sides.

    Args:
        result: 1 rejected-permanent, 2 rejected-transient (PS3.8 9.3.4).
        source: 1 service user, 2 service provider (ACSE), 3 service provider (presentation).
        reason: reason/diagnostic, by source.
        text: what the three numbers mean.
    """

    def __init__(self, result: int, source: int, reason: int, text: str) -> None:
        super().__init__(f"association rejected: {text} ({result},{source},{reason})")
        self.result, self.source, self.reason = result, source, reason


class PeerAbortedError(PeerError):
    """The association ended before it was released; what was in flight is in doubt."""


class PeerTimeoutError(PeerError):
    """The peer was silent or too slow; what was in flight is in doubt."""


class ProtocolError(PeerError):
    """The peer sent what PS3.7 or PS3.8 does not allow, or passed one of our bounds."""


class PermanentError(DcmrelayError):
    """Will not work however often it is tried; a person is needed.

    Args:
        reason: one line for the dead letter.
        dead_letter_class: which of the five classes it belongs to.
    """

    def __init__(self, reason: str, dead_letter_class: DeadLetterClass) -> None:
        super().__init__(reason)
        self.reason = reason
        self.dead_letter_class: DeadLetterClass = dead_letter_class


class DataSetError(PermanentError):
    """Bytes that cannot be read as the DICOM data set they should be."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "invalid")


# What looking at one unit may raise: damaged records, or a disk that refuses just now. Others are looked at still.
UNREADABLE = (ValueError, TypeError, KeyError, OSError, DataSetError, StorageError)


class SupersededError(DcmrelayError):
    """Another worker wrote the next record of this unit; whoever sees this stops and writes nothing."""


class HandedBackError(DcmrelayError):
    """The process was told to stop; the unit goes back as if this try had not been made."""


class PausedError(DcmrelayError):
    """A person paused the destination; what is under way stops where it is and waits.

    Args:
        reason: one line for the record.
        until: when to look again.
    """

    def __init__(self, reason: str, until: datetime) -> None:
        super().__init__(reason)
        self.reason, self.until = reason, until


def where(error: BaseException) -> str:
    """File and line of an error's innermost frame: what a developer needs, and nothing of the data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
