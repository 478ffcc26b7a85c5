"""The command `explain --simulate`: who would get what in a week, if the files of a folder came again and again."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from dcmrelay import explaining, rehearsal
from dcmrelay.output import as_json, check_known, complain, one_line, say, table
from dcmrelay.rehearsal import Question
from shared.calendar import changes
from shared.config import Config
from shared.config.conditions import Condition
from shared.config.rules import Calendar
from shared.config.windows import Window, parse_times
from shared.errors import StartError

_EVER = datetime.min.replace(tzinfo=UTC)
_COLUMNS = ("from", "until", "source", "route", "destination", "form", "studies", "instances")
_HELD = "nobody: a person is needed"


@dataclass(frozen=True, kw_only=True)
class Got:
    """What somebody gets; of a study that waits, the destination says until when."""

    source: str
    route: str
    destination: str
    form: str


@dataclass(frozen=True, kw_only=True)
class Shift:
    """As long as somebody gets the same.

    Args:
        since: aware.
        until: aware.
        got: who gets what.
        studies: how many.
        instances: how many.
    """

    since: datetime
    until: datetime
    got: Got
    studies: int
    instances: int

    def goes_on_in(self, other: "Shift") -> bool:
        """Whether the other begins where this one ends, with as much."""
        return (self.until, self.studies, self.instances) == (other.since, other.studies, other.instances)


def simulate(
    config: Config, folder: Path, week: str, *, source: str = "", called: str = "", host: str = "", json: bool = False
) -> int:
    """Print who would get what; 1 when a study would wait for a person, or a file cannot be read.

    Args:
        config: the configuration to go by.
        folder: files; each study in them comes as one part.
        week: such as 2026-W52, on the relay's clock.
        source: who would send them; empty: each source that a route takes something of.
        called: AE title that it would call; empty: the first that it may.
        host: address that it would call from; empty: not known.
        json: print JSON.
    """
    check_known("source", source, (it.name for it in config.sources))
    zone = ZoneInfo(config.relay.timezone)
    begin, end = week_of(week, zone)
    studies, passed = rehearsal.study_files([folder])
    unread = [f"{it.path}: {it.why}" for it in passed if it.failed]
    if not studies:
        raise StartError(f"no DICOM file lies in {one_line(folder)}")
    questions = [
        replace(
            rehearsal.question_of(files, study, it, rehearsal.called_by(it, called, config), begin, host), made=_EVER
        )
        for it in config.sources
        if source in ("", it.name)
        for study, files in studies.items()
    ]
    rows = [_row(it) for it in shifts_of(config, questions, begin, end, named=bool(source))]
    if json:
        as_json({"week": week, "shifts": rows})
    else:
        _print(rows, f"week {week} ({zone.key}), {len(studies)} studies", [one_line(it) for it in unread])
    return int(bool(unread) or any(row["destination"] == _HELD for row in rows))


def week_of(text: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The Monday that a week begins with, and the next, at midnight on the wall.

    Raises:
        StartError: it is no week such as 2026-W52.
    """
    found = re.fullmatch(r"(\d{4})-?W(\d{2})", text)
    try:
        if found is None:
            raise ValueError(text)
        monday = datetime.fromisocalendar(int(found[1]), int(found[2]), 1)
    except ValueError:
        raise StartError(f"{one_line(text)!r} is no week; write for example --week 2026-W52") from None
    return monday.replace(tzinfo=zone), (monday + timedelta(days=7)).replace(tzinfo=zone)


def shifts_of(
    config: Config, questions: Iterable[Question], begin: datetime, end: datetime, *, named: bool
) -> list[Shift]:
    """Who gets how many studies and instances between two moments, each for as long as it is the same.

    Args:
        config: the configuration.
        questions: the studies.
        begin: aware.
        end: aware.
        named: of a source that no route takes anything of, it is said too.
    """
    asked, zone = list(questions), ZoneInfo(config.relay.timezone)
    moments = [begin, *(it.astimezone(zone) for it in edges(config, begin, end) if it < end), end]
    newest: dict[Got, Shift] = {}
    shifts: list[Shift] = []
    for since, until in pairwise(moments):
        studies, instances = _given(config, asked, since, named=named)
        for got in studies:
            before = newest.get(got)
            shift = Shift(since=since, until=until, got=got, studies=studies[got], instances=instances[got])
            if before is not None and before.goes_on_in(shift):
                shift = replace(shift, since=before.since)
                shifts.remove(before)
            shifts.append(shift)
            newest[got] = shift
    return sorted(shifts, key=lambda it: (it.got.source, it.got.route, it.since, it.got.destination, it.got.form))


def edges(config: Config, begin: datetime, end: datetime) -> Iterator[datetime]:
    """The moments at which a decision may become another: calendars open and close, `time` and `weekday` change."""
    times = [text for route in config.routes for text in _texts(route.match.get("time", ()))]
    spans = [parse_times(text) for text in times]
    windows = tuple(Window(days=tuple(range(7)), start=it.start, end=it.end) for it in spans)
    zone = ZoneInfo(config.relay.timezone)
    return changes((*config.calendars.values(), Calendar.model_construct(open=windows)), begin, end, zone)


def _texts(asked: tuple[str, ...] | Condition) -> tuple[str, ...]:
    return (asked.not_ or ()) if isinstance(asked, Condition) else asked


def _given(
    config: Config, questions: Iterable[Question], at: datetime, *, named: bool
) -> tuple[Counter[Got], Counter[Got]]:
    studies, instances = Counter[Got](), Counter[Got]()
    for question in questions:
        explanation = explaining.explain(config, question, at)
        taken = [it for it in explanation.answers if it.matched]
        if not taken and not named:
            continue
        source, count = question.part.source, len(question.manifest.instances)
        if explanation.held:
            got = {Got(source=source, route="", destination=_HELD, form=str(explanation.held.reason)): count}
        else:
            got = {
                Got(source=source, route=it.route.name, destination=_who(to), form=to.form): count - to.excluded
                for it in taken
                for to in it.targets
            }
        studies.update(got.keys())
        instances.update(got)
    return studies, instances


def _who(target: explaining.Target) -> str:
    return target.destination + (f", from {target.waits_until:%a %H:%M}" if target.waits_until else "")


def _row(it: Shift) -> dict[str, Any]:
    return {"from": it.since, "until": it.until, **vars(it.got), "studies": it.studies, "instances": it.instances}


def _print(rows: list[dict[str, Any]], title: str, unread: list[str]) -> None:
    shown = [{**row, "from": f"{row['from']:%a %Y-%m-%d %H:%M}", "until": f"{row['until']:%a %H:%M}"} for row in rows]
    if shown:
        table(_COLUMNS, shown, title=title)
    else:
        say("No route takes anything of any source; name one with --source to see why.")
    for line in unread:
        complain(line)
