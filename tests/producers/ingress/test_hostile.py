"""Hostile and broken input as bytes on the wire to a running ingress, while a good source sends on beside it.

Whatever comes: the good source is answered with success throughout, no draft stays, no place stays taken, and no log
line has a control character or a patient in it. Where each kind of input is tested:

| input | test |
|---|---|
| connect and nothing more, half requests, trickles, crowds | shared/dimse/test_hostile.py, test_storm.py |
| lengths out of bounds, unknown PDUs, HTTP, TLS on the plain port | here; shared/dimse/test_hostile.py |
| TLS handshakes; DICOM on the TLS port | shared/dimse/test_tls.py, producers/ingress/test_tls.py |
| too many connections, associations, contexts, sub-items; even or equal ids | here; test_storm.py, test_items.py |
| AE titles: blank, control characters, paths, formats, not ASCII | here; shared/dimse/test_items.py, test_knocking.py |
| wrong called AE title, host, certificate | test_acceptance.py, test_receiving.py, test_tls.py |
| services that are not offered, C-CANCEL, floods of C-ECHO | here; shared/dimse/test_storm.py |
| command sets: incomplete, too large, of another group, twice an element | here; shared/dimse/test_commands.py |
| PDVs past their PDU, empty, of one byte, of two contexts; data before command | here; shared/dimse/test_hostile.py |
| an instance over `max_instance` | here; shared/dimse/test_association.py |
| a store cut at any byte | test_faults.py |
| SOP Instance UIDs that are paths, too long, letters, with NUL, empty | here |
| command and data set of two minds; the same UID with other bytes | here; test_receiving.py |
| deflated bombs, nesting, lengths past the end, big endian, elements out of order | here; tests/shared/test_glance.py |
| user identity, roles, extended negotiation, asynchronous operations | here; shared/dimse/test_items.py |
| answers of a destination | shared/dimse/test_hostile_answers.py |
| anything, mutated | shared/dimse/test_hostile_fuzz.py |
"""

import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog

from shared.dimse import codec
from shared.dimse.commands import echo_request, store_request
from shared.dimse.items import ProposedContext
from shared.errors import PeerError
from tests.producers.ingress.running import RELAY, Ingress, associate, ingress, sample, store
from tests.shared.dimse.pdus import (
    CT,
    PROVIDER_ABORT,
    associate_rq,
    associated,
    connected,
    data_pdus,
    exactly,
    pdata,
    pdu,
    pdv,
    rest,
    status_of,
    store_rq,
)
from tests.support import eventually

CALLING_UNKNOWN = b"\x03\0\0\0\0\x04\0\x01\x01\x03"
MOST_BYTES = 2_000_000
STUDY, INSTANCE = b"1.2.3.77", "1.2.3.77.1"


@dataclass
class Good:
    """A source that sends one instance after another."""

    ours: Ingress
    statuses: list[int] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    lines: list[structlog.typing.EventDict] = field(default_factory=list)

    def send(self) -> None:
        while not self.stopping.is_set():
            try:
                with associate(self.ours.port, sample(), calling="MR1") as association:
                    self.statuses += [store(association, sample()) for _ in range(3)]
            except PeerError:
                self.statuses.append(-1)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Good]:
    text = RELAY.replace('min_free = "1MB"', f'min_free = "1MB"\nmax_instance = "{MOST_BYTES}B"')
    with structlog.testing.capture_logs() as lines, ingress(tmp_path_factory.mktemp("hostile"), text) as ours:
        source = Good(ours, lines=lines)
        thread = threading.Thread(target=source.send)
        thread.start()
        try:
            yield source
        finally:
            source.stopping.set()
            thread.join()


@pytest.fixture
def port(good: Good) -> Iterator[int]:
    """Where to send it; afterwards all is well."""
    before = len(good.statuses)
    yield good.ours.port
    eventually(lambda: len(good.statuses) > before + 3)
    assert set(good.statuses) == {0}
    eventually(lambda: good.ours.listener.associations <= 1)
    eventually(lambda: len(good.ours.temporary()) <= 1)
    said = repr(good.lines)
    assert not any(word in said for word in ("CANARY", "\\x1b", "\\n", "../.."))


def element(group: int, number: int, content: bytes) -> bytes:
    """An element, implicit VR little endian."""
    return struct.pack("<HHL", group, number, len(content)) + content


def image(instance: str = INSTANCE, more: bytes = b"", sop_class: str = CT) -> bytes:
    """The least of a data set, of a patient called CANARY."""
    return b"".join(
        (
            element(0x0008, 0x0016, sop_class.encode()),
            element(0x0008, 0x0018, instance.encode()),
            element(0x0010, 0x0010, b"CANARY^PATIENT"),
            element(0x0020, 0x000D, STUDY),
            element(0x0020, 0x000E, b"1.2.3.77.5"),
            more,
        )
    )


def request_with(*sub_items: bytes, contexts: bytes = b"") -> bytes:
    """An A-ASSOCIATE-RQ with more user information, or with more contexts."""
    whole = bytearray(associate_rq()[6:])
    at = whole.index(b"\x50\x00", 68)
    length = struct.unpack_from(">H", whole, at + 2)[0] + sum(map(len, sub_items))
    whole[at + 2 : at + 4] = struct.pack(">H", length)
    body = bytes(whole[:at]) + contexts + bytes(whole[at:]) + b"".join(sub_items)
    return struct.pack(">BxL", 1, len(body)) + body


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def titled(title: bytes) -> bytes:
    """A request of a caller with this AE title."""
    rq = associate_rq()
    return rq[:26] + title.ljust(16)[:16] + rq[42:]


@pytest.mark.parametrize(
    "title",
    [b"", bytes(16), b"ct1", b"../../x", b"%s%n", b"A\nB", b"\x1b[2J", b"C\xc9T", b"CT1\\MR1", b"\xff" * 16],
)
def test_a_title_that_is_nobodys_is_rejected_and_shown_to_nobody_as_it_came(port: int, title: bytes) -> None:
    with connected(port, titled(title)) as peer:
        assert rest(peer) == CALLING_UNKNOWN


@pytest.mark.parametrize(
    "first",
    [
        b"\x99" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x01\0\xff\xff\xff\0",
        b"\x04\0\xff\xff\xff\0",
        b"\x01\0\0\0\0\0",
        request_with(*(item(0x5F, b""),) * 1100),
        request_with(item(0x58, bytes(60_000))[:-1]),
        request_with(contexts=item(0x20, b"\x02\0\0\0")),
        request_with(contexts=item(0x20, b"\x03\0\0\0" + item(0x30, b"1.2") + item(0x40, b"1.2"))),
        request_with(contexts=item(0x20, b"\x07\0\0\0" + item(0x30, b"../../x") + item(0x40, b"1.2"))),
        request_with(contexts=item(0x20, b"\x07\0\0\0" + item(0x30, b"1.2") + item(0x40, b"1.2") * 65)),
    ],
    ids=[
        "garbage", "HTTP", "TLS", "4 GB", "4 GB of data", "nothing", "1,100 sub-items", "user identity past the end",
        "even id", "same id twice", "path for a UID", "65 transfer syntaxes",
    ],
)  # fmt: skip
def test_what_is_no_request_is_aborted(port: int, first: bytes) -> None:
    with connected(port, first) as peer:
        assert rest(peer).startswith(PROVIDER_ABORT)


@pytest.mark.parametrize(
    "sub_items",
    [
        (item(0x58, b"\x02\x01" + item(0, b"CANARY" * 5000)[2:] + b"\0\0"),),
        (item(0x58, b"\x04\x01\xff\xff<!DOCTYPE x [<!ENTITY a 'a'>]>"),),
        (item(0x53, b"\xff\xff\xff\xff"),),
        (item(0x54, struct.pack(">H", len(CT)) + CT.encode() + b"\x07\x09"),),
        (item(0x56, b"\xff\xff" + bytes(100)),),
        (item(0x51, struct.pack(">L", 1)), item(0x51, struct.pack(">L", 0xFFFFFFFF))),
    ],
    ids=["long password", "SAML", "window", "roles", "extended negotiation", "two maximum lengths"],
)
def test_odd_user_information_changes_nothing(port: int, sub_items: tuple[bytes, ...]) -> None:
    with associated(port, request_with(*sub_items)) as peer:
        peer.sendall(pdata(pdv(echo_request(1, "1.2.840.10008.1.1"), 3, context_id=1)))
        assert status_of(pdu(peer)) == 0


@pytest.mark.parametrize("service", [0x0020, 0x0021, 0x0010, 0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150, 0x0FFF])
@pytest.mark.parametrize("context_id", [3, 5, 7])
def test_a_service_that_is_not_offered_ends_the_association(port: int, service: int, context_id: int) -> None:
    command = store_request(1, CT, INSTANCE).replace(
        b"\0\x01\x02\0\0\0\x01\0", b"\0\x01\x02\0\0\0" + struct.pack("<H", service)
    )
    with associated(port) as peer:
        peer.sendall(pdata(pdv(command, 3, context_id)))
        assert rest(peer).startswith(PROVIDER_ABORT)


@pytest.mark.parametrize(
    "sent",
    [
        pdata(pdv(b"\0" * 7, 3)),
        pdata(pdv(element(0, 0x0100, b"\x01\0"), 3)),
        pdata(pdv(element(0x0010, 0x0010, b"CANARY^PATIENT"), 3)),
        pdata(pdv(bytes(40_000), 1)) * 2,
        pdata(pdv(b"data", 2)),
        pdata(struct.pack(">LBB", 0xFFFFFFFF, 3, 3)),
        pdata(pdv(b"", 1)) * 3000,
        store_rq() + pdata(pdv(b"1", 0)) * 3000,
        store_rq() + pdata(pdv(b"data", 2, context_id=1)),
        store_rq() + store_rq(),
        store_rq() + b"\x04\0\xff\xff\xff\xff",
        associate_rq(),
    ],
    ids=[
        "no elements", "no data set type", "group 0010", "80 KB of command", "data first", "PDV of 4 GB", "empty PDVs",
        "PDVs of a byte", "another context", "command in data", "4 GB of data", "second request",
    ],
)  # fmt: skip
def test_what_breaks_the_protocol_ends_the_association(port: int, sent: bytes) -> None:
    with associated(port) as peer:
        peer.sendall(sent)
        assert rest(peer).startswith(PROVIDER_ABORT)


@pytest.mark.filterwarnings("ignore")  # pydicom's, as in a process that runs
@pytest.mark.parametrize(
    ("said", "content", "status"),
    [
        ("../../../../tmp/out-of-the-spool", image(), 0xC000),
        ("/etc/passwd", image(), 0xC000),
        ("1." + "2" * 63, image(), 0xC000),
        ("1.2.A", image(), 0xC000),
        ("", image(), 0xC000),
        ("1.2.3.77\0.1", image(), 0xC000),
        ("1.2.3.77.9", image(), 0xA900),
        (INSTANCE, image("../../../../tmp/out-of-the-spool"), 0xC000),
        (INSTANCE, image(sop_class="1.2.840.10008.5.1.4.1.1.4"), 0xA900),
        (INSTANCE, b"", 0xC000),
        (INSTANCE, b"\xff" * 5000, 0xC000),
        (INSTANCE, image()[:30], 0xC000),
        (INSTANCE, element(0x0008, 0x0005, b"ISO_IR 999") + image(), 0),
        (INSTANCE, image(more=element(0x0008, 0x0016, CT.encode())), 0),
        (INSTANCE, image(more=struct.pack("<HHL", 0x7FE0, 0x0010, 0xFFFFFFF0)), 0),
        (INSTANCE, struct.pack("<HHL", 0x0008, 0x0006, 0xFFFFFFF0) + image(), 0xC000),
        (INSTANCE, struct.pack("<HHLHHL", 8, 0x1115, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF) * 20_000, 0xC000),
        (INSTANCE, b"".join(element(0x0009, n, b"") for n in range(0xFFFF)) + image(), None),
    ],
    ids=[
        "path", "absolute path", "65 characters", "letters", "empty", "NUL inside", "another instance", "path in data",
        "another class", "no data set", "all ones", "cut", "no such character set", "out of order",
        "pixels past the end", "length past the end", "nested 20,000 deep", "65,535 private elements",
    ],
)  # fmt: skip
def test_a_store_that_cannot_be_kept_is_answered_and_the_association_goes_on(
    port: int, said: str, content: bytes, status: int | None
) -> None:
    with associated(port) as peer:
        peer.sendall(store_rq(said) + (data_pdus(content) or pdata(pdv(b"", 2))))
        answered = status_of(pdu(peer))
        assert status in (None, answered)
        peer.sendall(pdata(pdv(echo_request(2, "1.2.840.10008.1.1"), 3, context_id=1)))
        assert status_of(pdu(peer)) == 0


def test_an_instance_without_end_is_out_of_resources_and_aborted(port: int) -> None:
    with associated(port) as peer:
        peer.sendall(store_rq() + pdata(pdv(bytes(900_000), 0)) * 3)
        assert status_of(pdu(peer)) == 0xA700
        assert exactly(peer, 10).startswith(PROVIDER_ABORT)


def test_a_deflated_bomb_is_not_inflated(port: int) -> None:
    deflated = "1.2.840.10008.1.2.1.99"
    context = ProposedContext(context_id=3, abstract_syntax=CT, transfer_syntaxes=(deflated,))
    squeeze = zlib.compressobj(9, wbits=-15)
    bomb = squeeze.compress(bytes(512 << 20)) + squeeze.flush()
    with associated(port, codec.associate_request("CT1", "DCMRELAY", [context], 16384)) as peer:
        peer.sendall(store_rq() + data_pdus(bomb))
        assert status_of(pdu(peer)) == 0xC000


def test_nothing_of_it_all_lies_outside_the_spool(good: Good) -> None:
    outside = {path.name for path in good.ours.config.relay.data_dir.iterdir()}
    assert outside <= {"spool", "run", "dcmrelay-volume.json"}
    assert not Path("/tmp/out-of-the-spool").exists()
