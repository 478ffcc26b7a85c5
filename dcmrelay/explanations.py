"""The command `explain`: an explanation for each study, printed; nothing is sent or written."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from dcmrelay import explaining, reading, rehearsal
from dcmrelay.explaining import Answer, Explanation, Target
from dcmrelay.output import as_json, check_known, complain, is_hiding, one_line, say
from dcmrelay.rehearsal import Question
from dcmrelay.views import counted
from shared.config import Config
from shared.config.peers import Source
from shared.errors import StartError
from shared.spool.parts import read_manifest
from shared.spool.spool import utc_now
from shared.spool.volume import attach


def explain(
    config: Config,
    what: list[str],
    at: datetime | None,
    *,
    source: str = "",
    called: str = "",
    host: str = "",
    values: bool = False,
    json: bool = False,
) -> int:
    """Print where files, or a past study, would go; 1 when a person would be needed, or a file cannot be read.

    Args:
        config: the configuration to go by.
        what: files and folders; or one study: an id, Study Instance UID or accession number.
        at: a moment; without a zone, on the relay's clock; None: now, or when a past study came.
        source: who would send the files; empty: each source in turn.
        called: AE title that it would call; empty: the first that it may.
        host: address that it would call from; empty: not known.
        values: show what edits make of values; not with --no-phi.
        json: print JSON.
    """
    check_known("source", source, (it.name for it in config.sources))
    zone = ZoneInfo(config.relay.timezone)
    moment = None if at is None else at if at.tzinfo else at.replace(tzinfo=zone)
    sources = [it for it in config.sources if source in ("", it.name)]
    asked, unread = _asked(config, what, moment, sources, called, host)
    found = [
        explaining.explain(config, question, when, edits="values" if values and not is_hiding() else "elements")
        for question, when in asked
    ]
    if json:
        rows = (row for explanation in found for row in explaining.facts(explanation))
        as_json({"routes": _whoever_sends(rows), "not_read": [one_line(it) for it in unread]})
    else:
        for explanation in found:
            _print(explanation, zone)
        for line in unread:
            complain(line)
    by_study = groupby(found, lambda it: it.routing.part.study_instance_uid)
    return int(bool(unread) or any(all(map(_stops, them)) for _, them in by_study))


def _stops(explanation: Explanation) -> bool:
    """Whether a person would be needed."""
    return bool(explanation.held) or any(to.uneditable for it in explanation.answers for to in it.targets)


def _whoever_sends(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each study and route: of the sources that may send it, one for which the route takes it comes first."""
    one: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = row["study_instance_uid"], row["route"]
        if key not in one or (row["matched"] and not one[key]["matched"]):
            one[key] = row
    return list(one.values())


def _asked(
    config: Config, what: list[str], at: datetime | None, sources: list[Source], called: str, host: str
) -> tuple[list[tuple[Question, datetime]], list[str]]:
    """What is asked, each with its moment; and what could not be read."""
    paths = [Path(it) for it in what]
    if len(what) == 1 and not paths[0].exists():
        return list(_of_the_past(config, what[0], at)), []
    studies, passed = rehearsal.study_files(paths)
    when = at or utc_now()
    questions = [
        rehearsal.question_of(files, study, source, rehearsal.called_by(source, called, config), when, host)
        for study, files in studies.items()
        for source in sources
    ]
    return [(it, when) for it in questions], [f"{it.path}: {it.why}" for it in passed if it.failed]


def _of_the_past(config: Config, what: str, at: datetime | None) -> Iterator[tuple[Question, datetime]]:
    if "/" in what or what.endswith(".dcm"):
        raise StartError(f"there is no file {one_line(what)}")
    spool = attach(config)
    parts = reading.find_parts(spool, what)
    if not parts:
        raise StartError(f"{one_line(what)} is neither a file nor a study in the spool; `dcmrelay studies` shows all")
    for part in parts:
        manifest = read_manifest(spool, part.id)
        if manifest is None:
            raise StartError(f"part {part.id} is still being received; ask again when it is closed")
        decision = spool.read_json(f"parts/{part.id}/decision.json") or {}
        came = datetime.fromisoformat(decision["at"]) if "at" in decision else part.opened_at
        yield rehearsal.past(part, manifest), at or came


def _print(explanation: Explanation, zone: ZoneInfo) -> None:
    part, count = explanation.routing.part, len(explanation.routing.manifest.instances)
    say(
        one_line(
            f"{part.study_instance_uid or 'no Study Instance UID'}: {counted(count, 'instance')} from {part.source} to "
            f"{part.called_ae_title}, {explanation.at.astimezone(zone):%a %Y-%m-%d %H:%M} ({zone.key})"
        )
    )
    if explanation.held is not None:
        say(one_line(f"  ! a person is needed: {explanation.held.reason}"))
    for line in explanation.warned:
        say(f"  warning: {line}")
    for answer in explanation.answers:
        for line in _lines(answer, count, is_held=explanation.held is not None):
            say(one_line(line))


def _lines(answer: Answer, count: int, *, is_held: bool) -> Iterator[str]:
    if not answer.matched:
        yield f"  route {answer.route.name}: no: {answer.why_not}"
        return
    follows = ", where earlier parts of the study went" if answer.follows else ""
    would = ", once that is settled" if is_held else ""
    yield f"  route {answer.route.name}: yes{follows}{would}"
    for target in answer.targets:
        yield f"    to {target.destination}, {_how(target, count)}"
        yield from (f"       {it}" for it in target.edits)
        if target.uneditable:
            yield f"       ! would be held: {target.uneditable}"
    for name, why in answer.others:
        yield f"    not to {name}: {why}"


def _how(target: Target, count: int) -> str:
    words: list[Any] = [
        target.form,
        "optional" if target.optional else "",
        "at once" if target.waits_until is None else f"not before {target.waits_until:%a %Y-%m-%d %H:%M}",
        f"without {target.excluded} of {counted(count, 'instance')} (exclude)" if target.excluded else "",
        target.why,
    ]
    return ", ".join(filter(None, words))
