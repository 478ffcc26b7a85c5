"""The data dictionary: pydicom's, word for word, without pydicom."""

import subprocess
import sys

import pytest
from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import dictionary_VR, keyword_dict

from shared.dictionary import keywords, sop_class_names, vr_of


def test_it_says_what_pydicom_says() -> None:
    assert keywords() == keyword_dict
    assert all(vr_of(keyword) == dictionary_VR(tag) for keyword, tag in keyword_dict.items())
    assert sop_class_names() == {uid[4] for uid in UID_dictionary.values() if uid[1] == "SOP Class" and uid[4]}


def test_no_vr_is_made_up() -> None:
    with pytest.raises(KeyError):
        vr_of("PatientNam")


def test_commands_that_read_records_load_no_more_than_that_takes() -> None:
    script = """
import sys
import dcmrelay.cli, dcmrelay.choosing, dcmrelay.letters, dcmrelay.looking
from shared.dictionary import vr_of
assert vr_of("PatientName") == "PN"
print(*sorted({"pydicom", "pynetdicom", "prometheus_client", "pika", "sqlalchemy", "numpy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
