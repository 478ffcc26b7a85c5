from shared.editing.diff import Change, changes
from tests.shared.editing.test_engine import after, edit, with_requests


def test_what_an_edit_changed_is_listed_element_by_element_and_nothing_else() -> None:
    before = with_requests()
    made = edit(
        'set = { StationName = "S", RequestAttributesSequence.RequestedProcedureID = "ZZ" }\n'
        'remove = ["PatientComments"]'
    )
    station, comments, first, second = changes(before, after(before, made))
    assert station == Change(path="(0008,1010)", keyword="StationName", vr="SH", old=None, new="S")
    assert (comments.keyword, comments.old, comments.new) == ("PatientComments", "none", None)
    assert [(it.path, it.old, it.new) for it in (first, second)] == [
        ("(0040,0275)[1].(0040,1001)", "R0", "ZZ"),
        ("(0040,0275)[2].(0040,1001)", "R1", "ZZ"),
    ]
