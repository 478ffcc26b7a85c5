"""A notice in words for people and facts for machines. No I/O, no clock, no globals. No patient data goes in."""

from datetime import datetime, timedelta
from typing import Any

from shared.notices.rules import Notice

_STAGES = {"route": "routed", "render": "de-identified"}
LATE_OF_A_STUDY = "later images of a study that was sent before"


def subject(relay: str, notice: Notice) -> str:
    """One line: which relay, what."""
    return f"dcmrelay {relay}: {headline(notice)}"


def headline(notice: Notice) -> str:
    """What happened, in one line."""
    return _ended(notice) if notice.over else _begun(notice)


def _begun(notice: Notice) -> str:
    about, count = notice.about, notice.new
    parts, studies = _counted(count, "study part"), _counted(count, "study", "studies")
    match notice.occasion:
        case "dead_letter":
            where = f" for {about}" if about else ", not routed"
            return f"{_counted(count, 'new dead letter')}{where}, {notice.total} in all"
        case "destination_down":
            return f"{about} has kept a delivery waiting too long"
        case "handed_over":
            return f"{studies} of route {about} handed over to another destination"
        case "commitment":
            return f"{about} was not told what is safe, {_counted(count, 'request')} for storage commitment"
        case "configuration":
            return "the configuration file is refused, the one before stays in force"
        case "disk_low":
            return "the disk is nearly full, modalities will be refused"
        case "late":
            return f"{parts} of route {about} not accepted in time"
        case "addendum":
            return f"{parts} of route {about} with {LATE_OF_A_STUDY}"
        case "stuck":
            return f"{parts} waiting too long to be {_STAGES.get(about, about)}"


def _ended(notice: Notice) -> str:
    """Of the occasions whose end is told."""
    if notice.occasion == "destination_down":
        return f"nothing waits too long for {notice.about} any more"
    if notice.occasion == "stuck":
        return f"studies are being {_STAGES.get(notice.about, notice.about)} again"
    if notice.occasion == "configuration":
        return "the configuration file is in force"
    return "the disk has room again"


def facts(relay: str, notice: Notice, now: datetime) -> dict[str, Any]:
    """What a webhook and a command get; `text` is what chat services show."""
    return {
        "text": f"{subject(relay, notice)}. " + (f"Next: {notice.command}" if notice.command else ""),
        "relay": relay,
        "at": now.isoformat(timespec="seconds"),
        "occasion": notice.occasion,
        "about": notice.about,
        "over": notice.over,
        "new": notice.new,
        "total": notice.total,
        "age_seconds": None if notice.since is None else round((now - notice.since).total_seconds()),
        "command": notice.command,
        **notice.facts,
    }


def letter(relay: str, notice: Notice, now: datetime) -> str:
    """The text of a mail."""
    lines = [f"{headline(notice)}.", ""]
    if notice.since is not None:
        lines.append(f"since: {notice.since.isoformat(timespec='seconds')} ({_age(now - notice.since)})")
    lines += [f"{key.replace('_', ' ')}: {_value(value)}" for key, value in notice.facts.items() if value is not None]
    lines += ["", f"Type next: {notice.command}", "", f"dcmrelay {relay}, {now.isoformat(timespec='seconds')}", ""]
    return "\n".join(lines)


def _counted(count: int, thing: str, things: str = "") -> str:
    return f"{count} {thing if count == 1 else things or thing + 's'}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" for key, count in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _age(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    if minutes < 2:
        return f"{span.total_seconds():.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
