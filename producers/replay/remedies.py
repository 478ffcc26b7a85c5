"""What a person can do about a dead letter. No I/O, no clock, no globals."""

from producers.replay.choose import DeadLetter
from shared.spool.commitments import COMMIT

SHORT = 10


def remedies(letter: DeadLetter) -> list[str]:
    """Sentences, the likeliest remedy first; each names its command."""
    id_ = letter.id[:SHORT]
    again = f"`dcmrelay dead replay {id_}`"
    last = f'give it up: `dcmrelay dead discard {id_} --why "..."`'
    if letter.stage == "route":
        mended = f"mend the configuration, then {again}: it is decided anew"
        return [_corrected(letter), mended, last] if letter.dead_letter_class == "invalid" else [mended, last]
    if letter.stage == COMMIT:
        return [
            f"check host and port of {letter.source}'s commitment, and that it listens; then {again} tells it",
            last,
        ]
    return [*_of_delivery(letter, again), last]


def _of_delivery(letter: DeadLetter, again: str) -> list[str]:
    name = letter.destination
    elsewhere = f"to another destination that a route names: `dcmrelay dead redirect {letter.id[:SHORT]} --to NAME`"
    anew = f"after its profile or edit was changed, {again[:-1]} --profile-now` makes a new rendition by it"
    missing = f"{again} sends what is missing"
    match letter.dead_letter_class:
        case "unreachable":
            return [f"when `dcmrelay echo {name}` is answered, {missing}", elsewhere]
        case "refused":
            return [f"ask {name}'s people why; when it is mended, {missing}", elsewhere]
        case "invalid":
            again_by = f"have it sent again by {letter.source}, which makes a new part; then discard this"
            return [_corrected(letter), again_by, anew]
        case "policy":
            return [anew, f"{elsewhere}; NAME is {name} when that is another peer now, on purpose"]
        case "bug":
            return [f"report the reason; after an upgrade, {again}"]


def _corrected(letter: DeadLetter) -> str:
    return (
        f'correct the element and let it go: `dcmrelay dead replay {letter.id[:SHORT]} --set KEYWORD=VALUE --why "..."`'
    )
