"""`dead replay --set`: elements that a person corrects in a dead letter before it goes on.

The new values stand in the spool only, beside the part; what is shown, logged and recorded names elements.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from producers.replay.choose import DeadLetter
from producers.replay.ring import release
from shared.config.addresses import parse_address, protected
from shared.config.rewriting import Edit
from shared.config.templates import parse_template
from shared.editing.corrected import facts_for
from shared.editing.diff import changes
from shared.editing.engine import edited_header, keywords_in
from shared.errors import DataSetError
from shared.headers import read_header
from shared.messages import Ring
from shared.spool.corrections import corrections_of, keep_corrections, with_more
from shared.spool.parts import read_manifest, read_part
from shared.spool.spool import Spool
from shared.spool.units import Unit

_IMAGES_GONE = "its images were deleted after spool.retention"
_DECIDED = "it is decided already; correct the dead letters of its deliveries"


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What corrections do to the instances of a part.

    Args:
        instances: of the part.
        changed: by element, in how many.
        impossible: by reason, in how many instances a value cannot be made.
    """

    instances: int
    changed: Mapping[str, int]
    impossible: Mapping[str, int]

    @property
    def sentence(self) -> str:
        """It for a person, without values."""
        said = [f"{name} in {count} of {self.instances}" for name, count in self.changed.items()]
        them = [f"not possible in {count} of {self.instances}: {why}" for why, count in self.impossible.items()]
        return "; ".join((f"changes {', '.join(said) or 'nothing'}", *them))

    @property
    def refused(self) -> str:
        """Why nothing would come of it; empty when something would."""
        if self.changed:
            return ""
        return next(iter(self.impossible), "every instance has these values already; replay it without --set")


def correction_of(settings: Iterable[str]) -> Edit:
    """What a person wants of `ELEMENT=VALUE` texts: an edit that only sets.

    Raises:
        ValueError: says what to write instead, without the value.
    """
    wanted: dict[str, str] = {}
    for setting in settings:
        element, equals, value = setting.partition("=")
        if not (element and equals):
            raise ValueError("write KEYWORD=VALUE")
        if element in wanted:
            raise ValueError(f"{element} is given twice; keep one of them")
        wanted[element] = _usable(element, value)
    try:
        return Edit.model_validate({"set": wanted})
    except ValidationError as error:
        raise ValueError("; ".join(_line(it) for it in error.errors(include_url=False))) from None


def _usable(element: str, value: str) -> str:
    if protected(parse_address(element)):
        raise ValueError(f"{element} is a UID or describes the pixel data, which --set leaves as it is")
    if not value.strip():
        raise ValueError(f"{element} has no value; --set gives one, and removes nothing")
    try:
        parse_template(value)
    except ValueError:
        raise ValueError(
            f'{element}: braces quote other elements, as in "HX{{AccessionNumber}}"; what stands in these is none'
        ) from None
    return value


def _line(details: Mapping[str, object]) -> str:
    context = details.get("ctx")
    return str(context["error"]) if isinstance(context, dict) and "error" in context else "it cannot be read"


def effect_of(spool: Spool, part_id: str, corrections: Edit) -> Effect:
    """What corrections would do to a part; nothing is changed.

    Raises:
        ValueError: its images are not there.
        StorageError: the disk refused.
    """
    part, manifest = read_part(spool, part_id), read_manifest(spool, part_id)
    if part is None or manifest is None:
        raise ValueError(_IMAGES_GONE)
    # Whether an instance may become ISO_IR 192 for a letter that its character set has not, all its text decides.
    keywords = keywords_in(corrections) if all(it.isascii() for it in corrections.set.values()) else None
    changed, impossible = Counter[str](), Counter[str]()
    for instance in manifest.instances:
        try:
            header = read_header(spool.store.path(instance.file), keywords)
            before = edited_header(header, Edit(), {})
            after = edited_header(header, corrections, facts_for(part))
        except DataSetError as error:
            impossible[error.reason] += 1
            continue
        changed.update({it.keyword or it.path for it in changes(before, after)})
    return Effect(instances=len(manifest.instances), changed=changed, impossible=impossible)


def correct_part(spool: Spool, letter: DeadLetter, edit: Edit, *, by: str, why: str, config: str) -> Ring | None:
    """Keep what a person corrects in a part that was not routed yet, and let it be decided anew.

    Whoever is killed in between has kept what nobody asks for; the same may be done again.

    Args:
        spool: the spool.
        letter: the part.
        edit: the corrections; those of before stay, but where these say otherwise.
        by: who.
        why: their words, with the elements.
        config: hash of the configuration in force, kept in the spool.

    Returns:
        The bell to ring; None when it is no dead letter any more.

    Raises:
        ValueError: it may not be corrected; says why.
        StorageError: the disk refused.
    """
    together = part_corrections(spool, letter.part, edit)
    name = keep_corrections(spool, letter.part, together)
    return release(spool, letter, by=by, why=why, config=config, corrections=name)


def part_corrections(spool: Spool, part_id: str, edit: Edit) -> Edit:
    """What is corrected in a part that is held before it is routed, with what was corrected before.

    Raises:
        ValueError: it was routed already, so that its deliveries have their forms.
    """
    unit = spool.parts.load(part_id)
    if unit is None or spool.read_json(f"parts/{part_id}/decision.json") is not None:
        raise ValueError(_DECIDED)
    return with_more(spool, part_id, corrections_of(unit.facts), edit)


def corrections_for(spool: Spool, delivery: Unit, edit: Edit) -> Edit:
    """What is corrected in the missing instances of a delivery, with what its form corrects already."""
    form = delivery.order["form"]
    return with_more(spool, str(delivery.order["part"]), corrections_of(form), edit)


def said(edit: Edit, why: str) -> str:
    """A person's words with the elements that they corrected, for the record."""
    return f"{', '.join(edit.set)}: {why}"
