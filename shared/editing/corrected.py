"""Headers as they are after what a person corrected in a part."""

from collections.abc import Callable, Collection
from pathlib import Path

from pydicom.dataset import Dataset

from shared.config.rewriting import Edit
from shared.editing.engine import edited_header, keywords_in
from shared.headers import read_header
from shared.spool.parts import Part


def facts_for(part: Part) -> dict[str, str]:
    """The values of `{source}` and `{called}`, which edits and corrections may quote."""
    return {"source": part.source, "called": part.called_ae_title}


def corrected_header(
    path: Path,
    keywords: Collection[str],
    corrections: Edit | None,
    part: Part,
    read: Callable[[Path, Collection[str]], Dataset] = read_header,
) -> Dataset:
    """The named top-level elements of an instance, with corrections.

    Args:
        path: the instance as it was received.
        keywords: DICOM keywords.
        corrections: None: as it was received.
        part: whose instance it is.
        read: reads elements of a file.

    Raises:
        DataSetError: not readable, or a corrected value cannot be made; names the element.
        StorageError: the disk refused.
    """
    if corrections is None:
        return read(path, keywords)
    header = read(path, {*keywords, *keywords_in(corrections)})
    return edited_header(header, corrections, facts_for(part))
