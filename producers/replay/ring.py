"""What a person decides about a dead letter becomes its next record; then the bell is rung."""

from collections.abc import Callable, Iterable

from producers.replay.choose import DeadLetter
from shared.broker import Publisher, topology
from shared.errors import BrokerError, StartError, SupersededError
from shared.messages import Bell, Ring, StudyReplayed
from shared.spool import states
from shared.spool.deliveries import marker, routing_key
from shared.spool.spool import Spool
from shared.spool.states import State

_CONNECT_SECONDS = 5


def release(spool: Spool, letter: DeadLetter, *, by: str, why: str, config: str) -> Ring | None:
    """Let a dead letter go on, as if never tried, at the stage where it stopped.

    Args:
        spool: the spool.
        letter: the dead letter.
        by: who decided.
        why: their words.
        config: hash of the configuration in force, kept in the spool: a part is decided under it.

    Returns:
        The bell to ring; None when it is no dead letter any more.

    Raises:
        StorageError: the disk refused; nothing changed.
    """
    under = config if letter.stage == "route" else ""
    return _decided(spool, letter, lambda held: states.released(held, now=spool.now(), by=by, why=why, config=under))


def discard(spool: Spool, letter: DeadLetter, *, by: str, why: str) -> bool:
    """Give a dead letter up for good; False when it is none any more. Arguments and errors as for `release`."""
    done = _decided(spool, letter, lambda held: states.discarded(held, now=spool.now(), by=by, why=why))
    if done is None:
        return False
    if letter.stage != "route":
        spool.store.delete(marker(letter.id))
    return True


def ring(url: str, destinations: tuple[str, ...], rings: Iterable[Ring]) -> None:
    """Ring the bells of what was released, and tell the fact.

    Args:
        url: AMQP URL.
        destinations: all that are configured.
        rings: from `release`.

    Raises:
        BrokerError: the broker is away or did not confirm; the sweep will ring.
        StartError: it refuses us.
    """
    publisher = Publisher(url, topology(destinations), "replay")
    publisher.start()
    try:
        if not publisher.link.wait_connected(_CONNECT_SECONDS):
            raise BrokerError("RabbitMQ is away")
        for one in rings:
            publisher.ring([one])
            publisher.tell_if_possible([StudyReplayed(id=one.bell.unit, n=one.bell.n, part=one.journey)])
    finally:
        publisher.stop()


def rung(url: str | None, destinations: tuple[str, ...], rings: list[Ring]) -> bool:
    """Whether the bells were rung at once; otherwise the janitor's sweep rings them within a minute."""
    if url is None or not rings:
        return not rings
    try:
        ring(url, destinations, rings)
    except (BrokerError, StartError):
        return False
    return True


def _decided(spool: Spool, letter: DeadLetter, decide: Callable[[State], State]) -> Ring | None:
    units = spool.units(letter.id)
    unit = units.load(letter.id)
    if unit is None or unit.state.status != "held" or unit.state.n != letter.n:
        return None
    state = decide(unit.state)
    try:
        units.append(letter.id, state)
    except SupersededError:
        return None
    bell = Bell(unit=letter.id, n=state.n)
    return Ring(routing_key=routing_key(state.stage, unit.order), bell=bell, journey=letter.part)
