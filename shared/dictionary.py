"""The data dictionary of PS3.6, from pydicom's tables, without what pydicom brings along to read images.

A command that only reads records starts in half the time so. No I/O but the tables, once.
"""

import sys
from collections.abc import Mapping
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


@cache
def keywords() -> Mapping[str, int]:
    """The tag of each keyword; those of repeating groups are not among them."""
    return {entry[4]: tag for tag, entry in _table("_dicom_dict").DicomDictionary.items()}


def vr_of(keyword: str) -> str:
    """The VR of a keyword's element, such as `LO`, or `OB or OW` where it may have either.

    Raises:
        KeyError: there is no such keyword.
    """
    return vr_of_tag(keywords()[keyword])


def vr_of_tag(tag: int) -> str:
    """The VR of an element; empty for what the dictionary does not have, and for repeating groups."""
    entry = _table("_dicom_dict").DicomDictionary.get(tag)
    return "" if entry is None else str(entry[0])


@cache
def sop_class_names() -> frozenset[str]:
    """The keywords of all SOP classes, such as `CTImageStorage`."""
    entries = _table("_uid_dict").UID_dictionary.values()
    return frozenset(entry[4] for entry in entries if entry[1] == "SOP Class" and entry[4])


@cache
def _table(name: str) -> ModuleType:
    """A module of pydicom that holds nothing but a table, run by itself: importing it would import all of pydicom."""
    loaded = sys.modules.get(f"pydicom.{name}")
    if loaded is not None:
        return loaded
    spec = _spec(name)
    module = module_from_spec(spec)
    if spec.loader is not None:
        spec.loader.exec_module(module)
    return module


def _spec(name: str) -> ModuleSpec:
    package = find_spec("pydicom")
    folders = package.submodule_search_locations if package else None
    spec = spec_from_file_location(f"{__name__}.{name}", Path(folders[0]) / f"{name}.py") if folders else None
    if spec is None:
        raise ImportError("pydicom is not installed; `make setup` installs it")
    return spec
