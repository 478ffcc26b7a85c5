"""Text of a data set in and out of its Specific Character Set. No I/O, no clock, no globals but a cache.

Source: PS3.3 C.12.1.1.2, PS3.5 6.1.2 and 6.1.2.5.3: each value, and each component of a name, begins in the first set.
"""

import re
import warnings
from dataclasses import dataclass
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes, encode_string
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from shared.errors import DataSetError

UTF_8 = b"ISO_IR 192"
_DEFAULT = "iso8859"
# Escapes to character sets of two bytes a letter in G0.
_TWO_BYTES = (b"\x1b$B", b"\x1b$@", b"\x1b$(D")
# Bytes beyond ASCII where the default repertoire is in force.
_NOT_ASCII = re.compile(rb"(^|\x1b\(B)[^\x1b]*[\x80-\xff]")
_ENDS = {"PN": re.compile(r"([\\^=])")}
_ENDS_OF_TEXT = re.compile(r"([\\\t\n\f\r])")


class UnwritableError(DataSetError):
    """A text has characters that its character set has not."""


@dataclass(frozen=True)
class CharacterSet:
    """A Specific Character Set, by pydicom's names of its encodings."""

    encodings: tuple[str, ...]

    @property
    def is_plain(self) -> bool:
        """Whether text of ASCII letters alone is the same bytes in ISO_IR 192."""
        return "shift_jis" not in self.encodings

    def read(self, value: bytes, vr: str) -> str:
        """The text of a value, without padding at its end.

        Raises:
            DataSetError: the bytes are none of the character set's.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = decode_bytes(value, list(self.encodings), PN_DELIMS if vr == "PN" else TEXT_VR_DELIMS)
        if "\ufffd" in text:
            raise DataSetError("has text that is not in the character set that it names")
        return text.rstrip(" \0")

    def write(self, text: str, vr: str) -> bytes:
        """The bytes of a text.

        Raises:
            UnwritableError: the character set has not all of its characters.
        """
        pieces = _ENDS.get(vr, _ENDS_OF_TEXT).split(text)
        return b"".join(piece.encode("ascii") if piece.isascii() else self._written(piece, vr) for piece in pieces)

    def _written(self, piece: str, vr: str) -> bytes:
        # pydicom takes the default repertoire for Latin-1, which it is not; but only so it returns to it by an escape.
        strict = ["ascii" if encoding == _DEFAULT else encoding for encoding in self.encodings]
        for encodings in (list(self.encodings), strict):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    written = _ended(encode_string(piece, encodings))
                    is_same = self.read(written, vr) == piece.rstrip(" \0")
                except (UnicodeError, DataSetError):
                    continue
            if is_same and not (self.encodings[0] == _DEFAULT and _NOT_ASCII.search(written)):
                return written
        raise UnwritableError("has characters that the character set of the instance has not")


def _ended(written: bytes) -> bytes:
    """A piece that returns to ASCII at its end, where a delimiter or padding follows. Source: PS3.5 6.1.2.5.3."""
    last = written[written.rfind(b"\x1b") :]
    return written + b"\x1b(B" if last.startswith(_TWO_BYTES) else written


@lru_cache(maxsize=256)
def character_set(terms: bytes) -> CharacterSet:
    """The character set that the value of (0008,0005) names; empty: the default repertoire, ASCII.

    Raises:
        DataSetError: it names what the relay does not know.
    """
    names = [term.strip() for term in terms.decode("latin-1").strip(" \0").split("\\")]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return CharacterSet(tuple(convert_encodings(names)))
    except (LookupError, UserWarning, ValueError):
        raise DataSetError("names a character set that the relay does not know") from None
