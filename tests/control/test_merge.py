"""What is in force: last good forms, deletions, and objects defined twice."""

from __future__ import annotations

from meshd.api.common import Map
from meshd.api.document import Document, Origin
from meshd.api.networking.virtual_service import VirtualService
from meshd.api.problem import Level
from meshd.control.finding import Finding
from meshd.control.merge import Merged, Settled, combine, settle
from meshd.control.sources.source import Entry, SourceSet


def document(name: str, host: str = "a", file: str = "f.yaml", line: int = 1) -> Document:
    return Document.of(VirtualService(hosts=(host,)), name, origin=Origin(file, line, 1))


def good(name: str, host: str = "a", file: str = "f.yaml", modified: float = 1.0, line: int = 1) -> Entry:
    made = document(name, host, file, line)
    return Entry(made.key, made, (), modified, file)


def bad(name: str, file: str = "f.yaml") -> Entry:
    finding = Finding("IST0106", Level.ERROR, "broken", f"VirtualService default/{name}", Origin(file, 5, 1))
    return Entry(document(name).key, None, (finding,), 2.0, file)


def rounds(*sets: SourceSet) -> Merged:
    settled = Settled()
    for each in sets:
        settled = settle(settled.good, each)
    return combine([settled])


def files(*entries: Entry, unsure: tuple[str, ...] = ()) -> SourceSet:
    return SourceSet("files", entries, (), unsure)


def hosts(merged: Merged) -> dict[str, str]:
    return {each.name: each.resource.hosts[0] for each in merged.documents}


def codes(merged: Merged) -> list[str]:
    return [finding.code for finding in merged.findings]


def test_the_latest_form_is_in_force() -> None:
    assert hosts(rounds(files(good("a", "one")), files(good("a", "two")))) == {"a": "two"}


def test_a_broken_form_never_replaces_a_good_one() -> None:
    merged = rounds(files(good("a", "one"), good("b")), files(bad("a"), good("b", "new")))
    assert hosts(merged) == {"a": "one", "b": "new"}
    assert codes(merged) == ["IST0106", "MD0008"]
    assert str(merged.findings[1]) == (
        "f.yaml:5:1: info MD0008 VirtualService default/a: until this is mended, the last good form stays in force"
    )


def test_the_last_good_form_survives_many_broken_ones() -> None:
    assert hosts(rounds(files(good("a", "one")), files(bad("a")), files(bad("a")), files(bad("a")))) == {"a": "one"}


def test_broken_from_the_beginning_is_not_there() -> None:
    merged = rounds(files(bad("a")))
    assert merged.documents == ()
    assert codes(merged) == ["IST0106"]


def test_deleted_is_gone() -> None:
    assert hosts(rounds(files(good("a"), good("b")), files(good("b")))) == {"b": "a"}


def test_what_could_not_be_read_is_not_deleted() -> None:
    before = files(good("a", file="d/f.yaml"), good("b", file="d/e/g.yaml"), good("c", file="other.yaml"))
    assert hosts(rounds(before, files(unsure=("d/f.yaml",)))) == {"a": "a"}
    assert hosts(rounds(before, files(unsure=("d/",)))) == {"a": "a", "b": "a"}
    assert hosts(rounds(before, files(unsure=("d",)))) == {}


def test_unsure_does_not_keep_what_changed() -> None:
    assert hosts(rounds(files(good("a", "one")), files(good("a", "two"), unsure=("f.yaml",)))) == {"a": "two"}


def test_of_two_files_the_newer_wins() -> None:
    old, new = good("a", "old", "z.yaml", 1.0), good("a", "new", "b.yaml", 2.0, line=7)
    for entries in ((old, new), (new, old)):
        merged = rounds(files(*entries))
        assert hosts(merged) == {"a": "new"}
        assert [str(finding) for finding in merged.findings] == [
            (
                "z.yaml:1:1: warning MD0006 VirtualService default/a: this object is also defined in b.yaml:7:1, "
                "which is newer and wins; remove one of them"
            )
        ]


def test_three_times_in_one_file_each_is_told_who_wins() -> None:
    merged = rounds(files(*(good("a", host, line=line) for line, host in enumerate(("one", "two", "three"), 1))))
    assert hosts(merged) == {"a": "three"}
    assert [(finding.origin.line, finding.code) for finding in merged.findings] == [(1, "MD0006"), (2, "MD0006")]
    assert all("f.yaml:3:1, which comes later in the file and wins" in finding.message for finding in merged.findings)


def test_of_equally_new_files_the_last_by_name_wins() -> None:
    merged = rounds(files(good("a", "one", "b.yaml"), good("a", "two", "c.yaml"), good("a", "three", "a.yaml")))
    assert hosts(merged) == {"a": "two"}
    assert codes(merged) == ["MD0006", "MD0006"]
    assert all("c.yaml:1:1, which comes later by name and wins" in finding.message for finding in merged.findings)


def test_within_a_file_the_later_wins() -> None:
    merged = rounds(files(good("a", "one"), good("a", "two", line=9)))
    assert hosts(merged) == {"a": "two"}
    assert "f.yaml:9:1, which comes later in the file and wins" in merged.findings[0].message


def test_a_newer_broken_file_does_not_silence_an_older_good_one() -> None:
    assert hosts(rounds(files(good("a", "old", "a.yaml"), bad("a", "b.yaml")))) == {"a": "old"}


def test_sources_are_put_together() -> None:
    made = Document.of(VirtualService(hosts=("x",)), "b", labels=Map({"a": "b"}))
    registrations = settle({}, SourceSet.of("registrations", [made]))
    merged = combine([settle({}, files(good("a"))), registrations])
    assert hosts(merged) == {"a": "a", "b": "x"}


def test_a_written_object_wins_over_one_that_meshd_made() -> None:
    made = Document.of(VirtualService(hosts=("made",)), "a", origin=Origin("registration"))
    merged = combine([settle({}, files(good("a", "written"))), settle({}, SourceSet.of("registrations", [made]))])
    assert hosts(merged) == {"a": "written"}
    assert merged.findings == (), "there is nothing that anybody could remove"


def test_the_order_of_documents_is_that_of_their_keys() -> None:
    merged = rounds(files(good("c"), good("a"), good("b")))
    assert [each.name for each in merged.documents] == ["a", "b", "c"]


def test_what_did_not_change_is_the_same_object() -> None:
    entry = good("a")
    assert rounds(files(entry), files(entry, good("b"))).documents[0] is entry.document
