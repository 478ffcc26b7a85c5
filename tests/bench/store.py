"""Our requestor in a loop, without spool and broker: what the data path alone can do."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.dimse import Association, TlsPeer, request
from shared.headers import read_identity, read_meta


@dataclass(frozen=True)
class Fact:
    """What a sender knows of an instance from its manifest."""

    file: Path
    offset: int
    size: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


def facts_of(files: Sequence[Path]) -> list[Fact]:
    """Facts about files, read before anything is timed."""
    return [_fact(file) for file in files]


def store_all(
    port: int, facts: Sequence[Fact], *, calling: str = "CT1", called: str = "DCMRELAY", tls: TlsPeer | None = None
) -> float:
    """Sends instances of one SOP class and transfer syntax in one association; returns instances a second."""
    begun = time.perf_counter()
    store_each(port, facts, calling=calling, called=called, tls=tls)
    return len(facts) / (time.perf_counter() - begun)


def store_each(
    port: int, facts: Sequence[Fact], *, calling: str = "CT1", called: str = "DCMRELAY", tls: TlsPeer | None = None
) -> list[float]:
    """As `store_all`; returns seconds from each C-STORE request to its answer, which must be success."""
    sop_class, syntax = facts[0].sop_class_uid, facts[0].transfer_syntax_uid
    contexts = [(sop_class, [syntax])]
    with request(
        "127.0.0.1", port, calling_ae_title=calling, called_ae_title=called, contexts=contexts, tls=tls
    ) as association:
        context = association.accepted_context(sop_class, syntax)
        assert context is not None, "the peer accepts no such instances"
        return [_store(association, context, fact) for fact in facts]


def _store(association: Association, context: int, fact: Fact) -> float:
    begun = time.perf_counter()
    status = association.store(
        fact.file,
        fact.offset,
        fact.size,
        context_id=context,
        sop_class_uid=fact.sop_class_uid,
        sop_instance_uid=fact.sop_instance_uid,
    )
    assert status == 0, f"{status:04X}"
    return time.perf_counter() - begun


def _fact(file: Path) -> Fact:
    (offset, syntax), identity = read_meta(file), read_identity(file)
    size = file.stat().st_size - offset
    return Fact(file, offset, size, identity.sop_class_uid, identity.sop_instance_uid, syntax)
