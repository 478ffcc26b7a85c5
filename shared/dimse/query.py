"""C-FIND: which instances of a series another application says it has.

Source: PS3.4 C.4.1 (C-FIND), C.6.2.1 (Study Root, IMAGE level), Table C.4-1 (statuses); PS3.7 9.1.2, 9.3.2.
"""

from struct import Struct

from shared.dimse.commands import C_FIND_RSP, SUCCESS, Command, find_request
from shared.dimse.conversation import Conversation
from shared.dimse.negotiation import IMPLICIT_LITTLE_ENDIAN
from shared.dimse.scu import Association
from shared.errors import PeerAbortedError, PeerError, ProtocolError
from shared.uids import is_uid

FIND_CONTEXT = ("1.2.840.10008.5.1.4.1.2.2.1", IMPLICIT_LITTLE_ENDIAN)
"""SOP class and transfer syntax to propose: Study Root Query/Retrieve - FIND, in the syntax everybody has to take."""

_PENDING = (0xFF00, 0xFF01)
_MOST_MATCHES, _MOST_BYTES = 100_000, 256 << 10
_SOP_INSTANCE_UID, _LEVEL, _STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID = 0x00080018, 0x00080052, 0x0020000D, 0x0020000E
_ELEMENT = Struct("<HHL")


def instances_of(association: Association, study_instance_uid: str, series_instance_uid: str) -> frozenset[str]:
    """Ask for the SOP Instance UIDs of a series.

    Args:
        association: with FIND_CONTEXT accepted.
        study_instance_uid: of the series' study.
        series_instance_uid: of the series.

    Raises:
        PeerError: no proper answer, or a failure; abort the association.
    """
    context_id = association.accepted_context(*FIND_CONTEXT)
    if context_id is None:
        raise ProtocolError("the peer accepted no context for C-FIND")
    conversation, message_id = association.ask()
    conversation.send_command(context_id, find_request(message_id, FIND_CONTEXT[0]))
    conversation.send(
        conversation.data_pieces(
            context_id, memoryview(_identifier(study_instance_uid, series_instance_uid)), is_last=True
        )
    )
    found: set[str] = set()
    for _ in range(_MOST_MATCHES):
        response = _response(conversation, context_id, message_id)
        if response.status == SUCCESS:
            return frozenset(found)
        if response.status not in _PENDING or not response.has_data_set:
            raise PeerError(f"C-FIND was answered with {response.status or 0:04X}")
        found.add(_sop_instance_uid(_data_set(conversation, context_id)))
    raise ProtocolError(f"over {_MOST_MATCHES} matches for one series")


def _response(conversation: Conversation, context_id: int, message_id: int) -> Command:
    message = conversation.receive_command(start_seconds=conversation.timeouts.response)
    if message is None:
        raise PeerAbortedError("the peer asked for release instead of answering")
    answered_on, response = message
    if (answered_on, response.field, response.message_id_responded_to) != (context_id, C_FIND_RSP, message_id):
        raise ProtocolError("the peer's response is not one to our request")
    return response


def _data_set(conversation: Conversation, context_id: int) -> bytes:
    encoded = bytearray()
    for chunk in conversation.receive_data_set(context_id):
        encoded += chunk
        if len(encoded) > _MOST_BYTES:
            raise ProtocolError(f"a match is over {_MOST_BYTES} bytes")
    return bytes(encoded)


def _identifier(study_instance_uid: str, series_instance_uid: str) -> bytes:
    """Keys of the levels above, and an empty SOP Instance UID, which asks for each."""
    keys = (
        (_SOP_INSTANCE_UID, b""),
        (_LEVEL, b"IMAGE "),
        (_STUDY_INSTANCE_UID, _padded(study_instance_uid)),
        (_SERIES_INSTANCE_UID, _padded(series_instance_uid)),
    )
    return b"".join(_ELEMENT.pack(tag >> 16, tag & 0xFFFF, len(value)) + value for tag, value in keys)


def _padded(uid: str) -> bytes:
    return uid.encode("ascii") + b"\0" * (len(uid) % 2)


def _sop_instance_uid(identifier: bytes) -> str:
    """SOP Instance UID of a match; empty when it has none. Nothing behind it is read."""
    offset = 0
    while offset + _ELEMENT.size <= len(identifier):
        group, element, length = _ELEMENT.unpack_from(identifier, offset)
        offset += _ELEMENT.size
        if (group << 16 | element) > _SOP_INSTANCE_UID:
            return ""
        if length > len(identifier) - offset:
            raise ProtocolError("a match has an element longer than itself")
        if group << 16 | element == _SOP_INSTANCE_UID:
            uid = identifier[offset : offset + length].rstrip(b"\0 ").decode("ascii", errors="replace")
            return uid if is_uid(uid) else ""
        offset += length
    return ""
