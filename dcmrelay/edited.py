"""What an edit would change in a part, element by element; found by the edit itself on what the files have."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from consumers.router.routing import Routing
from shared.config.rewriting import Edit
from shared.editing.corrected import facts_for
from shared.editing.diff import Change, changes
from shared.editing.engine import edited_header, keywords_in
from shared.errors import DataSetError
from shared.forms import Form
from shared.spool.parts import Instance
from shared.spool.pins import pinned_edit
from shared.spool.spool import Spool


@dataclass(frozen=True, kw_only=True)
class Edited:
    """What becomes of one element.

    Args:
        path: tags from the root; empty of what is only known by its creator.
        element: keyword, tag or private creator.
        change: "comes", "changes" or "goes"; "is new" of a UID that is made anew.
        instances: in how many of the instances.
        old: its value in the first of them; None: it has none, or values are not asked for.
        new: its value then.
    """

    path: str
    element: str
    change: str
    instances: int
    old: str | None = None
    new: str | None = None

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return dict(vars(self))

    def __str__(self) -> str:
        """For people, such as `InstitutionName changes in 3 instances: "A" -> "B"`."""
        values = "" if self.old is self.new is None else f": {_quoted(self.old)} -> {_quoted(self.new)}"
        return f"{self.element} {self.change} in {self.instances} instances{values}"


def edits_of(routing: Routing, spool: Spool, form: Form, *, values: bool) -> tuple[tuple[Edited, ...], str]:
    """What the edit of a form changes in a part, and why it cannot be made in some instance; empty: it can.

    Args:
        routing: the part, decided.
        spool: the spool that forgets, on which it was.
        form: what a destination gets.
        values: whether values of elements are told too.
    """
    edit = pinned_edit(spool, form.edit_hash) if form.edit else None
    if edit is None:
        return (), ""
    found: list[list[Change]] = []
    faults = Counter[str]()
    for instance in routing.manifest.instances:
        try:
            found.append(_changes(edit, routing, instance))
        except DataSetError as error:
            faults[str(error)] += 1
    why = "; ".join(f"{fault} in {count} instances" for fault, count in faults.most_common(3))
    return (*_counted(found, values=values), *_unseen(edit, form, len(routing.manifest.instances))), why


def _changes(edit: Edit, routing: Routing, instance: Instance) -> list[Change]:
    before = routing.elements(instance, keywords_in(edit))
    return changes(before, edited_header(before, edit, facts_for(routing.part)))


def _counted(found: Iterable[list[Change]], *, values: bool) -> Iterator[Edited]:
    all_of = [change for changes_of_one in found for change in changes_of_one]
    counted = Counter(it.path for it in all_of)
    for path, count in counted.items():
        it = next(change for change in all_of if change.path == path)
        change = "comes" if it.old is None else "goes" if it.new is None else "changes"
        old, new = (it.old, it.new) if values else (None, None)
        yield Edited(path=path, element=it.keyword or path, change=change, instances=count, old=old, new=new)


def _unseen(edit: Edit, form: Form, count: int) -> Iterator[Edited]:
    """What no header that is read here shows: private elements, and the UIDs of an object that is another now."""
    private = [it.private for it in edit.remove if it.private]
    yield from (
        Edited(path="", element=f"private {it}", change="goes, where it is,", instances=count) for it in private
    )
    creators = [address.text for _, address in edit.addresses() if address.creator]
    yield from (Edited(path="", element=it, change="changes, where it is,", instances=count) for it in creators)
    if form.edit_key_id:
        yield Edited(path="(0008,0018)", element="SOPInstanceUID", change="is new", instances=count)


def _quoted(value: str | None) -> str:
    return "nothing" if value is None else f'"{value}"'
