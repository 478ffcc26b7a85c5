"""What the listener plugs in: each instance to the spool as received, hashed on the way, durable before success."""

import contextlib
import shutil

import structlog

from producers.ingress.acceptance import OUT_OF_RESOURCES, refusal, who
from producers.ingress.committing import answering
from producers.ingress.knocking import Knocking
from producers.ingress.parts import OpenParts, Session
from producers.ingress.sink import Sink, answered
from shared import metrics
from shared.config import Config
from shared.config.peers import Source
from shared.dimse import NOT_AUTHORIZED, Proposal, Rejection, StoreRequest, StoreSink
from shared.errors import StorageError
from shared.spool.spool import Spool
from shared.spool.volume import is_mounted

log = structlog.get_logger()


class Storing:
    """A `StorageService` over the spool.

    Args:
        spool: where instances go.
        config: who may send.
        parts: the parts being received.
        run: id of this ingress run.
    """

    def __init__(self, spool: Spool, config: Config, parts: OpenParts, run: str) -> None:
        self._spool, self._config, self._parts, self._run = spool, config, parts, run
        self._before = config
        self._knocking = Knocking(spool)
        self._had_room = True

    def use(self, config: Config) -> None:
        """Another configuration is in force; associations go on, as who they were when they came."""
        self._before, self._config = self._config, config

    def admit(self, proposal: Proposal) -> Rejection | None:
        """None to accept the association, otherwise how to refuse it."""
        mismatch = self._config.mismatch_of(*who(proposal))
        if mismatch is not None and answering(self._config, proposal) is not None:
            return None
        if mismatch is not None:
            self._knocking.note(proposal, mismatch)
        return refusal(mismatch, has_room=self.has_room())

    def opened(self, proposal: Proposal) -> Session:
        """An association was accepted."""
        metrics.ASSOCIATIONS_OPEN.inc()
        # The configuration that admitted it may have been replaced a moment ago.
        config = self._config if self._knows(self._config, proposal) else self._before
        source, destination = config.source_of(*who(proposal)), answering(config, proposal)
        answers = None if destination is None else destination.name
        if source is not None:
            return Session(source=source, proposal=proposal, answers=answers)
        if destination is None:
            raise RuntimeError("an association was accepted that no source may have")
        stranger = Source(name=destination.name, ae_title=destination.ae_title)
        return Session(source=stranger, proposal=proposal, answers=answers, is_source=False)

    def store(self, session: Session, request: StoreRequest) -> StoreSink | int:
        """Where an instance's bytes go, 0xA700 when there is no room for them, 0x0124 for who may not send any."""
        if not session.is_source:
            return NOT_AUTHORIZED
        if not self.has_room():
            return answered(session, OUT_OF_RESOURCES)
        try:
            return Sink(
                self._spool,
                self._parts,
                session,
                request,
                run=self._run,
                quiet=self._quiet(session),
                has_room=self.has_room,
            )
        except StorageError as error:
            log.error("not_stored", source=session.source.name, why=str(error))
            return answered(session, OUT_OF_RESOURCES)

    def answered(self, session: Session) -> None:
        """Make the next instance's draft: on a disk where much is deleted that takes as long as fsync."""
        with contextlib.suppress(StorageError):
            session.spare = session.spare or self._spool.store.draft()

    def closed(self, session: Session) -> None:
        """The association is over."""
        if session.spare is not None:
            session.spare.discard()
        metrics.ASSOCIATIONS_OPEN.dec()
        self._parts.end_session(session)

    def has_room(self) -> bool:
        """Whether the right volume is mounted and has more than `min_free`; a change is logged."""
        has_room = self._has_room()
        if has_room != self._had_room:
            self._had_room = has_room
            if has_room:
                log.info("room_again")
            else:
                log.error("no_room", min_free=self._config.ingress.min_free, mounted=is_mounted(self._config))
        return has_room

    def _has_room(self) -> bool:
        try:
            free = shutil.disk_usage(self._spool.store.root).free
        except OSError:
            return False
        return is_mounted(self._config) and free >= self._config.ingress.min_free

    def _knows(self, config: Config, proposal: Proposal) -> bool:
        return config.source_of(*who(proposal)) is not None or answering(config, proposal) is not None

    def _quiet(self, session: Session) -> tuple[float, float]:
        quiet, after_release = self._config.quiet_of(self._config.source(session.source.name) or session.source)
        return quiet.total_seconds(), after_release.total_seconds()
