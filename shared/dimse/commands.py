"""DIMSE command sets: C-ECHO, C-STORE, C-FIND, N-ACTION, N-EVENT-REPORT. No I/O, no clock, no globals.

Source: PS3.7 6.3.1 (implicit VR little endian, group 0000), 9.3.1, 9.3.2, 9.3.5, 10.3.1, 10.3.5 (messages), Annex E.
"""

from dataclasses import dataclass
from struct import Struct

from shared.errors import ProtocolError

MOST_BYTES = 64 << 10

C_STORE_RQ, C_STORE_RSP, C_ECHO_RQ, C_ECHO_RSP = 0x0001, 0x8001, 0x0030, 0x8030
C_FIND_RQ, C_FIND_RSP = 0x0020, 0x8020
N_EVENT_REPORT_RQ, N_EVENT_REPORT_RSP, N_ACTION_RQ, N_ACTION_RSP = 0x0100, 0x8100, 0x0130, 0x8130
NO_DATA_SET, DATA_SET_FOLLOWS = 0x0101, 0x0001
SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000

_REQUESTED_SOP_CLASS_UID, _REQUESTED_SOP_INSTANCE_UID, _EVENT_TYPE_ID, _ACTION_TYPE_ID = 0x0003, 0x1001, 0x1002, 0x1008
_AFFECTED_SOP_CLASS_UID, _COMMAND_FIELD, _MESSAGE_ID, _MESSAGE_ID_RESPONDED_TO = 0x0002, 0x0100, 0x0110, 0x0120
_PRIORITY, _DATA_SET_TYPE, _STATUS, _AFFECTED_SOP_INSTANCE_UID = 0x0700, 0x0800, 0x0900, 0x1000
_MOVE_ORIGINATOR_AE_TITLE, _MOVE_ORIGINATOR_MESSAGE_ID = 0x1030, 0x1031

_ELEMENT = Struct("<HHL")
_US = Struct("<H")
_UL = Struct("<L")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command set as received; an element that was not there is None.

    Args:
        field: Command Field (0000,0100).
        has_data_set: whether a data set follows.
        affected_sop_class_uid: padding trimmed, otherwise as it came: check with `is_uid` before use.
        affected_sop_instance_uid: likewise; of an N-ACTION the requested ones stand in both.
        type_id: Event Type ID or Action Type ID.
    """

    field: int
    has_data_set: bool
    message_id: int | None
    message_id_responded_to: int | None
    status: int | None
    affected_sop_class_uid: str | None
    affected_sop_instance_uid: str | None
    type_id: int | None = None


def parse_command(encoded: bytes) -> Command:
    """Read a command set.

    Raises:
        ProtocolError: not a command set, over 64 KiB, an element of another group, or no Command Field.
    """
    elements = _elements(encoded)
    type_id = _number(elements, _EVENT_TYPE_ID)
    field, data_set_type = _number(elements, _COMMAND_FIELD), _number(elements, _DATA_SET_TYPE)
    if field is None or data_set_type is None:
        raise ProtocolError("a command set lacks its Command Field or Command Data Set Type")
    return Command(
        field=field,
        has_data_set=data_set_type != NO_DATA_SET,
        message_id=_number(elements, _MESSAGE_ID),
        message_id_responded_to=_number(elements, _MESSAGE_ID_RESPONDED_TO),
        status=_number(elements, _STATUS),
        affected_sop_class_uid=_uid(elements, _AFFECTED_SOP_CLASS_UID, _REQUESTED_SOP_CLASS_UID),
        affected_sop_instance_uid=_uid(elements, _AFFECTED_SOP_INSTANCE_UID, _REQUESTED_SOP_INSTANCE_UID),
        type_id=_number(elements, _ACTION_TYPE_ID) if type_id is None else type_id,
    )


def echo_request(message_id: int, sop_class_uid: str) -> bytes:
    """Encode a C-ECHO-RQ."""
    return _encode(
        {
            _AFFECTED_SOP_CLASS_UID: sop_class_uid,
            _COMMAND_FIELD: C_ECHO_RQ,
            _MESSAGE_ID: message_id,
            _DATA_SET_TYPE: NO_DATA_SET,
        }
    )


def find_request(message_id: int, sop_class_uid: str) -> bytes:
    """Encode a C-FIND-RQ of medium priority; its identifier follows as data set."""
    return _encode(
        {
            _AFFECTED_SOP_CLASS_UID: sop_class_uid,
            _COMMAND_FIELD: C_FIND_RQ,
            _MESSAGE_ID: message_id,
            _PRIORITY: 0,
            _DATA_SET_TYPE: DATA_SET_FOLLOWS,
        }
    )


def store_request(
    message_id: int, sop_class_uid: str, sop_instance_uid: str, move_originator: tuple[str, int] | None = None
) -> bytes:
    """Encode a C-STORE-RQ of medium priority.

    Args:
        message_id: 0 to 65535.
        sop_class_uid: Affected SOP Class UID.
        sop_instance_uid: Affected SOP Instance UID.
        move_originator: AE title and message id of the C-MOVE that asked for it, if any did.
    """
    values: dict[int, int | str | None] = {
        _AFFECTED_SOP_CLASS_UID: sop_class_uid,
        _COMMAND_FIELD: C_STORE_RQ,
        _MESSAGE_ID: message_id,
        _PRIORITY: 0,
        _DATA_SET_TYPE: DATA_SET_FOLLOWS,
        _AFFECTED_SOP_INSTANCE_UID: sop_instance_uid,
    }
    if move_originator:
        values[_MOVE_ORIGINATOR_AE_TITLE], values[_MOVE_ORIGINATOR_MESSAGE_ID] = move_originator
    return _encode(values)


def action_request(message_id: int, sop_class_uid: str, sop_instance_uid: str, action_type_id: int) -> bytes:
    """Encode an N-ACTION-RQ; its information follows as data set."""
    return _encode(
        {
            _REQUESTED_SOP_CLASS_UID: sop_class_uid,
            _COMMAND_FIELD: N_ACTION_RQ,
            _MESSAGE_ID: message_id,
            _DATA_SET_TYPE: DATA_SET_FOLLOWS,
            _REQUESTED_SOP_INSTANCE_UID: sop_instance_uid,
            _ACTION_TYPE_ID: action_type_id,
        }
    )


def event_report_request(message_id: int, sop_class_uid: str, sop_instance_uid: str, event_type_id: int) -> bytes:
    """Encode an N-EVENT-REPORT-RQ; its information follows as data set."""
    return _encode(
        {
            _AFFECTED_SOP_CLASS_UID: sop_class_uid,
            _COMMAND_FIELD: N_EVENT_REPORT_RQ,
            _MESSAGE_ID: message_id,
            _DATA_SET_TYPE: DATA_SET_FOLLOWS,
            _AFFECTED_SOP_INSTANCE_UID: sop_instance_uid,
            _EVENT_TYPE_ID: event_type_id,
        }
    )


def response_to(request: Command, status: int) -> bytes:
    """Encode the response, without a data set, to any request.

    Args:
        request: with its message id; UIDs it lacks are left out.
        status: Status (0000,0900).
    """
    return _encode(
        {
            _AFFECTED_SOP_CLASS_UID: request.affected_sop_class_uid,
            _COMMAND_FIELD: request.field | 0x8000,
            _MESSAGE_ID_RESPONDED_TO: request.message_id,
            _DATA_SET_TYPE: NO_DATA_SET,
            _STATUS: status,
            _AFFECTED_SOP_INSTANCE_UID: request.affected_sop_instance_uid,
            _EVENT_TYPE_ID: request.type_id if request.field == N_EVENT_REPORT_RQ else None,
            _ACTION_TYPE_ID: request.type_id if request.field == N_ACTION_RQ else None,
        }
    )


def _elements(encoded: bytes) -> dict[int, bytes]:
    if len(encoded) > MOST_BYTES:
        raise ProtocolError(f"a command set is over {MOST_BYTES} bytes")
    found: dict[int, bytes] = {}
    offset = 0
    while offset < len(encoded):
        if len(encoded) - offset < _ELEMENT.size:
            raise ProtocolError("a command set ends inside an element")
        group, element, length = _ELEMENT.unpack_from(encoded, offset)
        offset += _ELEMENT.size
        if group != 0 or element in found or length > len(encoded) - offset:
            raise ProtocolError("a command set has an element of another group, twice, or longer than itself")
        found[element] = encoded[offset : offset + length]
        offset += length
    return found


def _number(elements: dict[int, bytes], element: int) -> int | None:
    value = elements.get(element)
    if value is None:
        return None
    if len(value) != _US.size:
        raise ProtocolError(f"element (0000,{element:04X}) of a command set is not one number")
    return int(_US.unpack(value)[0])


def _uid(elements: dict[int, bytes], element: int, otherwise: int) -> str | None:
    value = elements.get(element, elements.get(otherwise))
    return None if value is None else value.rstrip(b"\0 ").decode("ascii", errors="replace")


def _encode(values: dict[int, int | str | None]) -> bytes:
    """Elements in the order of their tags, the group length first; values that are None are left out."""
    body = b"".join(_element(tag, value) for tag, value in sorted(values.items()) if value is not None)
    return _ELEMENT.pack(0, 0, _UL.size) + _UL.pack(len(body)) + body


def _element(tag: int, value: int | str) -> bytes:
    if isinstance(value, int):
        content = _US.pack(value)
    else:
        content = value.encode("ascii")
        content += (b" " if tag == _MOVE_ORIGINATOR_AE_TITLE else b"\0") * (len(content) % 2)
    return _ELEMENT.pack(0, tag, len(content)) + content
