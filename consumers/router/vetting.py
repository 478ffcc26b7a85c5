"""A part against its checks, before it is routed and against what is known of its study."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from consumers.router.changed import KEYWORDS, SERIES, changed_instances
from consumers.router.checks import (
    Constant,
    Failure,
    applying,
    constants_of,
    failures_of,
    keywords_of_checks,
    reason_of,
)
from consumers.router.rules import Header
from shared import metrics
from shared.config import Config, Source
from shared.outcomes import Held
from shared.spool.known import is_as_known
from shared.spool.parts import Manifest, Part
from shared.spool.spool import Spool


class Vetting:
    """One part and the checks that look at it.

    Args:
        spool: the spool.
        config: the configuration to decide under.
        part: the part.
        manifest: its instances.
        facts: what the relay knows of it.
        headers: gives the headers of its instances; asked only when a check looks at them.
    """

    def __init__(
        self,
        spool: Spool,
        config: Config,
        part: Part,
        manifest: Manifest,
        facts: Mapping[str, str],
        headers: Callable[[], Sequence[Header]],
    ) -> None:
        self._spool, self._config, self._part, self._manifest = spool, config, part, manifest
        self._checks, self._headers = applying(config.checks, facts), headers
        source = config.source(part.source)
        self._looks_for_changed = source is not None and config.holds_changed(source)
        self._failures: list[Failure] = []
        self._constants: list[Constant] = []

    @property
    def keywords(self) -> set[str]:
        """DICOM keywords and paths that it asks the instances about."""
        return keywords_of_checks(self._checks) | ({SERIES, *KEYWORDS} if self._looks_for_changed else set())

    def before_routing(self, source: Source, today: date) -> Held | None:
        """Why the part by itself may not be routed; None when it may.

        Args:
            source: who sent it.
            today: by the relay's clock.
        """
        for check in self._checks:
            self._failures += failures_of(check, self._headers(), today)
            for it in constants_of(check, self._headers(), source.name):
                (self._failures if isinstance(it, Failure) else self._constants).append(it)  # type: ignore[arg-type]
        if self._looks_for_changed:
            self._failures += changed_instances(self._spool, self._part, self._manifest, self._headers())
        return self._held()

    def against_study(self) -> Held | None:
        """Why the part is not of the study that it says; None when nothing else is known of it.

        Asked last, of a part that is about to be routed: what the first one says is what the study is known by.
        """
        follow, study = self._config.relay.follow, self._part.study_instance_uid
        for it in self._constants:
            if not is_as_known(self._spool, study, it.name, it.text, follow):
                self._failures.append(it.failure)
        return self._held()

    def warnings(self) -> list[dict[str, Any]]:
        """What it failed and goes on with, as the decision keeps it."""
        return [
            {"check": it.check, "element": it.element, "what": it.what, "instances": it.instances}
            for it in self._failures
        ]

    def _held(self) -> Held | None:
        holding = [it for it in self._failures if it.holds]
        for name in {it.check for it in holding}:
            metrics.CHECK_FAILURES.labels(check=name, outcome="held").inc()
        return Held(reason_of(holding), "invalid") if holding else None


def count_warnings(warned: Sequence[Mapping[str, Any]]) -> None:
    """Count the checks that a routed part failed and went on with, each once."""
    for name in {str(it["check"]) for it in warned}:
        metrics.CHECK_FAILURES.labels(check=name, outcome="warned").inc()
