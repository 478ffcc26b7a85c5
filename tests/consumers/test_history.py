"""What looks at unfinished work again and again costs by that, however much has been finished."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from consumers.janitor.optional import OptionalCopies
from consumers.janitor.retention import expire
from consumers.janitor.sweep import sweep
from consumers.sender.circuit import Circuit
from consumers.sender.waiting import Waiting
from dcmrelay import reading
from producers.replay.show import dead_letters, scheduled_until
from shared.notices.looking import all_troubles, free_since
from shared.spool.outlines import Keeper
from tests.dcmrelay.relays import Prepared, prepared
from tests.shared.spool.examples import delivered, reads_of

FEW, MANY, UNFINISHED = 3, 60, 4
DAYS = timedelta(days=7)


def with_history(folder: Path, finished: int) -> Prepared:
    """So many studies that are over, noted for retention, and a few that are not, one of them a dead letter."""
    relay = prepared(folder)
    for number in range(finished):
        delivered(relay.spool, *relay.routed(relay.part(study=f"1.2.3.{number}"), "archive"))
    sweep(relay.spool, "")
    sweep(relay.spool, "")  # the first takes the deliveries' markers, and finds their parts finished
    for number in range(UNFINISHED):
        (delivery,) = relay.routed(relay.part(study=f"1.2.4.{number}"), "archive")
    relay.held(delivery, "refused", "refused")
    return relay


@pytest.fixture(scope="module")
def relays(tmp_path_factory: pytest.TempPathFactory) -> list[Prepared]:
    return [with_history(tmp_path_factory.mktemp(f"after-{count}"), count) for count in (FEW, MANY)]


def look(relay: Prepared) -> list[object]:
    """A sweep and all that goes with it, and what `status` and `dead list` read."""
    spool, config = relay.spool, relay.config
    found = sweep(spool, config.hash, config)
    assert len(found.unfinished) == UNFINISHED
    troubles = all_troubles(spool, config, found.unfinished, free_since(spool, config))
    held = OptionalCopies(spool).bound(0)
    kept = Keeper(spool).keep(found.unfinished)
    shown = [len(list(reading.unfinished_deliveries(spool))), len(list(reading.unfinished_parts(spool)))]
    letters = [letter.id for letter in dead_letters(spool)]
    return [len(troubles), held, kept, shown, len(letters), scheduled_until(spool), expire(spool, DAYS)]


def pick(relay: Prepared) -> object:
    """What the owner of a destination reads to know what waits."""
    archive = relay.config.destination("archive")
    assert archive is not None
    picked = Waiting(relay.spool, "archive", Circuit(relay.spool, archive)).pick(())
    return picked is not None


@pytest.mark.parametrize("act", [look, pick])
def test_it_reads_as_much_after_sixty_finished_studies_as_after_three(
    act: Callable[[Prepared], object], relays: list[Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, answers = [], []
    for relay in relays:
        with monkeypatch.context() as patching:
            reads = reads_of(relay.spool, patching)
            answers.append(act(relay))
            counted.append(len(reads))
    assert answers[0] == answers[1]
    assert counted[0] == counted[1] > UNFINISHED
