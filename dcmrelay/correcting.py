"""`dead replay --set`: what a person typed, and what it would do. Values are typed, and never printed."""

from collections.abc import Iterable

from dcmrelay.acting import Desk
from producers.replay.choose import DeadLetter
from producers.replay.correct import correction_of, corrections_for, effect_of, part_corrections
from shared.config.rewriting import Edit
from shared.errors import StartError
from shared.spool.parts import read_part
from shared.spool.spool import Spool
from shared.spool.units import Unit


def correction(settings: Iterable[str], *, why: str, others: bool, dry_run: bool) -> Edit:
    """What a person wants corrected.

    Args:
        settings: `ELEMENT=VALUE` each.
        why: their words; needed.
        others: whether they gave an option that means something else.
        dry_run: then no words are needed.

    Raises:
        StartError: it cannot be; says what to write instead.
    """
    if others:
        raise StartError("--set goes without --profile-now and --rate; correct first, then do the other")
    if not (why or dry_run):
        raise StartError('say why you correct it, for the record and without patient data: --why "..."')
    try:
        return correction_of(settings)
    except ValueError as error:
        raise StartError(f"--set: {error}") from None


def check_one_study(spool: Spool, letters: list[DeadLetter]) -> None:
    """A value that is right for one study is wrong for another.

    Raises:
        StartError: they are of several.
    """
    parts = (read_part(spool, it.part) for it in letters)
    studies = {(it.study_instance_uid, it.called_ae_title) for it in parts if it is not None}
    if len(studies) > 1:
        raise StartError(f"--set: these are of {len(studies)} studies; correct one study at a time")


def refusal(desk: Desk, letter: DeadLetter, edit: Edit) -> str:
    """Why a part that is held cannot be corrected; empty when it can."""
    try:
        return effect_of(desk.spool, letter.part, part_corrections(desk.spool, letter.part, edit)).refused
    except ValueError as error:
        return str(error)


def of_part(desk: Desk, letter: DeadLetter, edit: Edit) -> str:
    """What corrections would change in a part that is held."""
    return effect_of(desk.spool, letter.part, part_corrections(desk.spool, letter.part, edit)).sentence


def of_delivery(desk: Desk, unit: Unit, edit: Edit) -> str:
    """What corrections would change in the part of a delivery."""
    return effect_of(desk.spool, str(unit.order["part"]), corrections_for(desk.spool, unit, edit)).sentence
