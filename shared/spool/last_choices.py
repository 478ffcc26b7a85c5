"""Which study of a patient a route gave to one of its services last, so that priors can follow.

known/patients/<patient>/<route>/<k>.json    the folder of that study's pins; the highest k is the last, a few are kept

A patient is a keyed hash of the domain of patient IDs and the ID; neither can be read from it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from shared.spool.known import keyed_hash
from shared.spool.pins import Pin, newest_pin
from shared.spool.spool import Spool

PATIENTS = "known/patients"
_KEPT = 3


def note_choice(spool: Spool, patient: tuple[str, str], route: str, folder: str) -> None:
    """Note that a route chose a service for a study of a patient.

    Args:
        spool: the spool.
        patient: domain of patient IDs, and Patient ID.
        route: its name.
        folder: of the study's pins.
    """
    place = _place(spool, patient, route)
    names = spool.store.list(place)
    newest = spool.read_json(f"{place}/{names[-1]}") if names else None
    if newest is not None and newest["pins"] == folder:
        return
    k = int(names[-1].removesuffix(".json")) + 1 if names else 0
    spool.put_json(f"{place}/{k:08}.json", {"pins": folder, "at": spool.now().isoformat()})
    for name in spool.store.list(place)[:-_KEPT]:
        spool.store.delete(f"{place}/{name}")


def last_choice(spool: Spool, patient: tuple[str, str], route: str, follow: timedelta) -> Pin | None:
    """The pin of the study that a route chose a service for last, as it is in force; None when it lapsed, or none was.

    Args:
        spool: the spool.
        patient: domain of patient IDs, and Patient ID.
        route: its name.
        follow: how long a pin counts.
    """
    place = _place(spool, patient, route)
    names = spool.store.list(place)
    newest = spool.read_json(f"{place}/{names[-1]}") if names else None
    pin = None if newest is None else newest_pin(spool, newest["pins"], route)
    return None if pin is None or spool.lapsed(pin.made_at, follow) else pin


def lapsed_patients(spool: Spool, follow: timedelta) -> Iterator[str]:
    """Folders of patients for whom nothing was chosen lately, for who clears them."""
    for patient in spool.store.list(PATIENTS):
        places = [f"{PATIENTS}/{patient}/{route}" for route in spool.store.list(f"{PATIENTS}/{patient}")]
        newest = (spool.read_json(f"{place}/{names[-1]}") for place in places if (names := spool.store.list(place)))
        if all(it is None or spool.lapsed(datetime.fromisoformat(it["at"]), follow) for it in newest):
            yield f"{PATIENTS}/{patient}"


def _place(spool: Spool, patient: tuple[str, str], route: str) -> str:
    domain, patient_id = patient
    hashed = keyed_hash(spool, f"{domain}\\{patient_id}")
    return f"{PATIENTS}/{hashed[:32]}/{route}"
