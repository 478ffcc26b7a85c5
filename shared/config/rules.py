"""What is done with a study: [calendar.NAME], [[check]], [edit.NAME], [[route]]."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from shared.config.conditions import Match
from shared.config.fields import (
    DateKeyword,
    Days,
    Duration,
    Listed,
    Name,
    OpenWindow,
    PresentKeyword,
    RegularExpression,
    Several,
    Table,
    ValueKeyword,
    ValueLists,
)
from shared.config.rewriting import Edit as Edit


class Calendar(Table):
    """[calendar.NAME]: when somebody is there.

    Args:
        open: weekly windows.
        closed_on: dates whose windows do not start; the night before keeps its tail.
        also_open_on: dates that are open from 00:00 to 24:00; they count even when a file of `closed_on` has them.

    In the file a list of dates may name iCalendar files ("holidays.ics", relative to the configuration) beside dates.
    """

    open: Several[OpenWindow]
    closed_on: Days = ()
    also_open_on: Days = ()


class Check(Table):
    """[[check]]: what must hold before routing.

    Args:
        match: which instances it looks at.
        require: keywords that must have a value.
        pattern: by keyword, a regular expression that each value must fit; no value is looked at as an empty one.
        values: by keyword, the values there may be; no value is looked at as an empty one. In the file a CSV file may
            be named instead, whose column of that name lists them.
        dates: elements whose dates must be dates, and plausible.
        one_patient_per_study: whether one source may send a study of one patient only.
        unchanged: elements that stay what they were in earlier parts of the study, whoever sends it; one without a
            value is not looked at.
        on_failure: "hold" makes a dead letter, "warn" only counts.
    """

    name: Name
    match: Match = Field(default_factory=dict)
    require: Listed[PresentKeyword] = ()
    pattern: dict[ValueKeyword, RegularExpression] = Field(default_factory=dict)
    values: ValueLists = Field(default_factory=dict)
    dates: Listed[DateKeyword] = ()
    one_patient_per_study: bool = False
    unchanged: Listed[ValueKeyword] = ()
    on_failure: Literal["hold", "warn"] = "hold"

    @property
    def asks(self) -> bool:
        """Whether it asks anything of the instances that it looks at."""
        asked = (self.require, self.pattern, self.values, self.dates, self.one_patient_per_study, self.unchanged)
        return any(asked)


class Candidate(Table):
    """One entry of `one_of`.

    Args:
        destination: its name.
        during: name of the calendar of its hours; None: always.
        as_backup: "open": takes over inside its hours only, "always": outside them too, "never": does not take over.
        profile: how it is de-identified for this one; None: as the route says.
        edit: what is changed for this one; None: as the route says.
    """

    destination: str
    during: str | None = None
    as_backup: Literal["open", "always", "never"] = "open"
    profile: str | None = None
    edit: str | None = None


class Route(Table):
    """[[route]]: which studies, to whom, in which form.

    Args:
        match: by key of the relay, DICOM keyword or path: patterns of which one must fit, or a table of conditions; all
            keys must hold; empty: all.
        profile: how it is de-identified; None: it is not.
        edit: what is changed; None: nothing.
        correction: what the edit changes is a correction: the SOP Instance UIDs stay.
        to: destinations that all get it.
        optional: destinations that get it and never delay or fail the study.
        one_of: candidates of which one gets it.
        kind: "new", or "prior": it follows the patient's last choice on the route `like`, and is not a new reading.
        like: name of that route, which has `one_of`.
        last: routes below are not looked at when this one matches.
        hand_over_after: a candidate that has answered nothing with success for so long fails.
        hand_over_after_urgent: the same for an urgent study; None: as for others.
        when_partial: what to do when the one that fails has some of the study: "move" it all the same, or "hold".
        mode: "auto" hands over by itself, "ask" holds the study for a person instead.
    """

    name: Name
    match: Match = Field(default_factory=dict)
    profile: str | None = None
    edit: str | None = None
    correction: bool = False
    to: Listed[str] = ()
    optional: Listed[str] = ()
    one_of: Listed[Candidate] = ()
    kind: Literal["new", "prior"] = "new"
    like: str | None = None
    last: bool = False
    priority: Literal["routine", "urgent"] = "routine"
    hand_over_after: Duration = timedelta(minutes=10)
    hand_over_after_urgent: Duration | None = None
    when_partial: Literal["move", "hold"] = "move"
    mode: Literal["auto", "ask"] = "auto"
    accepted_within: Duration | None = None

    @property
    def destinations(self) -> tuple[str, ...]:
        """Every destination it may deliver to, in the order of the file."""
        return self.to + self.optional + tuple(c.destination for c in self.one_of)

    def towards(self, destination: str) -> "Route":
        """Return the route as it is for one destination: with the profile and edit of that candidate, if it has any."""
        candidate = next((it for it in self.one_of if it.destination == destination), None)
        own = {} if candidate is None else {"profile": candidate.profile, "edit": candidate.edit}
        return self.model_copy(update={key: name for key, name in own.items() if name is not None})
