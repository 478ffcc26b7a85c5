"""The sections about the relay itself: [relay], [broker], [ingress], [ledger], [spool], [metrics]."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field

from shared.config.fields import (
    AeTitle,
    BrokerUrl,
    Count,
    Duration,
    FilePath,
    LedgerUrl,
    Listed,
    ListenAddress,
    Percentage,
    Rate,
    Several,
    Size,
    Table,
    Timezone,
)
from shared.config.values import Address


class Relay(Table):
    """[relay]: what it is called, where its clock stands, where its files lie.

    Args:
        ae_title: how the relay calls itself.
        timezone: IANA name; every clock time of the file is in it.
        data_dir: absolute after loading; spool, ledger, keys, private broker.
        follow: how long later parts of a study follow the choice made for the first.
        on_changed: what to do with other content under a SOP Instance UID that was received before: "forward", or
            "hold" when its patient, study or accession number is another one.
    """

    ae_title: AeTitle = "DCMRELAY"
    timezone: Timezone = "UTC"
    data_dir: FilePath = Field(default=Path("var"), validate_default=True)
    follow: Duration = timedelta(days=7)
    on_changed: Literal["forward", "hold"] = "forward"


class Broker(Table):
    """[broker]: which RabbitMQ; absent, `dcmrelay up` runs a private one. The password is never part of it."""

    url: BrokerUrl | None = None
    password_file: FilePath | None = None


class IngressTls(Table):
    """[ingress.tls]: a listener with mutual TLS."""

    listen: Several[ListenAddress]
    certificate: FilePath
    key: FilePath
    ca: FilePath


class Ingress(Table):
    """[ingress]: where and how much it accepts.

    Args:
        listen: plain listeners.
        plain: "vpn" says that a plain listener off loopback is protected by other means.
        quiet: a part closes when nothing came for this long.
        quiet_after_release: or for this long once every association that brought some is closed.
        max_instance: bytes.
        min_free: bytes; below it nothing is accepted.
    """

    listen: Listed[ListenAddress] = (Address("127.0.0.1", 11112),)
    plain: Literal["vpn"] | None = None
    quiet: Duration = timedelta(seconds=30)
    quiet_after_release: Duration = timedelta(seconds=10)
    max_associations: Count = 100
    max_associations_per_host: Count = 20
    max_instance: Size = 4 * 10**9
    min_free: Size = 10 * 10**9
    tls: IngressTls | None = None


class Ledger(Table):
    """[ledger]: where it is remembered what happened; absent, SQLite in data_dir."""

    url: LedgerUrl | None = None
    password_file: FilePath | None = None
    retention: Duration = timedelta(days=400)


class Spool(Table):
    """[spool]: what the janitor does with stored studies.

    Args:
        retention: how long bytes are kept after everything is final.
        optional_max: fraction of the disk that undelivered optional copies may hold.
        scrub_rate: bytes per second that are read again to find what was damaged on disk.
    """

    retention: Duration = timedelta(days=7)
    optional_max: Percentage = 0.2
    scrub_rate: Rate = 20e6


class Metrics(Table):
    """[metrics]: where Prometheus finds a worker; absent, any free port on loopback."""

    listen: ListenAddress | None = None
