"""The commands `pause` and `resume`."""

from datetime import datetime

from dcmrelay import acting
from dcmrelay.choosing import end_of
from dcmrelay.output import as_json, check_known, clock, progress, say
from dcmrelay.views import counted
from producers.replay.bulk import in_bulk
from producers.replay.hurry import waiting_for_resume, woken
from shared.config import Config
from shared.spool.pauses import Pause, pause_in_force, put_pause


def pause(config: Config, destination: str, *, until: datetime | None, for_: str, why: str, json: bool) -> None:
    """Hold back what is for a destination.

    Raises:
        StartError: no such destination, or an end that is none.
    """
    desk = acting.desk(config, why=why, json=json)
    check_known("destination", destination, (it.name for it in config.destinations))
    now = desk.spool.now()
    end = end_of(now, until, for_)
    put_pause(desk.spool, Pause(destination=destination, paused=True, at=now, until=end, by=desk.by, why=why))
    if json:
        as_json({"destination": destination, "paused": True, "until": end, "by": desk.by})
        return
    how = f"until {clock(end)}" if end else f"until `dcmrelay resume {destination}`"
    say(f"{destination} is paused {how}; at most the instance that is being sent is finished")


def resume(config: Config, destination: str, *, json: bool) -> None:
    """End a pause, and let what waits for its end go on; may be called again when it was interrupted.

    Raises:
        StartError: no such destination.
    """
    desk = acting.desk(config, why="", json=json)
    before = pause_in_force(desk.spool, destination)
    if before is None:  # a pause may outlast the destination's place in the configuration
        check_known("destination", destination, (it.name for it in config.destinations))
    if before is not None:
        now = desk.spool.now()
        put_pause(desk.spool, Pause(destination=destination, paused=False, at=now, until=None, by=desk.by, why=""))
    waiting, gone_on = waiting_for_resume(desk.spool, destination), 0
    with desk.bells() as bells, progress("resuming", len(waiting)) as advance:
        for batch in in_bulk(lambda unit: woken(desk.spool, unit, desk.by), waiting):
            bells.ring(one for one in batch if one is not None)
            gone_on += sum(one is not None for one in batch)
            advance(len(batch))
    if json:
        as_json({"destination": destination, "paused": False, "gone_on": gone_on, "rung": bells.all_rung})
        return
    say(f"{destination} {'goes on' if before else 'was not paused'}: {counted(gone_on, 'delivery', 'deliveries')}")
    if not bells.all_rung:
        say(acting.SWEEP_RINGS)
