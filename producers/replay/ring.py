"""What a person decides about a dead letter becomes its next record; then the bell is rung."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from producers.replay.choose import DeadLetter
from shared.broker import Publisher, topology
from shared.errors import BrokerError, StartError, SupersededError
from shared.messages import Bell, Ring, StudyReplayed
from shared.spool import states
from shared.spool.commitments import COMMIT
from shared.spool.commitments import marker as commitment_marker
from shared.spool.deliveries import marker, routing_key
from shared.spool.spool import Spool
from shared.spool.states import State
from shared.spool.units import Unit

_CONNECT_SECONDS = 5


def release(
    spool: Spool,
    letter: DeadLetter,
    *,
    by: str,
    why: str,
    config: str,
    due: datetime | None = None,
    corrections: str = "",
) -> Ring | None:
    """Let a dead letter go on, as if never tried, at the stage where it stopped.

    Args:
        spool: the spool.
        letter: the dead letter.
        by: who decided.
        why: their words.
        config: hash of the configuration in force, kept in the spool: a part is decided under it, and of a delivery it
            is not asked any more whether its route is still there.
        due: not to go on before.
        corrections: of a part, the name of what they corrected in it.

    Returns:
        The bell to ring; None when it is no dead letter any more.

    Raises:
        StorageError: the disk refused; nothing changed.
    """
    return _decided(
        spool,
        letter,
        lambda held: states.released(
            held, now=spool.now(), by=by, why=why, config=config, due=due, corrections=corrections
        ),
    )


def discard(spool: Spool, letter: DeadLetter, *, by: str, why: str) -> bool:
    """Give a dead letter up for good; False when it is none any more. Arguments and errors as for `release`."""
    done = _decided(spool, letter, lambda held: states.discarded(held, now=spool.now(), by=by, why=why))
    if done is not None and letter.stage != "route":
        spool.store.delete((commitment_marker if letter.stage == COMMIT else marker)(letter.id))
    return done is not None


class Bells:
    """Rings for what was decided while RabbitMQ is there; what is not rung for, the janitor's sweep finds.

    Args:
        publisher: None when there is no broker to be found.

    Attributes:
        all_rung: whether nothing was left to the sweep.
    """

    def __init__(self, publisher: Publisher | None) -> None:
        self._publisher = publisher
        self.all_rung = True

    def ring(self, rings: Iterable[Ring], *, replayed: bool = False) -> None:
        """Ring bells; with the fact that a dead letter was replayed."""
        for one in rings:
            if one.routing_key == COMMIT:
                continue  # who answers requests for commitment looks by itself
            if not self._rung(one, replayed=replayed):
                self._publisher, self.all_rung = None, False
                return

    def _rung(self, one: Ring, *, replayed: bool) -> bool:
        if self._publisher is None:
            return False
        try:
            self._publisher.ring([one])
            if replayed:
                self._publisher.tell_if_possible([StudyReplayed(id=one.bell.unit, n=one.bell.n, part=one.journey)])
        except (BrokerError, StartError):
            return False
        return True


@contextmanager
def bells(url: str | None, destinations: tuple[str, ...]) -> Iterator[Bells]:
    """A connection to ring on.

    Args:
        url: AMQP URL; None when there is none.
        destinations: all that are configured.
    """
    publisher = None if url is None else Publisher(url, topology(destinations), "replay")
    if publisher is None:
        yield Bells(None)
        return
    publisher.start()
    try:
        yield Bells(publisher if publisher.link.wait_connected(_CONNECT_SECONDS) else None)
    finally:
        publisher.stop()


def put(spool: Spool, unit: Unit, state: State) -> Ring | None:
    """Write what a person decided as a unit's next record; its bell, or None when somebody else was faster.

    Raises:
        StorageError: the disk refused; nothing changed.
    """
    try:
        spool.units(unit.id).append(unit.id, state)
    except SupersededError:
        return None
    key = routing_key(state.stage, unit.order, urgent=state.urgent)
    wait = max(timedelta(0), state.due - spool.now()) if state.due else timedelta(0)
    return Ring(
        routing_key=key, bell=Bell(unit=unit.id, n=state.n), wait=wait, journey=str(unit.order.get("part", unit.id))
    )


def _decided(spool: Spool, letter: DeadLetter, decide: Callable[[State], State]) -> Ring | None:
    unit = spool.units(letter.id).outline(letter.id)
    if unit is None or unit.state.status != "held" or unit.state.n != letter.n:
        return None
    return put(spool, unit, decide(unit.state))
