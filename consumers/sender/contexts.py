"""Presentation contexts: which are proposed, and in which of those accepted an instance goes. No I/O.

Source: PS3.8 9.3.2.2 (contexts), PS3.5 section 10 (transfer syntaxes).
"""

from collections.abc import Iterable, Mapping

from consumers.sender.transcoding.transcoder import IMPLICIT_LITTLE_ENDIAN, TARGETS
from shared.dimse import VERIFICATION, Association
from shared.spool.parts import Instance

CONTEXTS_AT_MOST = 128


def contexts_for(instances: Iterable[Instance], *, may_transcode: bool = False) -> list[tuple[str, list[str]]]:
    """Presentation contexts to propose: each SOP class in each stored transfer syntax, at most 128.

    Args:
        instances: what is to be sent.
        may_transcode: propose the SOP class in what instances can be transcoded to, too, and Verification to say that
            we live meanwhile.
    """
    pairs = dict.fromkeys((it.sop_class_uid, it.transfer_syntax_uid) for it in instances)
    last = [(VERIFICATION, IMPLICIT_LITTLE_ENDIAN)] if may_transcode else []
    chosen: dict[tuple[str, str], None] = {}
    for sop_class, stored in pairs:
        syntaxes = (stored, *TARGETS) if may_transcode else (stored,)
        more = [(sop_class, it) for it in syntaxes if (sop_class, it) not in chosen]
        if len(chosen) + len(more) + len(last) > CONTEXTS_AT_MOST:
            break
        chosen |= dict.fromkeys(more)
    return [(sop_class, [transfer_syntax]) for sop_class, transfer_syntax in (*chosen, *last)]


def within(instances: Mapping[str, Instance], contexts: list[tuple[str, list[str]]]) -> dict[str, Instance]:
    """The instances that these contexts were proposed for; the others need another association."""
    proposed = {(sop_class, transfer_syntaxes[0]) for sop_class, transfer_syntaxes in contexts}
    return {i: it for i, it in instances.items() if (it.sop_class_uid, it.transfer_syntax_uid) in proposed}


def has_contexts(association: Association, instances: Iterable[Instance], *, may_transcode: bool) -> bool:
    """Whether an association was asked for what each of these instances is stored in, and can send each somehow."""
    pairs = {(it.sop_class_uid, it.transfer_syntax_uid): it for it in instances}
    return association.proposed >= pairs.keys() and all(
        association.accepted_context(it.sop_class_uid, syntax_for(association, it, may_transcode=may_transcode))
        is not None
        for it in pairs.values()
    )


def syntax_for(association: Association, instance: Instance, *, may_transcode: bool) -> str:
    """The transfer syntax an instance goes in: as stored if that was accepted, or cannot be helped."""
    stored = instance.transfer_syntax_uid
    candidates = (stored, *TARGETS) if may_transcode else (stored,)
    accepted = (it for it in candidates if association.accepted_context(instance.sop_class_uid, it) is not None)
    return next(accepted, stored)


def not_accepted(instance: Instance, *, may_transcode: bool) -> str:
    """Why an instance for which there is no context is refused, and what would help."""
    why = f"the destination does not accept {instance.sop_class_uid} in {instance.transfer_syntax_uid}"
    if may_transcode:
        return why
    return f'{why}; transcode = "lossless" at the destination sends it uncompressed'
