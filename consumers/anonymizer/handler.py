"""A delivery in that needs its part in another form; the rendition with its proof, chunk by chunk.

Deterministic, so that two workers at once, or one after a crash, make the same bytes under the same names. What cannot
be edited or de-identified is held, instance by instance; the others go on.
"""

import contextlib
import hashlib
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import datetime, timedelta

from consumers.anonymizer.deidentify import rules_of
from consumers.anonymizer.files import Withheld, render
from consumers.anonymizer.recipe import Recipe
from consumers.anonymizer.rules import Rules
from shared import metrics
from shared.config import Config
from shared.config.rewriting import Edit
from shared.errors import DataSetError, PermanentError, StorageError
from shared.forms import ENGINE_VERSION, Form, rendition_id
from shared.outcomes import Next, Outcome
from shared.spool.corrections import read_corrections
from shared.spool.deliveries import Order, order_from_json
from shared.spool.drafts import Draft
from shared.spool.keys import id_of_key, read_key
from shared.spool.parts import Instance, Manifest, is_intact, read_manifest, read_part
from shared.spool.pins import pinned_edit, pinned_profile
from shared.spool.renditions import CHUNK, Proof, chunks, output_name, put_proofs, read_proofs
from shared.spool.spool import Spool
from shared.spool.store import Store
from shared.work import Claim

# Of the five minutes of a lease.
_RENEWED_BEFORE = timedelta(minutes=4)
_BATCH = 32


class Anonymizer:
    """Answers bells of deliveries at stage `render`.

    Args:
        spool: the spool.
        config: says where the keys lie.
    """

    def __init__(self, spool: Spool, config: Config) -> None:
        self._spool, self._config = spool, config
        self._rules: dict[Form, Rules] = {}
        self._edits: dict[Form, tuple[Edit, bytes | None]] = {}
        self._putting = ThreadPoolExecutor(1, "putting")

    def use(self, config: Config) -> None:
        """Another configuration is in force; what is pinned is made as it was pinned."""
        self._config = config

    def handle(self, claim: Claim) -> Outcome:
        """Make the next chunk that has no proof; on to the sender when each has."""
        order = order_from_json(claim.order)
        manifest = read_manifest(self._spool, order.part)
        if manifest is None:
            raise PermanentError("the part has no manifest", "bug")
        missing = [n for n in chunks(manifest) if read_proofs(self._spool, order.part, order.form, n) is None]
        if missing:
            self._make(claim, order, manifest, missing[0])
            if read_proofs(self._spool, order.part, order.form, missing[0]) is None:
                raise PermanentError("the proof that stands in the spool is about another part or form", "policy")
        return Next("render") if len(missing) > 1 else Next("send")

    def _make(self, claim: Claim, order: Order, manifest: Manifest, chunk: int) -> None:
        recipe = self._recipe_for(order)
        proofs: list[Proof] = []
        outputs = Outputs(self._spool.store, self._putting)
        try:
            for index in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(manifest.instances))):
                claim.check()
                self._renew(claim)
                proofs.append(self._instance(order, index, manifest.instances[index], recipe, outputs))
                metrics.INSTANCES_RENDERED.labels(
                    profile=order.form.profile or order.form.edit or "corrections", outcome=proofs[-1].outcome
                ).inc()
            outputs.finish()
        finally:
            outputs.discard()
        put_proofs(self._spool, order.part, order.form, chunk, proofs)

    def _renew(self, claim: Claim) -> None:
        """Say now and then that a long chunk goes on, or another worker takes it for abandoned."""
        if self._spool.lapsed(claim.state.lease, -_RENEWED_BEFORE):
            claim.record({})

    def _instance(self, order: Order, index: int, instance: Instance, recipe: Recipe, outputs: "Outputs") -> Proof:
        path = self._spool.store.path(instance.file)
        if not is_intact(path, instance):
            return _unusable(index, instance, "the bytes on disk are not those that were received")
        name = output_name(rendition_id(order.part, order.form), index)
        output = Output(self._spool.store.draft())
        is_made = False
        try:
            rendered = render(path, recipe, write=output.write)
            if isinstance(rendered, Withheld):
                return Proof(
                    index=index, input_sha256=instance.sha256, outcome=rendered.outcome, reason=rendered.reason
                )
            is_made = True
        except DataSetError as error:
            return _unusable(index, instance, error.reason)
        finally:
            if not is_made:
                output.draft.discard()
        outputs.put(name, output.draft)
        made = Instance(
            file=name,
            sha256=output.sha256,
            offset=output.offset,
            size=output.draft.size - output.offset,
            sop_class_uid=rendered.sop_class_uid,
            sop_instance_uid=rendered.sop_instance_uid,
            transfer_syntax_uid=rendered.transfer_syntax_uid,
        )
        return Proof(index=index, input_sha256=instance.sha256, outcome="made", made=made)

    def _recipe_for(self, order: Order) -> Recipe:
        """All that the form pins, made ready.

        Raises:
            PermanentError: something of it is gone; class policy.
        """
        form, part = order.form, read_part(self._spool, order.part)
        decision = self._spool.read_json(f"parts/{order.part}/decision.json")
        if part is None:
            raise PermanentError("the part is missing in the spool", "bug")
        edit, uid_key = self._edit_for(form) if form.edit else (None, None)
        corrections = read_corrections(self._spool, order.part, form.corrections) if form.corrections else None
        return Recipe(
            rules=self._rules_for(form) if form.kind == "deidentified" else None,
            issuer=form.issuer,
            corrections=corrections,
            edit=edit,
            edit_name=form.edit,
            uid_key=uid_key,
            facts={"source": part.source, "called": part.called_ae_title},
            # Not the time of making it, which differs from one making to the next.
            at=datetime.fromisoformat(decision["at"]) if decision else part.opened_at,
            system=self._config.relay.ae_title,
        )

    def _edit_for(self, form: Form) -> tuple[Edit, bytes | None]:
        """The pinned edit with the key of its UIDs, if it makes some; raises as `_rules_for`."""
        if form not in self._edits:
            edit = pinned_edit(self._spool, form.edit_hash)
            if edit is None:
                raise PermanentError(f"edit '{form.edit}' as it was pinned is not in the spool", "policy")
            key = read_key(self._config, edit) if form.edit_key_id else None
            if key is not None and id_of_key(key) != form.edit_key_id:
                raise PermanentError(f"the key of edit '{form.edit}' is not the one the study is pinned to", "policy")
            self._edits[form] = (edit, key)
        return self._edits[form]

    def _rules_for(self, form: Form) -> Rules:
        """The pinned profile with its key, made ready; never another profile, key or engine than the delivery pins.

        Raises:
            PermanentError: one of them is gone; class policy.
        """
        if form not in self._rules:
            profile = pinned_profile(self._spool, form.profile_hash)
            if profile is None:
                raise PermanentError(f"profile '{form.profile}' as it was pinned is not in the spool", "policy")
            if form.engine_version != ENGINE_VERSION:
                versions = f"engine {form.engine_version}, this is {ENGINE_VERSION}"
                raise PermanentError(f"the study is pinned to de-identification {versions}", "policy")
            key = read_key(self._config, profile)
            if id_of_key(key) != form.key_id:
                raise PermanentError(
                    f"the key of profile '{form.profile}' is not the one the study is pinned to", "policy"
                )
            self._rules[form] = rules_of(profile, key)
        return self._rules[form]


def _unusable(index: int, instance: Instance, reason: str) -> Proof:
    """The proof that an instance was held because it cannot be read."""
    return Proof(index=index, input_sha256=instance.sha256, outcome="held", reason=reason, dead_letter_class="invalid")


class Output:
    """An instance being written: the first piece is preamble and file meta, the rest the data set, hashed on the way.

    Args:
        draft: where it goes.
    """

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.offset = 0
        self._hash = hashlib.sha256()

    def write(self, piece: bytes | memoryview) -> None:
        """Take the next piece."""
        if self.offset:
            self._hash.update(piece)
        else:
            self.offset = len(piece)
        self.draft.write(piece)

    @property
    def sha256(self) -> str:
        """Hash of the data set so far, hexadecimal."""
        return self._hash.hexdigest()


class Outputs:
    """Outputs of one chunk on their way to their names, a batch at a time, while the next instances are read.

    Nobody looks for them before the chunk's proof is there, so one fsync of the folder does for a batch.

    Args:
        store: of the spool.
        putting: whose thread syncs and links.
    """

    def __init__(self, store: Store, putting: Executor) -> None:
        self._store, self._putting = store, putting
        self._batch: dict[str, Draft] = {}
        self._under_way: Future[None] | None = None

    def put(self, name: str, draft: Draft) -> None:
        """Take an output that is written.

        Raises:
            StorageError: this one, or one before, was refused.
        """
        self._batch[name] = draft
        if len(self._batch) == _BATCH:
            self._begin()

    def finish(self) -> None:
        """Return when all are durable; raises as `put`."""
        self._wait()
        if self._batch:
            batch, self._batch = self._batch, {}
            self._store.put_all_new(batch)

    def discard(self) -> None:
        """Forget what has no name yet, once nothing is under way; harmless after `finish`."""
        with contextlib.suppress(StorageError):
            self._wait()
        for draft in self._batch.values():
            draft.discard()

    def _begin(self) -> None:
        self._wait()
        batch, self._batch = self._batch, {}
        self._under_way = self._putting.submit(self._store.put_all_new, batch)

    def _wait(self) -> None:
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            under_way.result()
