"""One instance on its way in: written as received, hashed on the way, in its part and durable before success."""

from collections.abc import Callable

import structlog

from producers.ingress.acceptance import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS, status_of
from producers.ingress.parts import OpenPart, OpenParts, Session
from shared import glance, metrics
from shared.dimse import StoreRequest, part10_header
from shared.errors import DataSetError, StorageError
from shared.headers import Identity, read_identity
from shared.spool.commitments import received_name, refused_lately
from shared.spool.drafts import storage_error
from shared.spool.parts import Instance, Part, instance_name, is_closed, new_part_id, open_part
from shared.spool.spool import Spool

log = structlog.get_logger()
_LOOK_BYTES = 16 << 20


class Sink:
    """A `StoreSink` for one C-STORE request.

    Args:
        spool: where it goes.
        parts: the parts being received.
        session: the association.
        request: what the command said.
        run: id of this ingress run.
        quiet: the source's `quiet` and `quiet_after_release`, seconds.
        has_room: asked again while a large instance comes.

    Raises:
        StorageError: no temporary file could be made.
    """

    def __init__(
        self,
        spool: Spool,
        parts: OpenParts,
        session: Session,
        request: StoreRequest,
        *,
        run: str,
        quiet: tuple[float, float],
        has_room: Callable[[], bool],
    ) -> None:
        self._spool, self._parts, self._session, self._request = spool, parts, session, request
        self._run, self._quiet = run, quiet
        self._has_room, self._look_at = has_room, _LOOK_BYTES
        self._head = bytearray()
        self._draft, session.spare = session.spare or spool.store.draft(), None
        header = part10_header(
            sop_class_uid=request.affected_sop_class_uid,
            sop_instance_uid=request.affected_sop_instance_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            source_ae_title=session.source.ae_title,
        )
        try:
            self._draft.write(header)
        except BaseException:
            self._draft.discard()
            raise
        self._offset = len(header)
        self._draft.hash_from_here()
        session.receiving = True

    def write(self, chunk: memoryview) -> None:
        """Take the next bytes of the data set.

        Raises:
            StorageError: the disk refused, or has less than `min_free` by now.
        """
        if self._draft.size > self._look_at:
            self._look_at += _LOOK_BYTES
            if not self._has_room():
                raise StorageError("no room for the rest of an instance; make room, or lower [ingress] min_free")
        if len(self._head) < glance.LONGEST:
            self._head += chunk[: glance.LONGEST]
        self._draft.write(chunk)

    def commit(self) -> int:
        """The data set is whole: judge it, put it in its part, and return the status to answer.

        Raises:
            StorageError: it could not be made durable; nothing stands under its name.
        """
        with metrics.timed(metrics.STORE_SECONDS):
            try:
                identity = self._identity()
                status = status_of(self._request, identity)
            except DataSetError as error:
                log.warning("not_understood", source=self._session.source.name, why=error.reason)
                status = CANNOT_UNDERSTAND
            if status == SUCCESS:
                status = self._keep(identity)
        self._session.receiving = False
        self._draft.discard()
        return answered(self._session, status, self._draft.size - self._offset)

    def discard(self) -> None:
        """The instance will not be whole, or could not be kept: nothing of it stays."""
        self._session.receiving = False
        self._draft.discard()
        answered(self._session, OUT_OF_RESOURCES)

    def _identity(self) -> Identity:
        seen = glance.identity_in(bytes(self._head), self._request.transfer_syntax_uid)
        if seen is not None:
            return seen
        try:
            return read_identity(self._draft.path)
        except OSError as error:
            raise storage_error("read a draft in", self._draft.path.parent, error) from error

    def _keep(self, identity: Identity) -> int:
        source, proposal = self._session.source, self._session.proposal
        key = (source.name, proposal.called_ae_title, identity.study_instance_uid)
        to = self._parts.begin_storing(lambda: self._new_part(identity), key, self._quiet, self._session)
        kept: Instance | None = None
        try:
            self._make(to)
            kept = self._put(to, identity)
        finally:
            self._parts.end_storing(to, kept)
        return OUT_OF_RESOURCES if kept is None else SUCCESS

    def _make(self, to: OpenPart) -> None:
        """Tell the spool of the part, once; others of the study wait for it."""
        with to.making:
            if not to.made:
                if self._session.source.commitment is not None or refused_lately(self._spool, to.part.source):
                    self._spool.store.put_new(received_name(to.part), b"")
                open_part(self._spool, to.part)
                to.made = True

    def _put(self, to: OpenPart, identity: Identity) -> Instance | None:
        """The instance in its part; None when somebody closed the part meanwhile, so that it must be sent again.

        Asked after the link: whoever closes a part looks again after its manifest, so one of the two sees the other.
        """
        self._draft.sync()
        sha256 = self._draft.sha256
        name = instance_name(to.part.id, sha256)
        self._spool.store.put_new(name, self._draft)
        if is_closed(self._spool, to.part.id):
            log.warning("closed_meanwhile", part=to.part.id)
            self._parts.set_apart(to)
            return None
        return Instance(
            file=name,
            sha256=sha256,
            offset=self._offset,
            size=self._draft.size - self._offset,
            sop_class_uid=identity.sop_class_uid,
            sop_instance_uid=identity.sop_instance_uid,
            transfer_syntax_uid=self._request.transfer_syntax_uid,
        )

    def _new_part(self, identity: Identity) -> Part:
        return Part(
            id=new_part_id(),
            source=self._session.source.name,
            calling_ae_title=self._session.proposal.calling_ae_title,
            called_ae_title=self._session.proposal.called_ae_title,
            study_instance_uid=identity.study_instance_uid,
            run=self._run,
            opened_at=self._spool.now(),
            host=self._session.proposal.host,
        )


def answered(session: Session, status: int, size: int = 0) -> int:
    """Count what a source is answered; returns the status.

    Args:
        session: the association.
        status: of the C-STORE response.
        size: bytes of the data set, when it was kept.
    """
    source = session.source.name
    outcome = "stored" if status == SUCCESS else f"{status:04X}"
    metrics.INSTANCES_RECEIVED.labels(source=source, outcome=outcome).inc()
    if status == SUCCESS:
        metrics.BYTES_RECEIVED.labels(source=source).inc(size)
    return status
