"""The other DICOM applications: [[source]] may send, [[destination]] receives."""

import hashlib
import json
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator

from shared.config.conditions import Matches
from shared.config.fields import (
    AeTitle,
    CalledAeTitle,
    CallingAeTitle,
    Certificates,
    Constant,
    Count,
    Duration,
    FilePath,
    Host,
    Name,
    Network,
    Pause,
    PeerName,
    Port,
    Rate,
    SendingAeTitle,
    Several,
    Table,
)
from shared.config.values import parse_rate, shown

HEXADECIMAL_DIGITS_OF_IDENTITY = 16


class DestinationTls(Table):
    """[destination.tls]: whom the peer's certificate must show; `certificate` and `key` are ours, both or neither.

    Args:
        name: host name or IP address that the certificate is for, or its fingerprint ("sha256:...").
        ca: who may have issued it, or the certificate itself.
    """

    name: PeerName
    ca: FilePath
    certificate: FilePath | None = None
    key: FilePath | None = None


class Commitment(Table):
    """Commitment of a [[source]]: it may ask whether its instances are safe, and may delete them when they are.

    Args:
        by: the destination that has to have them.
        within: what it has not by then, counted from the request, is answered as failed.
        port: where the source listens for the answer.
        host: likewise; None: at the address that it asked from.
        ae_title: likewise; None: under the AE title that it asked with.
        tls: whom it shows where it listens; None: plain.
    """

    by: Name
    within: Duration = timedelta(hours=24)
    port: Port = 104
    host: Host | None = None
    ae_title: AeTitle | None = None
    tls: DestinationTls | None = None


class Source(Table):
    """[[source]]: who may send.

    Args:
        name: of the source; a metric label.
        ae_title: the calling AE title it uses.
        hosts: IP networks it may call from; empty means any.
        called: AE titles it may call, "*" any; empty before loading means the relay's own.
        certificate: it comes by TLS only, and its certificate has one of these names (common or alternative) or
            fingerprints ("sha256:..."); empty: it may come as it likes.
        issuer: the domain of its patient IDs, for pseudonyms.
        quiet: when a part of its closes; None means [ingress]'s.
        quiet_after_release: likewise.
        on_changed: what happens to other content under a known SOP Instance UID; None means [relay]'s.
        commitment: who answers for the safety of its instances; None: nobody, and storage commitment is refused.
    """

    name: Name
    ae_title: SendingAeTitle
    hosts: Several[Network] = ()
    called: Several[CalledAeTitle] = ()
    certificate: Certificates = ()
    issuer: Constant | None = None
    quiet: Duration | None = None
    quiet_after_release: Duration | None = None
    on_changed: Literal["forward", "hold"] | None = None
    commitment: Commitment | None = None


class Retry(Table):
    """[destination.retry]: the first wait, the longest (it doubles in between), and when to give up."""

    first: Duration = timedelta(seconds=1)
    max: Duration = timedelta(minutes=5)
    give_up: Duration = timedelta(days=5)


class RateDuring(Table):
    """One entry of `max_rate`.

    Args:
        rate: bytes per second.
        during: name of the calendar in which it holds; None: always.
    """

    rate: Rate
    during: str | None = None


def _rates(value: object) -> object:
    """One rate as text holds always; a list is read in its order."""
    if isinstance(value, str):
        parse_rate(value)
        return ({"rate": value},)
    if not isinstance(value, list | tuple):
        raise ValueError(f'{shown(value)} must be a rate such as "160Mbit/s", or a list of {{ rate, during }}')
    if not value:
        raise ValueError('an empty list limits nothing; leave the key out, or write a rate such as "160Mbit/s"')
    return tuple(value)


class Destination(Table):
    """[[destination]]: who receives.

    Args:
        calling_ae_title: how the relay calls itself there; "{source}": the source's AE title; empty before loading
            means the relay's own.
        deidentified_only: takes nothing without proof of de-identification.
        max_associations: studies sent at the same time, each on an association of its own.
        keep_open: how long an association waits for the next study; zero: it is released with each.
        max_rate: over all associations, the first entry whose calendar is open counts; None, or none open: no limit.
        send_during: name of the calendar outside which no delivery begins; None: always.
        alert_after: a person is told when something has waited this long.
        transcode: what it does not accept as it is stored goes uncompressed ("lossless"), or is refused ("never").
        verify: how it is asked whether it has what it answered with success for, before a delivery is final.
        verify_within: what it has not after that long is a dead letter.
        exclude: match tables; an instance that fits one of them never goes there.
    """

    name: Name
    ae_title: AeTitle
    host: Host
    port: Port
    calling_ae_title: CallingAeTitle = ""
    deidentified_only: bool = False
    max_associations: Count = 1
    keep_open: Pause = timedelta(0)
    max_rate: Annotated[tuple[RateDuring, ...], BeforeValidator(_rates)] | None = None
    send_during: str | None = None
    alert_after: Duration | None = None
    exclude: Matches = ()
    verify: Literal["none", "c-find", "storage-commitment"] = "none"
    transcode: Literal["never", "lossless"] = "never"
    verify_within: Duration = timedelta(hours=1)
    retry: Retry = Retry()
    tls: DestinationTls | None = None

    @property
    def identity(self) -> str:
        """Who it is: 16 hexadecimal digits over name, host, port, AE title and TLS name."""
        tls_name = self.tls.name if self.tls else None
        who = json.dumps([self.name, self.host, self.port, self.ae_title, tls_name], separators=(",", ":"))
        return hashlib.sha256(who.encode()).hexdigest()[:HEXADECIMAL_DIGITS_OF_IDENTITY]
