"""C-FIND as a requestor: what is found is told, and nothing that is no proper answer counts as found."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from shared.dimse import FIND_CONTEXT, Timeouts, instances_of, request
from shared.errors import PeerError, ProtocolError

Answers = Callable[[Dataset], Iterator[tuple[int, Dataset | None]]]


@contextmanager
def answering(answers: Answers) -> Iterator[int]:
    """An SCP of pynetdicom's; its port."""
    ae = AE("ARCHIVE")
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind, "1.2.840.10008.1.2")

    def find(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        yield from answers(event.identifier)

    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find)])
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        for thread in threading.enumerate():
            if "AcceptorServer" in thread.name:
                thread.join(5)


def asked(port: int) -> frozenset[str]:
    contexts = [(FIND_CONTEXT[0], [FIND_CONTEXT[1]])]
    with request(
        "127.0.0.1", port, calling_ae_title="DCMRELAY", called_ae_title="ARCHIVE", contexts=contexts,
        timeouts=Timeouts(response=5, pdu=5),
    ) as association:  # fmt: skip
        return instances_of(association, "1.2.3", "1.2.3.4")


def match(**elements: str) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def test_every_match_of_the_series_is_found() -> None:
    keys: list[Dataset] = []

    def answers(identifier: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        keys.append(identifier)
        for k in range(700):
            status = 0xFF00 if k % 2 else 0xFF01
            yield status, match(SpecificCharacterSet="ISO_IR 100", SOPInstanceUID=f"1.2.{k}", PatientName="CANARY")

    with answering(answers) as port:
        found = asked(port)
    assert found == {f"1.2.{k}" for k in range(700)}
    [identifier] = keys
    assert (identifier.QueryRetrieveLevel, identifier.StudyInstanceUID) == ("IMAGE", "1.2.3")
    assert (identifier.SeriesInstanceUID, identifier.SOPInstanceUID) == ("1.2.3.4", "")


def test_a_series_that_is_not_there_has_no_instances() -> None:
    with answering(lambda _: iter(())) as port:
        assert asked(port) == frozenset()


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC001, 0xFE00])
def test_a_failure_is_no_answer(status: int) -> None:
    answers = [(0xFF00, match(SOPInstanceUID="1.2.1")), (status, None)]
    with answering(lambda _: iter(answers)) as port, pytest.raises(PeerError, match=f"{status:04X}"):
        asked(port)


def test_a_match_without_a_uid_finds_nothing_usable() -> None:
    answers = [(0xFF00, match(PatientID="4711")), (0xFF00, match(SOPInstanceUID="not-a-uid"))]
    with answering(lambda _: iter(answers)) as port:
        assert asked(port) == frozenset({""})


def test_a_peer_without_c_find_is_told_apart() -> None:
    ae = AE("ARCHIVE")
    ae.add_supported_context("1.2.840.10008.1.1")
    server = ae.start_server(("127.0.0.1", 0), block=False)
    try:
        with pytest.raises(ProtocolError, match="no context"):
            asked(server.server_address[1])
    finally:
        server.shutdown()
