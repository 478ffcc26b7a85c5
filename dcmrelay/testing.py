"""The command `test`: the whole way to a destination, step by step, or one message through a notifier."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
)

from consumers.sender import statuses
from dcmrelay.echoing import calling_ae_title
from dcmrelay.output import as_json, complain, one_line, say
from dcmrelay.trial_instance import encoded, trial_instance
from shared import tls
from shared.config import Config, Destination
from shared.dimse import VERIFICATION, Association, Timeouts, request
from shared.errors import NotifyError, PeerError, PeerRejectedError, PeerUnreachableError, StartError
from shared.notices import sending

_STORES = {"CT": CTImageStorage, "MR": MRImageStorage, "Secondary Capture": SecondaryCaptureImageStorage}
_SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_TIMEOUTS = Timeouts(connect=5, associate=10, response=20, pdu=20)


@dataclass(frozen=True)
class Step:
    """One step of a test.

    Args:
        name: such as `TCP`.
        ok: whether it went well.
        said: what was seen; of one that failed, with what to do.
    """

    name: str
    ok: bool
    said: str


def try_destination(config: Config, name: str, *, store: bool, json: bool) -> int:
    """Print one line for each step on the way to a destination; 1 when one failed.

    Raises:
        StartError: there is no such destination, or a file of its [destination.tls] cannot be used.
    """
    destination = config.destination(name)
    if destination is None:
        known = ", ".join(known.name for known in config.destinations) or "none"
        raise StartError(f"there is no destination {one_line(name)!r} in the configuration; it has: {known}")
    return report("destination", name, steps(config, destination, store=store), json=json)


def report(what: str, name: str, found: Iterable[Step], *, json: bool) -> int:
    """Print a line for each step, as it is taken; 1 when one failed."""
    taken: list[Step] = []
    for step in found:
        taken.append(step)
        if not json:
            (say if step.ok else complain)(one_line(f"{'ok  ' if step.ok else 'FAIL'} {step.name}: {step.said}"))
    is_well = all(step.ok for step in taken)
    if json:
        as_json({what: name, "ok": is_well, "steps": [asdict(it) for it in taken]})
    return int(not is_well)


def try_notifier(config: Config, name: str, *, json: bool) -> int:
    """Send a message that says that nothing is wrong; 1 when it was not taken.

    Raises:
        StartError: there is no such notifier.
    """
    notify = next((it for it in config.notify if it.name == name), None)
    if notify is None:
        known = ", ".join(str(it.name) for it in config.notify) or "none; add a [[notify]]"
        raise StartError(f"there is no notifier {one_line(name)!r} in the configuration; it has: {known}")
    why = ""
    try:
        sending.send(notify, sending.trial_message(config.relay.ae_title, name, datetime.now(UTC)))
    except NotifyError as error:
        why = str(error)
    if json:
        as_json({"notifier": name, "ok": not why, "why": why})
    elif why:
        complain(one_line(why))
    else:
        say(f"notifier {name}: took a test message; see that it arrived")
    return int(bool(why))


def steps(config: Config, destination: Destination, *, store: bool, timeouts: Timeouts = _TIMEOUTS) -> Iterator[Step]:
    """What was tried, as it is tried; after a failure only what can be tried all the same."""
    calling, where = calling_ae_title(config, destination), f"{destination.host}:{destination.port}"
    secured = tls.of_destination(destination)
    contexts = [(VERIFICATION, _SYNTAXES[1:]), *((uid, (syntax,)) for uid in _STORES.values() for syntax in _SYNTAXES)]
    try:
        association = request(
            destination.host, destination.port, calling_ae_title=calling, called_ae_title=destination.ae_title,
            contexts=contexts, timeouts=timeouts, tls=secured,
        )  # fmt: skip
    except PeerError as error:
        yield from _unconnected(error, destination, calling)
        return
    yield Step("TCP", True, f"{where} accepts connections")
    if secured is not None:
        yield Step("TLS", True, "the peer is the one meant, and takes our certificate")
    yield Step("association", True, f"{destination.ae_title} accepted {calling}")
    try:
        with association:
            yield _contexts(association)
            yield from _asked(association, config, destination, store=store)
    except PeerError as error:
        yield Step("conversation", False, f"{error}; ask the people there to look into its log")


def _unconnected(error: PeerError, destination: Destination, calling: str) -> Iterator[Step]:
    where = f"{destination.host}:{destination.port}"
    is_tls = destination.tls is not None and str(error).startswith("no TLS with")
    if isinstance(error, PeerUnreachableError) and not is_tls:
        yield Step("TCP", False, f"{error}; check host and port, that it runs, and the firewalls in between")
        return
    yield Step("TCP", True, f"{where} accepts connections")
    if is_tls:
        remedy = "check name, ca, certificate and key in its [destination.tls], and whom the people there trust"
        yield Step("TLS", False, f"{error}; {remedy}")
        return
    if destination.tls is not None:
        yield Step("TLS", True, "the peer is the one meant, and takes our certificate")
    if isinstance(error, PeerRejectedError):
        remedy = {
            (1, 3): f"the people there must add {calling} with this machine's address",
            (1, 7): f"it is not called {destination.ae_title}; ask its people for its AE title and mend ae_title",
        }.get((error.source, error.reason), f"ask its people why it refuses {calling}; it may be busy")
    else:
        remedy = "check that a DICOM application listens there, and whether it wants TLS"
    yield Step("association", False, f"{error}; {remedy}")


def _contexts(association: Association) -> Step:
    accepted = [name for name, uid in _STORES.items() if _syntax_for(association, uid)]
    if accepted:
        return Step("presentation contexts", True, f"stores {', '.join(accepted)}")
    return Step("presentation contexts", False, "it stores neither CT, MR nor Secondary Capture; ask its people why")


def _asked(association: Association, config: Config, destination: Destination, *, store: bool) -> Iterator[Step]:
    if association.accepted_context(VERIFICATION, ImplicitVRLittleEndian) is None:
        yield Step("C-ECHO", True, "not asked, as it does not accept Verification; studies can be sent all the same")
    else:
        status = association.echo()
        remedy = "" if status == 0 else "; ask the people there why"
        yield Step("C-ECHO", status == 0, f"answered with status {status:04X}{remedy}")
    chosen = next(
        ((uid, syntax) for uid in reversed(_STORES.values()) if (syntax := _syntax_for(association, uid))), None
    )
    if store and chosen is not None:
        yield _stored(association, config, destination, *chosen)


def _stored(association: Association, config: Config, destination: Destination, sop_class: str, syntax: str) -> Step:
    ds = trial_instance(config.relay.ae_title, destination.name, sop_class)
    content = encoded(ds, syntax)
    context_id = association.accepted_context(sop_class, syntax)
    assert context_id is not None  # noqa: S101  (it was asked for)
    status = association.store(
        memoryview(content), 0, len(content),
        context_id=context_id, sop_class_uid=sop_class, sop_instance_uid=str(ds.SOPInstanceUID),
    )  # fmt: skip
    ok = statuses.meaning(status) == "delivered"
    remedy = f"its people may delete patient {ds.PatientID}" if ok else "ask the people there what it objects to"
    return Step("C-STORE", ok, f"an image of {ds.PatientName}: {statuses.text(status)}; {remedy}")


def _syntax_for(association: Association, sop_class: str) -> str:
    return next((str(it) for it in _SYNTAXES if association.accepted_context(sop_class, it) is not None), "")
