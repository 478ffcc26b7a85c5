"""What became of every acknowledged instance. No I/O, no clock, no globals."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.campaign.load import CANARY, ROOT, Sent, data_set_of, pixels_of

# Who shall have what a source sends, and in which form.
PLAIN = {"CT1": ("archive", "backup"), "MR1": ("neuro",)}
CLEAN = {"CT1": ("reading",), "MR1": ()}


@dataclass
class Account:
    """Of one trial; all counts but the first, second and `duplicated` shall be 0.

    Args:
        again: destination, SHA-256 as it was sent, and copies, of each instance that came more than once.
    """

    acknowledged: int = 0
    arrived: int = 0
    lost: int = 0
    corrupt: int = 0
    wrong_form: int = 0
    wrong_place: int = 0
    duplicated: int = 0
    cut: int = 0
    problems: list[str] = field(default_factory=list)
    again: list[tuple[str, str, int]] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """As it stands in the results."""
        return asdict(self)


def account(sent: Iterable[Sent], arrived: Iterable[tuple[str, bytes]]) -> Account:
    """Compares what was acknowledged with what arrived.

    Args:
        sent: acknowledged instances.
        arrived: destination and Part 10 file of each instance that a destination wrote, in any order.

    Returns:
        Counts. `cut` are beginnings of instances that a destination wrote before it was cut off itself.
    """
    by_pixels = {it.pixels: it for it in sent}
    by_uid = {it.uid: it for it in by_pixels.values()}
    result = Account(acknowledged=len(by_pixels))
    seen: Counter[tuple[str, str]] = Counter()
    clean: dict[tuple[str, str], bytes] = {}
    for where, file in arrived:
        result.arrived += 1
        content = data_set_of(file)
        it = by_pixels.get(pixels_of(content))
        if it is None:
            _unknown(result, content, by_uid, where)
            continue
        if where in CLEAN[it.source]:
            result.wrong_form += CANARY.encode() in file or ROOT.encode() in file
            result.corrupt += clean.setdefault((where, it.pixels), content) != content
        elif where in PLAIN[it.source]:
            result.corrupt += content != it.content
        else:
            result.wrong_place += 1
        seen[where, it.pixels] += 1
    result.duplicated = sum(n - 1 for n in seen.values())
    result.again = [(where, by_pixels[pixels].sha256, n) for (where, pixels), n in sorted(seen.items()) if n > 1]
    due = {(where, it.pixels) for it in by_pixels.values() for where in PLAIN[it.source] + CLEAN[it.source]}
    result.lost = len({pixels for where, pixels in due - set(seen)})
    return result


def _unknown(result: Account, content: bytes, by_uid: dict[str, Sent], where: str) -> None:
    """A file whose pixels nobody sent: cut short by the destination's own end, or damaged."""
    if CANARY.encode() in content and where == "reading":
        result.wrong_form += 1
    if len(content) < len(next(iter(by_uid.values())).content if by_uid else b""):
        result.cut += 1
    else:
        result.corrupt += 1
        result.problems.append(f"{where} has an instance that nobody sent")
