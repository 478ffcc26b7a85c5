"""The commands `resend` and `urgent`: a push for a study that is no dead letter."""

from collections.abc import Iterator
from typing import Any

from dcmrelay import acting, reading
from dcmrelay.acting import Desk
from dcmrelay.output import as_json, check_known, complain, one_line, say
from dcmrelay.views import SHORT, counted
from producers.replay.hurry import hurried
from producers.replay.orders import give, once_more
from shared.config import Config
from shared.errors import StartError
from shared.spool.deliveries import Ordered
from shared.spool.parts import Part, decided_deliveries
from shared.spool.pauses import pause_in_force
from shared.spool.spool import Spool
from shared.spool.units import Unit

Row = dict[str, Any]


def resend(config: Config, study: str, *, to: str, profile_now: bool, dry_run: bool, why: str, json: bool) -> int:
    """Order every delivery of a study once more; 1 when one may not be.

    Raises:
        StartError: nothing is known of the study, or no such destination.
    """
    desk = acting.desk(config, why=why or "sent again", json=json, dry_run=dry_run)
    check_known("destination", to, (it.name for it in config.destinations))
    rows: list[Row] = []
    with desk.bells() as bells:
        for part in _parts(desk.spool, study):
            found = list(once_more(desk.site, _deliveries(desk.spool, part), to=to, profile_now=profile_now))
            ordered = [it for it in found if isinstance(it, Ordered)]
            refused = [it for it in found if isinstance(it, str)] or ([] if ordered else ["it went nowhere"])
            try:
                ring = None if dry_run else give(desk.site, part.id, ordered)
            except ValueError as error:
                ordered, refused, ring = [], [*refused, str(error)], None
            bells.ring([ring] if ring is not None else [])
            rows += [_row(part, it) for it in ordered] + [{"part": part.id, "refused": why} for why in refused]
    _tell(desk, rows, rung=bells.all_rung)
    return int(any("refused" in row for row in rows))


def urgent(config: Config, study: str, *, why: str, json: bool) -> int:
    """Make a study's waiting deliveries urgent; 1 when none waits.

    Raises:
        StartError: nothing is known of the study.
    """
    desk = acting.desk(config, why=why, json=json)
    units = [unit for part in _parts(desk.spool, study) for unit in _deliveries(desk.spool, part)]
    done = list(hurried(desk.spool, units, by=desk.by, why=why))
    with desk.bells() as bells:
        bells.ring(ring for _, ring in done)
    if json:
        as_json({"urgent": [unit.id for unit, _ in done], "rung": bells.all_rung})
    elif done:
        names = sorted({str(unit.order["destination"]) for unit, _ in done})
        say(f"urgent: {counted(len(done), 'delivery', 'deliveries')} to {', '.join(names)}")
        for name in names:
            if pause_in_force(desk.spool, name) is not None:
                say(f"{name} is paused: `dcmrelay resume {name}` lets it go on")
    else:
        say(f"nothing of it waits that is not urgent already; `dcmrelay show {one_line(study)}` says where it is")
    if done and not json and not bells.all_rung:
        say(acting.SWEEP_RINGS)
    return int(not done)


def _parts(spool: Spool, study: str) -> list[Part]:
    """All parts of the study that is named, whichever of them was."""
    named = reading.find_parts(spool, study) if study else []
    if not named:
        raise StartError(f"nothing is known by {one_line(study)!r}; `dcmrelay studies` lists what is")
    uid = named[0].study_instance_uid
    if any(part.study_instance_uid != uid for part in named):
        raise StartError(f"{one_line(study)!r} means several studies; write more of it, or the Study Instance UID")
    keys = {part.study_key for part in named}
    return [part for part in reading.find_parts(spool, uid) if part.study_key in keys]


def _deliveries(spool: Spool, part: Part) -> Iterator[Unit]:
    found = (spool.deliveries.load(it) for it in decided_deliveries(spool, part.id) or ())
    return (unit for unit in found if unit is not None)


def _row(part: Part, ordered: Ordered) -> Row:
    order = ordered.order
    return {"part": part.id, "delivery": order.id, "destination": order.destination, "form": order.form.label}


def _tell(desk: Desk, rows: list[Row], *, rung: bool) -> None:
    if desk.json:
        as_json({"resent": rows, "rung": rung})
        return
    for row in rows:
        part = row["part"][:SHORT]
        if "refused" in row:
            complain(one_line(f"{part}: {row['refused']}"))
        else:
            would = "would go" if desk.dry_run else "goes"
            say(one_line(f"{part}: {would} to {row['destination']}, {row['form']}, as {row['delivery'][:SHORT]}"))
    if desk.dry_run:
        say("Nothing was changed.")
    elif not rung:
        say(acting.SWEEP_RINGS)
