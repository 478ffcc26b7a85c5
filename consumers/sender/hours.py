"""When a destination is sent to, and how fast: `send_during`, `max_rate`. No I/O, no clock, no globals."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from shared.calendar import hours, next_opening
from shared.config import Config
from shared.config.peers import Destination
from shared.config.rules import Calendar

# A calendar that does not open within 400 days is looked at again by then.
_NEVER = timedelta(days=1)


@dataclass(frozen=True)
class SendingHours:
    """The hours in which a delivery to a destination may begin.

    Args:
        calendar: None: always.
        zone: where its wall clock hangs.
        name: of the calendar, for people.
    """

    calendar: Calendar | None
    zone: ZoneInfo
    name: str = ""

    def is_open(self, now: datetime) -> bool:
        """Whether something may begin."""
        return hours(self.calendar, now, self.zone).is_open

    def closed(self, now: datetime) -> tuple[str, datetime]:
        """Why nothing may begin, and until when."""
        until = next_opening((self.calendar,), now, self.zone) or now + _NEVER
        return f"outside the calendar '{self.name}' of send_during", until


def rate_of(config: Config, destination: Destination) -> Callable[[datetime], float | None]:
    """What `max_rate` says of a moment: bytes per second, the first entry whose calendar is open; None: no limit."""
    zone = ZoneInfo(config.relay.timezone)
    entries = [
        (it.rate, None if it.during is None else config.calendars[it.during]) for it in destination.max_rate or ()
    ]
    return lambda now: next((rate for rate, calendar in entries if hours(calendar, now, zone).is_open), None)


def hours_of(config: Config, destination: Destination) -> SendingHours:
    """The hours of a destination of a configuration."""
    name = destination.send_during
    calendar = None if name is None else config.calendars[name]
    return SendingHours(calendar, ZoneInfo(config.relay.timezone), name or "")
