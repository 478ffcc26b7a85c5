"""What `--no-phi` hides from a screenshot. No I/O, no clock, no globals.

Hidden: who a study is about (Patient ID, Accession Number, Study Date), UIDs, AE titles, addresses and host names, what
persons wrote, and who they are. Shown: names of the configuration, ids of parts and deliveries, counts, times, states.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from shared.config import Config

HIDDEN = "***"
_KEYS = frozenset(
    (
        "patient_id", "patient_name", "accession_number", "study_date", "study_instance_uid", "sop_instance_uid",
        "study", "calling_ae_title", "called_ae_title", "calling", "called", "host", "fingerprint", "by", "searched",
    )
)  # fmt: skip
_WRITTEN = ("reason", "why", "detail", "content")
"""Of what a person did: their words."""
_DOTTED = re.compile(r"(?<![\w.])\d+(?:\.\d+){3,}(?![\w])")
_COLONS = re.compile(r"(?<![\w:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")
_PERSON = re.compile(r"\bby [^\s@]+@\S+(?: until \S+)?(?: \(.*\))?")
_ADDRESS = re.compile(r"[^\s@<>\"']+@[^\s@<>\"',;)]+")


class Hider:
    """Hides in text, tables and JSON.

    Args:
        words: whole words to hide besides what is known by its look.
    """

    def __init__(self, words: Iterable[str] = ()) -> None:
        wanted = sorted({word for word in words if word and word != "*"}, key=len, reverse=True)
        self._words = re.compile("|".join(rf"(?<![\w.-]){re.escape(word)}(?![\w-])" for word in wanted) or r"(?!)")

    def text(self, line: str) -> str:
        """A line without what is to be hidden."""
        line = _PERSON.sub(f"by {HIDDEN}", line)
        line = _COLONS.sub(lambda found: HIDDEN if _is_address(found[0]) else found[0], line)
        for pattern in (_DOTTED, _ADDRESS, self._words):
            line = pattern.sub(HIDDEN, line)
        return line

    def value(self, content: Any) -> Any:
        """JSON content, or a row of a table, likewise."""
        if isinstance(content, str):
            return self.text(content)
        if isinstance(content, Mapping):
            written = _WRITTEN if _is_of_a_person(content) else ()
            return {
                self.text(str(key)): HIDDEN if value and (key in _KEYS or key in written) else self.value(value)
                for key, value in content.items()
            }
        return [self.value(one) for one in content] if isinstance(content, list | tuple) else content


def words_of(config: Config) -> set[str]:
    """AE titles and host names of a configuration, but those that are names in it too: these are shown anyway."""
    words, names = {config.relay.ae_title}, {it.name for it in config.routes}
    for source in config.sources:
        words |= {source.ae_title, *source.called}
        names.add(source.name)
    words |= {it.host or "" for it in config.notify}
    for destination in config.destinations:
        words |= {destination.ae_title, destination.host, destination.calling_ae_title or ""}
        names.add(destination.name)
    return words - names


def _is_of_a_person(row: Mapping[Any, Any]) -> bool:
    return bool(row.get("by")) or _PERSON.search(str(row.get("what", ""))) is not None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
