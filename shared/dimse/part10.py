"""The head of a DICOM file, for bytes that came without one. No I/O, no clock, no globals.

Source: PS3.10 7.1.
"""

from struct import Struct

from shared.dimse.terms import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_SHORT = Struct("<HH2sH")
_LONG = Struct("<HH2sxxL")


def part10_header(
    *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str = ""
) -> bytes:
    """Preamble of zeros, prefix and file meta information; the same bytes for the same arguments.

    Args:
        sop_class_uid: (0002,0002).
        sop_instance_uid: (0002,0003).
        transfer_syntax_uid: (0002,0010), of the data set that follows.
        source_ae_title: (0002,0016), up to 16 characters; left out when empty.
    """
    elements = _LONG.pack(2, 0x0001, b"OB", 2) + b"\x00\x01"
    elements += _element(0x0002, b"UI", sop_class_uid) + _element(0x0003, b"UI", sop_instance_uid)
    elements += _element(0x0010, b"UI", transfer_syntax_uid) + _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID)
    elements += _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME)
    if source_ae_title:
        elements += _element(0x0016, b"AE", source_ae_title)
    return bytes(128) + b"DICM" + _SHORT.pack(2, 0, b"UL", 4) + len(elements).to_bytes(4, "little") + elements


def _element(element: int, vr: bytes, value: str) -> bytes:
    content = value.encode("ascii")
    content += (b"\0" if vr == b"UI" else b" ") * (len(content) % 2)
    return _SHORT.pack(2, element, vr, len(content)) + content
