"""A-ASSOCIATE PDUs taken apart, with bounds: what a stranger sends before anything is agreed.

Variable items are walked here and nowhere else, so that no other parser meets the bytes of an unknown peer. Unknown
items and sub-items are passed over, as the standard says. Pure: no I/O, no clock, no globals.
Source: PS3.8 9.3.2, 9.3.3; PS3.7 D.3.3.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from struct import unpack_from

from shared.errors import ProtocolError
from shared.uids import is_uid

MOST_CONTEXTS = 128
MOST_TRANSFER_SYNTAXES = 64
MOST_ITEMS = 1024
DEFAULT_MAX_PDU = 16384

_APPLICATION_CONTEXT, _CONTEXT_RQ, _CONTEXT_AC, _ABSTRACT, _TRANSFER = 0x10, 0x20, 0x21, 0x30, 0x40
_USER_INFORMATION, _MAXIMUM_LENGTH, _ASYNCHRONOUS_OPERATIONS, _ROLE_SELECTION = 0x50, 0x51, 0x53, 0x54
_ITEMS_BEGIN = 68


@dataclass(frozen=True, kw_only=True)
class ProposedContext:
    """A presentation context as proposed: transfer syntaxes in the requestor's order, possibly none."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True)
class Roles:
    """Which roles the requestor of an association asks for, or is given, in a SOP class (PS3.7 D.3.3.4)."""

    scu: bool
    scp: bool


@dataclass(frozen=True, kw_only=True)
class UserInformation:
    """What matters of the user information.

    Args:
        max_pdu: maximum PDU length in bytes, 0 for any.
        asks_asynchronous_operations: whether a window was asked for.
        roles: by SOP class; where there are none, the requestor is the SCU.
    """

    max_pdu: int = DEFAULT_MAX_PDU
    asks_asynchronous_operations: bool = False
    roles: Mapping[str, Roles] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AssociateRequest:
    """An A-ASSOCIATE-RQ.

    Args:
        protocol_version: bit 0 stands for the one version there is.
        called_ae_title: without padding; what is not printable ASCII reads "?". May be empty.
        calling_ae_title: likewise.
        fixed_fields: the 64 bytes of titles and reserved field that an answer must repeat.
        application_context: a UID; empty when there was none.
        contexts: 1 to 128, ids odd and different.
        user_information: defaults when there was none.
    """

    protocol_version: int
    called_ae_title: str
    calling_ae_title: str
    fixed_fields: bytes
    application_context: str
    contexts: tuple[ProposedContext, ...]
    user_information: UserInformation


@dataclass(frozen=True, kw_only=True)
class AssociateAnswer:
    """An A-ASSOCIATE-AC.

    Args:
        accepted: the transfer syntax of each accepted context id.
        max_pdu: the acceptor's maximum PDU length.
        roles: that we are given, by SOP class.
    """

    accepted: dict[int, str]
    max_pdu: int
    roles: Mapping[str, Roles] = field(default_factory=dict)


def walk_request(body: bytes) -> AssociateRequest:
    """Take apart an A-ASSOCIATE-RQ.

    Args:
        body: the PDU without its 6-byte header, 68 bytes at least.

    Raises:
        ProtocolError: it is not one, or passes a bound.
    """
    application_context, user, contexts = _walk(body, _CONTEXT_RQ)
    return AssociateRequest(
        protocol_version=_number(">H", body, 0),
        called_ae_title=_ae_title(body[4:20]),
        calling_ae_title=_ae_title(body[20:36]),
        fixed_fields=body[4:_ITEMS_BEGIN],
        application_context=application_context,
        contexts=tuple(_different(_proposed(content) for content in contexts)),
        user_information=user,
    )


def walk_answer(body: bytes) -> AssociateAnswer:
    """Take apart an A-ASSOCIATE-AC; arguments and errors as `walk_request`."""
    _, user, contexts = _walk(body, _CONTEXT_AC)
    accepted: dict[int, str] = {}
    for content in contexts:
        context_id, result = _number("B", content, 0), _number("B", content, 2)
        if result == 0:
            accepted[context_id] = _only(_uid(uid) for kind, uid in _items(content[4:]) if kind == _TRANSFER)
    return AssociateAnswer(accepted=accepted, max_pdu=user.max_pdu, roles=user.roles)


def _walk(body: bytes, context_kind: int) -> tuple[str, UserInformation, list[bytes]]:
    if len(body) < _ITEMS_BEGIN:
        raise ProtocolError("an A-ASSOCIATE PDU is shorter than its fixed part")
    application_context, user = "", UserInformation()
    contexts: list[bytes] = []
    for kind, content in _items(body[_ITEMS_BEGIN:]):
        if kind == _APPLICATION_CONTEXT:
            application_context = _uid(content)
        elif kind == context_kind:
            contexts.append(content)
        elif kind == _USER_INFORMATION:
            user = _user_information(content)
    if not 1 <= len(contexts) <= MOST_CONTEXTS:
        raise ProtocolError(f"{len(contexts)} presentation contexts where 1 to {MOST_CONTEXTS} may be")
    return application_context, user, contexts


def _items(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Items or sub-items: type, reserved byte, 2-byte length, content."""
    offset = count = 0
    while offset < len(content):
        length = _number(">H", content, offset + 2)
        end = offset + 4 + length
        count += 1
        if end > len(content) or count > MOST_ITEMS:
            raise ProtocolError("an item of an A-ASSOCIATE PDU is longer than what holds it, or there are too many")
        yield content[offset], content[offset + 4 : end]
        offset = end


def _proposed(content: bytes) -> ProposedContext:
    context_id = _number("B", content, 0)
    if context_id % 2 == 0:
        raise ProtocolError("a presentation context has an even id")
    items = list(_items(content[4:]))
    transfer_syntaxes = tuple(_uid(uid) for kind, uid in items if kind == _TRANSFER)
    if len(transfer_syntaxes) > MOST_TRANSFER_SYNTAXES:
        raise ProtocolError(f"a presentation context has over {MOST_TRANSFER_SYNTAXES} transfer syntaxes")
    return ProposedContext(
        context_id=context_id,
        abstract_syntax=_only(_uid(uid) for kind, uid in items if kind == _ABSTRACT),
        transfer_syntaxes=transfer_syntaxes,
    )


def _different(contexts: Iterator[ProposedContext]) -> Iterator[ProposedContext]:
    seen: set[int] = set()
    for context in contexts:
        if context.context_id in seen:
            raise ProtocolError("two presentation contexts have the same id")
        seen.add(context.context_id)
        yield context


def _user_information(content: bytes) -> UserInformation:
    max_pdu, asks = DEFAULT_MAX_PDU, False
    roles: dict[str, Roles] = {}
    for kind, value in _items(content):
        if kind == _MAXIMUM_LENGTH:
            max_pdu = _number(">L", value, 0)
        elif kind == _ASYNCHRONOUS_OPERATIONS:
            asks = True
        elif kind == _ROLE_SELECTION:
            length = _number(">H", value, 0)
            scu, scp = _number("B", value, 2 + length), _number("B", value, 3 + length)
            roles[_uid(value[2 : 2 + length])] = Roles(scu == 1, scp == 1)
    return UserInformation(max_pdu=max_pdu, asks_asynchronous_operations=asks, roles=roles)


def _number(form: str, content: bytes, offset: int) -> int:
    size = {"B": 1, ">H": 2, ">L": 4}[form]
    if offset + size > len(content):
        raise ProtocolError("an item of an A-ASSOCIATE PDU ends too soon")
    return int(unpack_from(form, content, offset)[0])


def _only(uids: Iterator[str]) -> str:
    """The one UID where one must be."""
    found = list(uids)
    if len(found) != 1:
        raise ProtocolError("a presentation context lacks a syntax, or has one too many")
    return found[0]


def _uid(content: bytes) -> str:
    text = content.rstrip(b"\0 ").decode("ascii", errors="replace")
    if not is_uid(text):
        raise ProtocolError("a UID in an A-ASSOCIATE PDU is none")
    return text


def _ae_title(field: bytes) -> str:
    trimmed = field.strip(b"\0 ")
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in trimmed)
