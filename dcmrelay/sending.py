"""Files handed to the running relay as one of its sources, with C-STORE."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.filereader import read_file_meta_info
from pydicom.uid import MediaStorageDirectoryStorage

from dcmrelay.completeness import is_whole
from shared import headers
from shared.dimse import Association, TlsPeer, request
from shared.errors import DataSetError, PeerError, PeerRejectedError, PeerUnreachableError, StorageError

_MOST_CONTEXTS = 128


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A file that can be sent: where its data set lies, in bytes, and what it is."""

    path: Path
    offset: int
    size: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    @property
    def context(self) -> tuple[str, str]:
        """What has to be agreed on to send it."""
        return self.sop_class_uid, self.transfer_syntax_uid


@dataclass(frozen=True, kw_only=True)
class NotSent:
    """A file that was not sent, and why; `failed` unless nobody expected it to be (a text file in a folder)."""

    path: Path
    why: str
    failed: bool = True


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A file that the relay answered success or a warning for."""

    path: Path
    status: int


@dataclass(frozen=True, kw_only=True)
class Target:
    """Whom to call, how we call ourselves, and with which certificates; `tls` is None for a plain connection."""

    host: str
    port: int
    calling_ae_title: str
    called_ae_title: str
    tls: TlsPeer | None = None


def files_in(paths: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    """Every file below the paths, in order of their names, and whether it was named itself."""
    for path in paths:
        if path.is_dir():
            yield from ((below, False) for below in sorted(path.rglob("*")) if below.is_file())
        else:
            yield path, True


def examine(path: Path, *, named: bool) -> Ready | NotSent:
    """What a file is.

    Args:
        path: the file.
        named: whether a person named this very file; what else lies in a folder is passed over.
    """
    try:
        if not _is_part10(path):
            return NotSent(path=path, why="not a DICOM file", failed=named)
        return _examined(path, named=named)
    except OSError as error:
        return NotSent(path=path, why=f"cannot be read: {error.strerror}; check the name and its mode")
    except DataSetError as error:
        return NotSent(path=path, why=f"{error}; get the file again from where it came from")


def send(target: Target, files: list[Ready], tell: Callable[[Sent | NotSent], None]) -> None:
    """Send files, one association per 128 presentation contexts; after a break those that are left go over a new one.

    Args:
        target: the relay.
        files: what to send.
        tell: called once for each file.
    """
    for batch in batches(files):
        left = batch
        while left:
            left = _send_some(target, left, tell)


def batches(files: Iterable[Ready]) -> list[list[Ready]]:
    """Files in order, cut where one more would need more presentation contexts than an association has."""
    cut: list[list[Ready]] = []
    contexts: set[tuple[str, str]] = set()
    for file in files:
        contexts.add(file.context)
        if not cut or len(contexts) > _MOST_CONTEXTS:
            cut.append([])
            contexts = {file.context}
        cut[-1].append(file)
    return cut


def meaning(status: int) -> str:
    """What a C-STORE status says, in words.

    Source: PS3.4 Table B.2-1, PS3.7 Annex C.
    """
    exact = {
        0x0000: "success",
        0x0001: "success, optional attributes not supported",
        0x0107: "warning, attribute list error",
        0x0116: "warning, attribute value out of range",
        0x0111: "duplicate SOP instance",
        0x0117: "invalid SOP instance",
        0x0122: "SOP class not supported",
        0x0124: "not authorized",
    }
    ranges = {0xA7: "out of resources", 0xA9: "data set does not match its SOP class", 0xB0: "warning"}
    word = exact.get(status) or ranges.get(status >> 8) or ("cannot understand" if status >> 12 == 0xC else "failure")
    return f"{word} ({status:04X})"


def is_taken(status: int) -> bool:
    """Whether the relay has the instance: success or a warning (PS3.7 Annex C)."""
    return status == 0 or status >> 12 == 0xB or status in (0x0001, 0x0107, 0x0116)


def _is_part10(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _examined(path: Path, *, named: bool) -> Ready | NotSent:
    offset, transfer_syntax_uid = headers.read_meta(path)
    if read_file_meta_info(path).get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return NotSent(path=path, why="a DICOMDIR, which is not an instance", failed=named)
    if not is_whole(path, offset, transfer_syntax_uid):
        return NotSent(
            path=path, why="truncated: it ends inside an element; get the file again from where it came from"
        )
    identity = headers.read_identity(path)
    if not (identity.sop_class_uid and identity.sop_instance_uid):
        return NotSent(path=path, why="has no usable SOP Class UID and SOP Instance UID")
    return Ready(
        path=path,
        offset=offset,
        size=path.stat().st_size - offset,
        sop_class_uid=identity.sop_class_uid,
        sop_instance_uid=identity.sop_instance_uid,
        transfer_syntax_uid=transfer_syntax_uid,
    )


def _send_some(target: Target, files: list[Ready], tell: Callable[[Sent | NotSent], None]) -> list[Ready]:
    """Send over one association; returns the files that are left when it broke after some."""
    contexts = [(sop_class, (syntax,)) for sop_class, syntax in dict.fromkeys(file.context for file in files)]
    try:
        association = request(
            target.host,
            target.port,
            calling_ae_title=target.calling_ae_title,
            called_ae_title=target.called_ae_title,
            contexts=contexts,
            tls=target.tls,
        )
    except PeerError as error:
        _tell_all(files, remedy(error, target), tell)
        return []
    with association:
        return _send_on(association, files, tell, target)


def _send_on(
    association: Association, files: list[Ready], tell: Callable[[Sent | NotSent], None], target: Target
) -> list[Ready]:
    for index, file in enumerate(files):
        try:
            tell(_stored(association, file))
        except (PeerError, StorageError) as error:
            association.abort(error)
            tell(NotSent(path=file.path, why=remedy(error, target)))
            return files[index + 1 :]
    return []


def _stored(association: Association, file: Ready) -> Sent | NotSent:
    context_id = association.accepted_context(*file.context)
    if context_id is None:
        return NotSent(path=file.path, why="the relay accepts no such SOP class in this transfer syntax")
    status = association.store(
        file.path,
        file.offset,
        file.size,
        context_id=context_id,
        sop_class_uid=file.sop_class_uid,
        sop_instance_uid=file.sop_instance_uid,
    )
    if is_taken(status):
        return Sent(path=file.path, status=status)
    return NotSent(path=file.path, why=f"the relay answered {meaning(status)}; look at `dcmrelay status`")


def _tell_all(files: list[Ready], why: str, tell: Callable[[Sent | NotSent], None]) -> None:
    for file in files:
        tell(NotSent(path=file.path, why=why))


def remedy(error: PeerError | StorageError, target: Target) -> str:
    """An error on the way to the relay, and what helps."""
    if isinstance(error, PeerUnreachableError):
        return f"{error}; start the relay with `dcmrelay up`, or look at `dcmrelay status`"
    if isinstance(error, PeerRejectedError):
        return (
            f"{error}; we called {target.called_ae_title} as {target.calling_ae_title}: "
            "check ae_title, hosts and called of the source, and that the relay runs with this configuration"
        )
    return f"{error}; send it again"
