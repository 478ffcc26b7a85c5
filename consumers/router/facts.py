"""What rules may ask about: facts of a part, and the values of an instance as text. No I/O, no clock, no globals."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import UID

from shared.config.windows import DAYS
from shared.spool.parts import Manifest, Part


def facts_of(part: Part, manifest: Manifest, now: datetime, zone: ZoneInfo) -> dict[str, str]:
    """What the relay knows of a part, by key of a match table.

    Args:
        part: the part.
        manifest: its instances, which are counted.
        now: aware; `weekday` and `time` are those of the decision.
        zone: where the relay's clock hangs.
    """
    local = now.astimezone(zone)
    facts = {
        "source": part.source,
        "called": part.called_ae_title,
        "host": part.host,
        "count": str(len(manifest.instances)),
        "weekday": DAYS[local.weekday()],
        "time": str(local.hour * 60 + local.minute),
    }
    return {key: value for key, value in facts.items() if value}


def sop_class_values(sop_class_uid: str) -> dict[str, tuple[str, ...]]:
    """The values of `sop_class`: the UID and, when it is a standard one, its name such as "CTImageStorage"."""
    return {"sop_class": tuple(filter(None, (sop_class_uid, UID(sop_class_uid).keyword)))}


def texts_at(ds: Dataset, path: str) -> tuple[str, ...]:
    """The values at a keyword or a path such as "Sequence.Keyword", of all items; one text per item of a sequence."""
    return tuple(_texts(ds, path.split(".")))


def _texts(ds: Dataset, steps: list[str]) -> Iterator[str]:
    value = ds.get(steps[0])
    if isinstance(value, Sequence):
        for number, item in enumerate(value, 1):
            yield from _texts(item, steps[1:]) if steps[1:] else [str(number)]
    elif value is not None:
        yield from (str(single).strip() for single in (value if isinstance(value, MultiValue) else [value]))
