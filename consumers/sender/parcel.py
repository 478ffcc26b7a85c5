"""What of a delivery may leave, in the form it is bound to: the second of the two locks.

The form that the delivery pins is checked against the proof of every instance right before each association; in doubt
nothing leaves.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shared.errors import PermanentError
from shared.forms import rendition_id
from shared.spool.deliveries import Order
from shared.spool.parts import Instance, Manifest, read_manifest
from shared.spool.renditions import Proof, chunks, output_name, read_proofs
from shared.spool.spool import Spool

_EXCLUDED = "excluded for this destination"


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """The instances of a delivery, by their index in the part's manifest.

    Args:
        count: instances of the part.
        instances: those that may leave, in the form of the delivery.
        held: reasons, of those that the profile holds for a person.
        dropped: reasons, of those that the profile drops.
        invalid: those that when held are so for their own bytes, and not by the profile or for want of proof.
    """

    count: int
    instances: Mapping[str, Instance]
    held: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    invalid: frozenset[str] = frozenset()

    def left(self, facts: Mapping[str, Any]) -> dict[str, Instance]:
        """The instances that no record says were answered for good; those that failed go last, the latest at the end.

        So one that the destination always fails at does not keep back the others.
        """
        failed = {index: int(tries) for index, tries in facts.get("failed", {}).items()}
        left = [index for index in self.instances if not is_answered(index, facts)]
        return {index: self.instances[index] for index in sorted(left, key=lambda index: failed.get(index, -1))}


def is_answered(index: str, facts: Mapping[str, Any]) -> bool:
    """Whether a record says that an instance was answered for good."""
    return any(index in facts.get(word, {}) for word in ("delivered", "refused", "held", "elsewhere"))


def pack(spool: Spool, order: Order, *, deidentified_only: bool) -> Parcel:
    """Find what may leave: what is proven, without what never goes to the destination.

    Args:
        spool: the spool.
        order: the delivery.
        deidentified_only: the destination takes nothing without proof.

    Raises:
        PermanentError: something is missing or does not agree; nothing may leave.
    """
    return _without(_packed(spool, order, deidentified_only=deidentified_only), order.excluded)


def _without(parcel: Parcel, excluded: tuple[int, ...]) -> Parcel:
    """The parcel without the instances that the router left out for this destination."""
    out = {str(index): _EXCLUDED for index in excluded}
    return replace(
        parcel,
        instances={index: instance for index, instance in parcel.instances.items() if index not in out},
        held={index: reason for index, reason in parcel.held.items() if index not in out},
        dropped={**parcel.dropped, **out},
    )


def _packed(spool: Spool, order: Order, *, deidentified_only: bool) -> Parcel:
    manifest = read_manifest(spool, order.part)
    if manifest is None:
        raise PermanentError("the part has no manifest", "bug")
    if deidentified_only and order.form.kind != "deidentified":
        raise PermanentError(
            f"destination '{order.destination}' takes nothing without proof of de-identification", "policy"
        )
    if order.form.kind != "received":
        return _proven(spool, order, manifest)
    instances = {str(i): it for i, it in enumerate(manifest.instances)}
    return Parcel(count=len(instances), instances=instances, invalid=frozenset(instances))


def _proven(spool: Spool, order: Order, manifest: Manifest) -> Parcel:
    proofs = list(_proofs(spool, order, manifest))
    rendition = rendition_id(order.part, order.form)
    made: dict[str, Instance] = {}
    for index, (proof, instance) in enumerate(zip(proofs, manifest.instances, strict=False)):
        if proof.index != index or proof.input_sha256 != instance.sha256:
            raise PermanentError(f"{_proof_of(order)} is about other instances", "policy")
        if proof.outcome == "made":
            if proof.made is None or proof.made.file != output_name(rendition, index):
                raise PermanentError(f"{_proof_of(order)} names another file", "policy")
            made[str(index)] = proof.made
    if len(proofs) != len(manifest.instances):
        raise PermanentError(f"{_proof_of(order)} does not cover every instance", "policy")
    held = {str(proof.index): proof.reason for proof in proofs if proof.outcome == "held"}
    dropped = {str(proof.index): proof.reason for proof in proofs if proof.outcome == "dropped"}
    invalid = frozenset(str(it.index) for it in proofs if it.outcome == "held" and it.dead_letter_class == "invalid")
    return Parcel(count=len(proofs), instances=made, held=held, dropped=dropped, invalid=invalid)


def _proofs(spool: Spool, order: Order, manifest: Manifest) -> Iterator[Proof]:
    for chunk in chunks(manifest):
        proofs = read_proofs(spool, order.part, order.form, chunk)
        if proofs is None:
            raise PermanentError(f"no {_proof_of(order)[4:]}", "policy")
        yield from proofs


def _proof_of(order: Order) -> str:
    return "the proof of de-identification" if order.form.kind == "deidentified" else "the proof of the edit"
