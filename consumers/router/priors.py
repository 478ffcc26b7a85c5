"""Priors: earlier studies for comparison, which go to the service that the patient's last study was given to."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from consumers.router.rules import Header
from shared.config import Config, Route, Source
from shared.outcomes import Held
from shared.spool.last_choices import last_choice, note_choice
from shared.spool.pins import Choice, Pin
from shared.spool.spool import Spool

PATIENT_ID = "PatientID"


def followed(config: Config) -> set[str]:
    """The routes whose choices priors follow."""
    return {route.like for route in config.routes if route.like is not None}


def note_choices(
    spool: Spool,
    config: Config,
    source: Source,
    folder: str,
    pins: Collection[str],
    headers: Callable[[], Sequence[Header]],
) -> None:
    """Note for whom a study was given to a service; of instances that name several patients, for each.

    Args:
        spool: the spool.
        config: the configuration it was decided under.
        source: who sent it.
        folder: of the study's pins.
        pins: the routes that it goes by.
        headers: gives those of its instances; asked only when priors follow one of the routes.
    """
    for route in sorted(followed(config) & set(pins)):
        for patient in _patients(source, headers()):
            note_choice(spool, patient, route, folder)


def prior_choices(
    spool: Spool, config: Config, route: Route, source: Source, headers: Sequence[Header]
) -> tuple[Choice, ...] | Held:
    """Where a prior goes and in which form: as the patient's last study on the route that it follows.

    Args:
        spool: the spool.
        config: the configuration to decide under.
        route: of kind `prior`.
        source: who sent it.
        headers: of its instances.
    """
    patients = _patients(source, headers)
    if len(patients) != 1:
        return Held(f"route '{route.name}' needs one Patient ID in a study, this one has {len(patients)}", "policy")
    pin = last_choice(spool, patients[0], route.like or "", config.relay.follow)
    choice = None if pin is None else _given(pin, config.route(pin.route))
    if choice is None:
        return Held(
            f"route '{route.like}' gave no study of this patient to a service within relay.follow; replay it when one "
            "was given",
            "policy",
        )
    return (replace(choice, one_of=False, optional=False),)


def _given(pin: Pin, route: Route | None) -> Choice | None:
    """The service in a pin: the candidate, or what a person put in its place."""
    others = (*route.to, *route.optional) if route is not None else ()
    given = [it for it in pin.choices if it.one_of or it.destination not in others]
    return next(iter(given), None)


def _patients(source: Source, headers: Iterable[Mapping[str, tuple[str, ...]]]) -> list[tuple[str, str]]:
    domain = source.issuer or f"source {source.name}"
    ids = {text for header in headers for text in header.get(PATIENT_ID, ()) if text}
    return [(domain, text) for text in sorted(ids)]
