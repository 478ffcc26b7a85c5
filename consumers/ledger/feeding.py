"""The ledger is fed from the spool: at once by what it was told, in rounds by what it was not.

An event says only where to look. What cannot be entered now is found by a later round: the spool has it, or its
tombstone.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import TypeVar
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import select

from consumers.ledger import seeing
from consumers.ledger.book import News, enter, newest_of, relay_day
from consumers.ledger.database import Database
from consumers.ledger.keeping import expire, seal
from consumers.ledger.tables import deliveries, parts
from shared import metrics
from shared.config import Config
from shared.errors import UNREADABLE, LedgerError
from shared.spool.accounts import utc
from shared.spool.deliveries import active_deliveries
from shared.spool.parts import active_parts
from shared.spool.spool import Spool

log = structlog.get_logger()
R = TypeVar("R")
ROUND_SECONDS, LONGEST_PAUSE_SECONDS, FULL_ROUND_SECONDS, AWAY_SECONDS = 30.0, 600.0, 3600.0, 5.0
_SHARE_OF_TIME = 0.1
_TOGETHER = 50


class Feeder:
    """Enters what the ledger lacks.

    Args:
        spool: the spool.
        config: says the zone of its days, and its retention.
        database: the ledger.
        stopping: asked between pieces of work.
    """

    def __init__(
        self, spool: Spool, config: Config, database: Database, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._spool, self._config, self._database, self._stopping = spool, config, database, stopping
        self._available: bool | None = None
        self._unreadable: set[str] = set()
        self._over: set[str] = set()
        self._round_at = self._full_round_at = -FULL_ROUND_SECONDS
        self._pause = ROUND_SECONDS

    def use(self, config: Config) -> None:
        """Another configuration is in force."""
        self._config = config

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self._config.relay.timezone)

    def tell(self, unit: str) -> None:
        """Enter what is new of a unit and its part; a ledger that is away finds it in a round when it is back."""
        if self._available:
            self._attempt(lambda: self._look_into(unit))

    def round(self) -> None:
        """Go through what may be missing, when it is time to: all that is unfinished often, all there is seldom.

        More seldom the longer it takes.
        """
        now = time.monotonic()
        if now - self._round_at < self._pause:
            return
        is_full = now - self._full_round_at >= FULL_ROUND_SECONDS
        if self._attempt(lambda: self.catch_up(full=is_full)) and is_full:
            self._full_round_at = now
        # From its end: while the database lets us wait, events are taken between two rounds.
        self._round_at = time.monotonic()
        took = 0 if is_full else self._round_at - now
        usual = min(max(ROUND_SECONDS, took / _SHARE_OF_TIME), LONGEST_PAUSE_SECONDS)
        self._pause = usual if self._available else AWAY_SECONDS

    def catch_up(self, *, full: bool) -> None:
        """Enter everything that the spool knows and the ledger does not.

        Args:
            full: look at every part there is or was; else at unfinished ones, here or there, and those of these days.

        Raises:
            LedgerError: the database is away; what was entered before stays.
            StorageError: the disk refused.
        """
        self._database.make_ready()
        self._enter(self._readable("config", lambda: seeing.news_of_configurations(self._spool)))
        self._enter(self._readable("knocked", lambda: seeing.news_of_refused(self._spool, self._zone)))
        units = list(dict.fromkeys(self._all() if full else self._unfinished()))
        for some in _portions(units, _TOGETHER):
            if self._stopping():
                return
            self._catch_up(some)
        with self._database.appending() as connection:
            seal(connection, self._spool)
            expire(connection, self._today(), self._config.ledger.retention)
        metrics.LEDGER_CAUGHT_UP.set(self._spool.now().timestamp())

    def _all(self) -> Iterator[str]:
        yield from self._unfinished()
        yield from self._spool.parts.ids()
        yield from self._spool.deliveries.ids()
        buried = [name.removesuffix(".json") for name in self._spool.store.list("tombstones")]
        yield from self._unknown([part for part in buried if part not in self._over])

    def _unfinished(self) -> Iterator[str]:
        yield from active_parts(self._spool)
        yield from active_deliveries(self._spool)
        with self._database.reading() as connection:
            for table in (parts, deliveries):
                yield from list(connection.scalars(select(table.c.id).where(table.c.status != "final")))
        for day in self._spool.store.list("done")[-2:]:
            yield from self._unknown(self._spool.store.list(f"done/{day}"))

    def _unknown(self, part_ids: list[str]) -> list[str]:
        with self._database.reading() as connection:
            known = newest_of(connection, part_ids)
        return [part_id for part_id in part_ids if part_id not in known]

    def _look_into(self, unit: str) -> None:
        part = self._readable(unit, lambda: [self._part_of(unit)])
        self._catch_up(dict.fromkeys([*part, unit]))

    def _catch_up(self, units: Iterable[str]) -> None:
        wanted = list(units)
        with self._database.reading() as connection:
            of_parts = select(deliveries.c.id, deliveries.c.n).where(deliveries.c.part.in_(wanted))
            known = {**newest_of(connection, wanted), **dict(connection.execute(of_parts).tuples().all())}
        self._enter([one for unit in wanted for one in self._readable(unit, partial(self._seen, unit, known))])

    def _enter(self, news: list[News]) -> None:
        if any(one.accounts for one in news):
            with self._database.appending() as connection:
                made = enter(connection, news, self._today(), utc(self._oldest()))
            metrics.LEDGER_ENTRIES.inc(made)

    def _readable(self, what: str, see: Callable[[], Iterable[R]]) -> list[R]:
        """What is seen, or nothing with a line when its records are damaged, which keeps back nobody else."""
        try:
            return list(see())
        except UNREADABLE as error:
            if what not in self._unreadable:
                self._unreadable.add(what)
                log.error("unreadable_record", unit=what, error=type(error).__name__)
            return []

    def _seen(self, unit: str, known: seeing.Known) -> list[News]:
        if self._spool.store.path(f"{self._spool.units(unit).folder}/{unit}").exists():
            if unit.startswith("d"):
                return [seeing.news_of_delivery(self._spool, unit, known)]
            return list(seeing.news_of_part(self._spool, unit, known))
        part_id = self._part_of(unit)
        epitaph = self._spool.read_json(f"tombstones/{part_id}.json")
        buried = seeing.news_of_tombstone(epitaph or {}, self._oldest())
        if epitaph is not None and not buried:
            self._over.add(part_id)
        return buried

    def _part_of(self, unit: str) -> str:
        """The part that a delivery is of: as its record says, or the ledger when it is gone; a part itself."""
        if not unit.startswith("d"):
            return unit
        order = self._spool.deliveries.order(unit)
        if order is not None:
            return str(order["part"])
        with self._database.reading() as connection:
            return connection.scalar(select(deliveries.c.part).where(deliveries.c.id == unit)) or unit

    def _attempt(self, act: Callable[[], None]) -> bool:
        """Whether an act was done; says when that becomes another than before."""
        try:
            act()
        except (LedgerError, *UNREADABLE) as error:
            why = str(error) if isinstance(error, LedgerError) else type(error).__name__
            if self._available is not False:
                log.error("ledger_not_fed", why=why, ledger=self._database.place)
            self._available = False
        else:
            if self._available is False:
                log.info("ledger_fed_again", ledger=self._database.place)
            self._available = True
        if not self._available:
            self._pause = min(self._pause, AWAY_SECONDS)
        metrics.LEDGER_AVAILABLE.set(int(self._available))
        return self._available

    def _today(self) -> str:
        return relay_day(self._spool.now(), self._zone)

    def _oldest(self) -> datetime:
        return self._spool.now() - self._config.ledger.retention


def _portions(units: list[str], count: int) -> Iterator[list[str]]:
    return (units[k : k + count] for k in range(0, len(units), count))
