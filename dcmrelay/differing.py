"""The command `diff`: which recent studies would go elsewhere, in another form, or be held under another file."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dcmrelay import explaining, reading, rehearsal
from dcmrelay.explaining import Explanation, Target
from dcmrelay.output import as_json, clock, one_line, say
from dcmrelay.views import counted
from shared.config import Config
from shared.errors import StartError
from shared.spool.parts import Part, new_part_id, read_manifest
from shared.spool.spool import Spool
from shared.spool.volume import attach

RECENT = 100


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What becomes of a part under one configuration.

    Args:
        targets: who gets it, by route and destination.
        held: why a person is needed; empty: it goes.
    """

    targets: dict[tuple[str, str], Target]
    held: str = ""


def diff(old: Config, new: Config, studies: str, *, since: datetime | None = None, json: bool = False) -> int:
    """Print what changes; 1 when something does.

    Args:
        old: the configuration whose spool has the studies.
        new: the other one.
        studies: "recent", or how many of the newest parts are looked at.
        since: only parts that were begun then or later; on this machine's clock without a zone.
        json: print JSON.
    """
    spool, most = attach(old), _count(studies)
    begun = None if since is None else since.astimezone()
    looked_at = reading.parts(spool, since=begun)[:most]
    rows = [row for part in looked_at if (row := _row(old, new, spool, part))]
    if json:
        as_json({"parts": len(looked_at), "changed": rows})
    else:
        _print(rows, len(looked_at))
    return int(bool(rows))


def changes(before: Outcome, after: Outcome) -> Iterator[str]:
    """What is otherwise under the second, in words without anything of the patient."""
    if before.held != after.held:
        yield f"held: {after.held}" if after.held else "not held any more"
    if after.held or before.held:
        return
    for key in sorted(before.targets.keys() | after.targets.keys()):
        (route, destination), was, now = key, before.targets.get(key), after.targets.get(key)
        if was is None or now is None:
            gone = "not to" if now is None else "to"
            yield f"{gone} {destination}, {(was or now).form} (route {route})"  # type: ignore[union-attr]
        else:
            yield from (f"{destination} (route {route}): {it}" for it in _otherwise(was, now))


def _otherwise(was: Target, now: Target) -> Iterator[str]:
    if was.peer != now.peer:
        yield "another host, port, AE title or TLS name"
    if was.form != now.form:
        yield f"{now.form} instead of {was.form}"
    elif was.version != now.version:
        yield f"{now.form}, but otherwise: the profile, the edit or its key is another"
    if was.waits_until != now.waits_until:
        yield f"not before {now.waits_until:%a %Y-%m-%d %H:%M}" if now.waits_until else "at once"
    if was.excluded != now.excluded:
        yield f"without {now.excluded} instead of {was.excluded} instances"
    if was.optional != now.optional:
        yield "optional" if now.optional else "not optional any more"


def _count(studies: str) -> int:
    if studies == "recent":
        return RECENT
    if not studies.isdigit() or not int(studies):
        raise StartError(f"--studies {one_line(studies)!r}: write recent ({RECENT} parts), or how many")
    return int(studies)


def _row(old: Config, new: Config, spool: Spool, part: Part) -> dict[str, Any] | None:
    manifest = reading.readable(lambda: read_manifest(spool, part.id), part.id)
    if manifest is None:
        return None
    decision = spool.read_json(f"parts/{part.id}/decision.json") or {}
    at = datetime.fromisoformat(decision["at"]) if "at" in decision else part.opened_at
    question = rehearsal.past(part, manifest)
    before = _outcome(explaining.explain(old, question, at, spool.store.root))
    after = _under(new, question, at, spool)
    changed = list(changes(before, after))
    return {"part": part.id, "source": part.source, "opened": part.opened_at, "changes": changed} if changed else None


def _under(new: Config, question: rehearsal.Question, at: datetime, spool: Spool) -> Outcome:
    """Under the other configuration the caller may be another source, or none."""
    part = question.part
    if new.source(part.source) is None or part.host:
        source = new.source_of(part.calling_ae_title, part.host or "127.0.0.1", part.called_ae_title)
        if source is None and new.source(part.source) is None:
            return Outcome(targets={}, held=f"refused: no source is {part.source!r} any more, nor calls as it did")
        if source is not None and source.name != part.source:
            files = {it.file: spool.store.path(it.file) for it in question.manifest.instances}
            question = replace(question, part=replace(part, id=new_part_id(), source=source.name), files=files)
    return _outcome(explaining.explain(new, question, at, spool.store.root))


def _outcome(explanation: Explanation) -> Outcome:
    if explanation.held:
        return Outcome(targets={}, held=str(explanation.held.reason))
    targets = {(it.route.name, to.destination): to for it in explanation.answers for to in it.targets}
    return Outcome(targets=targets)


def _print(rows: list[dict[str, Any]], looked_at: int) -> None:
    for row in rows:
        say(one_line(f"{row['part'][:10]} from {row['source']}, {clock(row['opened'])}"))
        for line in row["changes"]:
            say(one_line(f"    {line}"))
    say(f"{len(rows)} of {counted(looked_at, 'study part')} would go otherwise")
