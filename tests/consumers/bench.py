"""A spool with closed parts in it, and claims on its units, for tests of the consumers."""

import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from shared.config import Config, parse
from shared.dimse import part10_header
from shared.forms import ENGINE_VERSION, RECEIVED, Form
from shared.headers import read_meta
from shared.messages import Bell
from shared.outcomes import Outcome
from shared.spool.closing import close_part
from shared.spool.deliveries import Order, create_delivery
from shared.spool.keys import key_id
from shared.spool.parts import Instance, Manifest, Part, instance_name, new_part_id, open_part, read_manifest
from shared.spool.pins import keep_profile
from shared.spool.spool import Spool
from shared.spool.states import Retry
from shared.spool.volume import prepare
from shared.work import Claim, Said, Worker

STUDY = "1.2.3.4"
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)

RELAY = """
[relay]
data_dir = "var"
[ingress]
min_free = "1MB"
[[source]]
name = "ct-1"
ae_title = "CT1"
issuer = "HX"
[[source]]
name = "mr-1"
ae_title = "MR1"
[[destination]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = 104
[[destination]]
name = "reading"
ae_title = "READING"
host = "127.0.0.1"
port = 105
calling_ae_title = "{source}"
[profile.basic]
"""
ALL = """
[[route]]
name = "all"
to = ["archive"]
"""


def data_set(number: int = 1, study: str = STUDY, sop_class_uid: str = CTImageStorage, **elements: Any) -> Dataset:
    """A small data set made by hand."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class_uid, f"{study}.1.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.1"
    ds.PatientID, ds.PatientName, ds.Modality = "4711", "CANARY^PATIENT", "CT"
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def write(path: Path, ds: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> Path:
    """A data set as a Part 10 file."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    ds.save_as(path, enforce_file_format=True)
    return path


def wheel(name: str) -> Path:
    """A file of pydicom's wheel."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str), f"{name} is not in pydicom's wheel"
    return Path(path)


@dataclass
class Bench:
    """A prepared data folder whose clock only a test moves."""

    folder: Path
    config: Config
    spool: Spool = field(init=False)
    now: datetime = NOW
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        prepare(self.config)
        self.spool = Spool(self.config.relay.data_dir / "spool", clock=lambda: self.now)
        self.spool.keep_config(self.config.snapshot(), self.config.hash)

    def configure(self, text: str) -> None:
        """Another configuration over the same spool."""
        self.config = parse(text, self.folder)
        self.spool.keep_config(self.config.snapshot(), self.config.hash)

    def part(self, *files: Path | Dataset, source: str = "ct-1", called: str = "DCMRELAY", study: str = STUDY) -> str:
        """A closed part of these instances that waits for the router; files whole, as an ingress stores them."""
        part = Part(
            id=new_part_id(),
            source=source,
            calling_ae_title="CT1",
            called_ae_title=called,
            study_instance_uid=study,
            run="i0",
            opened_at=self.now,
        )
        open_part(self.spool, part)
        known = {it.file: it for it in (self._stored(part.id, k, file) for k, file in enumerate(files))}
        close_part(self.spool, part, config=self.config.hash, known=known)
        return part.id

    def manifest(self, part: str) -> Manifest:
        manifest = read_manifest(self.spool, part)
        assert manifest is not None
        return manifest

    def form(self, profile: str = "basic") -> Form:
        """De-identified by a profile as it is configured now, pinned as the router does."""
        keep_profile(self.spool, self.config.profiles[profile])
        return Form(
            kind="deidentified",
            profile=profile,
            profile_hash=self.config.profiles[profile].hash,
            key_id=key_id(self.config, profile),
            engine_version=ENGINE_VERSION,
            issuer="HX",
        )

    def delivery(
        self,
        part: str,
        destination: str = "archive",
        form: Form = RECEIVED,
        excluded: tuple[int, ...] = (),
        source: str = "ct-1",
    ) -> str:
        """A delivery of a part, as the router would have made it; its id."""
        found = self.config.destination(destination)
        assert found is not None
        order = Order(
            part=part,
            route="all",
            destination=destination,
            identity=found.identity,
            calling_ae_title="DCMRELAY",
            form=form,
            source=source,
            excluded=excluded,
        )
        create_delivery(self.spool, order, self.config.hash)
        return order.id

    def look(self, unit: str, handle: Callable[[Claim], Outcome]) -> Said:
        """What a worker makes of a unit's bell, late enough for any wait to be over."""
        state = self.spool.units(unit).newest(unit)
        assert state is not None
        self.now = max(self.now, state.due or self.now)
        retry = Retry(give_up=timedelta(hours=1))
        return Worker(self.spool, handle, retry, self.stopping, jitter=lambda: 0.0).look(Bell(unit=unit, n=state.n))

    def claim(self, unit: str) -> Claim:
        """A claim on a unit, for calling a handler without a worker."""
        loaded = self.spool.units(unit).load(unit)
        assert loaded is not None
        return Claim(self.spool, loaded, self.stopping)

    def facts(self, unit: str) -> dict[str, Any]:
        """What all records of a unit say."""
        loaded = self.spool.units(unit).load(unit)
        assert loaded is not None
        return dict(loaded.facts)

    def _stored(self, part: str, number: int, file: Path | Dataset) -> Instance:
        path = file if isinstance(file, Path) else write(self.folder / f"{number}.dcm", file)
        offset, transfer_syntax = read_meta(path)
        return stored(self.spool, part, path.read_bytes()[offset:], transfer_syntax, uids_of(path, number))


def bench(folder: Path, text: str = RELAY + ALL) -> Bench:
    return Bench(folder, parse(text, folder))


def uids_of(path: Path, number: int) -> tuple[str, str]:
    """SOP Class and Instance UID from a file's meta information."""
    meta = read_file_meta_info(path)
    return str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID) or f"1.2.3.{number}"


def stored(spool: Spool, part: str, content: bytes, transfer_syntax: str, uids: tuple[str, str]) -> Instance:
    """One instance in a part, as an ingress stores it."""
    sha256 = hashlib.sha256(content).hexdigest()
    header = part10_header(sop_class_uid=uids[0], sop_instance_uid=uids[1], transfer_syntax_uid=transfer_syntax)
    name = instance_name(part, sha256)
    spool.store.put_new(name, header + content)
    return Instance(
        file=name,
        sha256=sha256,
        offset=len(header),
        size=len(content),
        sop_class_uid=uids[0],
        sop_instance_uid=uids[1],
        transfer_syntax_uid=transfer_syntax,
    )


def data_sets(count: int, **more: Any) -> Iterable[Dataset]:
    return (data_set(number, **more) for number in range(1, count + 1))
