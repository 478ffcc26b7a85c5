"""Tells persons what a sweep found: a thread for each [[notify]], so that a mail server that hangs holds up nobody."""

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from shared import metrics
from shared.config import Config, Notify, Occasion
from shared.errors import UNREADABLE, NotifyError, SupersededError
from shared.notices import looking, sending
from shared.notices.happened import HAPPENINGS, KEPT, Happening, forget
from shared.notices.rules import Notice, end_of, mark, notice_of
from shared.notices.sending import Message
from shared.notices.told import ToldBy, told_of
from shared.notices.troubles import Trouble
from shared.reload_note import read_note
from shared.service import Service
from shared.spool.spool import Spool
from shared.spool.states import State
from shared.spool.units import Unit

log = structlog.get_logger()
_LOOK_SECONDS = 5.0
Send = Callable[[Notify, Message], None]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is wrong, and of which destinations nothing can be said now, because they are held back on purpose."""

    troubles: tuple[Trouble, ...] = ()
    held_back: frozenset[str] = frozenset()


class Teller:
    """One notifier.

    Args:
        spool: where it is remembered what was told.
        config: the configuration in force.
        notify: the notifier.
        send: gives a message to it.
    """

    def __init__(self, spool: Spool, config: Config, notify: Notify, send: Send = sending.send) -> None:
        self.notify = notify
        self._spool, self._config, self._send = spool, config, send
        self.name = notify.name or notify.kind
        self.told = ToldBy(spool, self.name)

    def use(self, config: Config) -> None:
        """Another configuration is in force, with the same notifier."""
        self._config = config

    def tell(self, look: Look) -> None:
        """Say what is due; what cannot be said is tried again after a while.

        Raises:
            StorageError: the disk refused; nothing is told that is not remembered.
            ValueError: a record cannot be read.
        """
        troubles = {(it.occasion, it.about): it for it in look.troubles}
        for occasion in self.notify.on:
            abouts = {about for known, about in troubles if known == occasion} | set(self.told.abouts(occasion))
            for about in sorted(abouts - (look.held_back if occasion == "destination_down" else set())):
                self._tell_of(occasion, about, troubles.get((occasion, about)))
        metrics.NOTIFIER_FAILING.labels(notifier=self.name).set(any(it.status == "waiting" for it in self.told.all()))

    def _tell_of(self, occasion: Occasion, about: str, trouble: Trouble | None) -> None:
        state = self.told.newest(occasion, about)
        if state is not None and not self._may_go_on(state):
            return
        now, told = self._spool.now(), told_of(state)
        if trouble is not None:
            notice = notice_of(trouble, told, now, self.notify.every)
        else:
            notice = end_of(occasion, about, told) if self._is_known(occasion, about) else None
        try:
            if notice is not None:
                self._say(notice, self.told.claim(occasion, about, state))
            elif state is not None and state.status != "final" and trouble is None:
                self.told.needless(occasion, about, state)
        except SupersededError:
            log.info("told_by_another", notifier=self.name, occasion=occasion)

    def _may_go_on(self, state: State) -> bool:
        if state.status == "working":
            return self._spool.is_abandoned(state)
        return state.status == "final" or self._spool.lapsed(state.due)

    def _is_known(self, occasion: Occasion, about: str) -> bool:
        return occasion != "destination_down" or self._config.destination(about) is not None

    def _say(self, notice: Notice, claimed: State) -> None:
        message = sending.message_of(self._config.relay.ae_title, notice, self._spool.now())
        try:
            self._send(self.notify, message)
        except NotifyError as error:
            metrics.NOTICES.labels(notifier=self.name, outcome="failed").inc()
            log.warning("not_told", notifier=self.name, occasion=notice.occasion, why=str(error))
            self.told.failed(notice.occasion, notice.about, claimed, str(error), random.random())  # noqa: S311
            return
        self.told.taken(notice.occasion, notice.about, claimed, notice.told)
        metrics.NOTICES.labels(notifier=self.name, outcome="told").inc()
        log.info("told", notifier=self.name, occasion=notice.occasion, about=notice.about, new=notice.new)


class Tellers:
    """All notifiers, and the look that they tell of next.

    Args:
        service: the janitor.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._look: Look | None = None
        self._tellers: list[Teller] = []
        self.use(service.config)

    def use(self, config: Config) -> None:
        """Another configuration is in force: a teller for each notifier it has, and for no other."""
        kept = [teller for teller in self._tellers if teller.notify in config.notify]
        for teller in kept:
            teller.use(config)
        known = [teller.notify for teller in kept]
        new = [Teller(self._service.spool, config, it) for it in config.notify if it not in known]
        self._tellers = kept + new
        for teller in new:
            threading.Thread(target=self._go_on, args=(teller,), name=f"tell-{teller.name}", daemon=True).start()

    def see(self, unfinished: list[Unit]) -> None:
        """Take what a sweep found; the threads tell of it."""
        spool, config, watch = self._service.spool, self._service.config, self._service.watch
        try:
            free = looking.free_since(spool, config)
            refused = (watch is not None and bool(watch.refused)) or bool(read_note(config).get("refused"))
            troubles = tuple(looking.all_troubles(spool, config, unfinished, free, refused=refused))
            self._look = Look(troubles=troubles, held_back=_held_back(free))
            show_late(config, troubles)
            forget_told(spool, self._tellers, troubles)
        except UNREADABLE as error:
            log.error("not_looked", error=type(error).__name__)

    def _go_on(self, teller: Teller) -> None:
        while not self._service.stopping.wait(_LOOK_SECONDS) and teller in self._tellers:
            look = self._look
            if look is None:
                continue
            try:
                teller.tell(look)
            except UNREADABLE as error:
                log.error("not_remembered", notifier=teller.name, error=type(error).__name__)


def forget_told(spool: Spool, tellers: list[Teller], troubles: tuple[Trouble, ...]) -> None:
    """Take away what happened and was told to all who want to know, or is too old for anybody."""
    for trouble in troubles:
        happening: Happening | None = next((it for it in HAPPENINGS if it == trouble.occasion), None)
        if happening is None:
            continue
        wanting = [teller for teller in tellers if happening in teller.notify.on]
        known = [told_of(teller.told.newest(happening, trouble.about)).members for teller in wanting]
        for name, at in trouble.members.items():
            if spool.lapsed(at, KEPT) or all(mark(name) in marks for marks in known):
                forget(spool, happening, name)


def show_late(config: Config, troubles: tuple[Trouble, ...]) -> None:
    """Set the gauge of late parts, for each route that has a time."""
    late = {it.about: len(it.members) for it in troubles if it.occasion == "late"}
    for route in config.routes:
        if route.accepted_within is not None:
            metrics.LATE.labels(route=route.name).set(late.get(route.name, 0))


def _held_back(free: Mapping[str, datetime | None]) -> frozenset[str]:
    return frozenset(name for name, since in free.items() if since is None)
