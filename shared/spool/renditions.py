"""Renditions: a part in a form, made once, with the proof of how each instance was made.

renditions/<id>/instances/<index>    a Part 10 file; index is the instance's place in the part's manifest
renditions/<id>/proof-<chunk>.json   per 500 instances: input hash, output facts, or why an instance was withheld
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from shared.forms import Form, form_to_json, rendition_id
from shared.spool.parts import Instance, Manifest
from shared.spool.spool import Spool

CHUNK = 500


@dataclass(frozen=True, kw_only=True)
class Proof:
    """How one instance of a rendition was made.

    Args:
        index: its place in the part's manifest.
        input_sha256: hash of the data set that went in.
        outcome: `made`, or why there is no output: `held` for a person, `dropped` by the profile.
        made: the output, when made.
        reason: why it was withheld, without values.
        dead_letter_class: of a held one: `policy` when the profile says so, `invalid` when its bytes cannot be used.
    """

    index: int
    input_sha256: str
    outcome: Literal["made", "held", "dropped"]
    made: Instance | None = None
    reason: str = ""
    dead_letter_class: Literal["policy", "invalid"] = "policy"


def output_name(rendition: str, index: int) -> str:
    """The name of an instance of a rendition."""
    return f"renditions/{rendition}/instances/{index:06}"


def chunks(manifest: Manifest) -> range:
    """Numbers of the chunks that a rendition of this part has."""
    return range((len(manifest.instances) + CHUNK - 1) // CHUNK)


def put_proofs(spool: Spool, part: str, form: Form, chunk: int, proofs: Iterable[Proof]) -> bool:
    """Write the proof of a chunk, after its instances; False when somebody had: the same, by construction."""
    content = {"part": part, "form": form_to_json(form), "instances": [asdict(proof) for proof in proofs]}
    return spool.put_json(f"renditions/{rendition_id(part, form)}/proof-{chunk:06}.json", content)


def read_proofs(spool: Spool, part: str, form: Form, chunk: int) -> list[Proof] | None:
    """The proof of a chunk, or None when it was not made, or speaks of another part or form."""
    content = spool.read_json(f"renditions/{rendition_id(part, form)}/proof-{chunk:06}.json")
    if content is None or content["part"] != part or content["form"] != form_to_json(form):
        return None
    return [_proof(entry) for entry in content["instances"]]


def _proof(entry: dict[str, Any]) -> Proof:
    made = entry["made"]
    return Proof(**{**entry, "made": None if made is None else Instance(**made)})
