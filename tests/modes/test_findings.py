"""What the log says about the configuration."""

from __future__ import annotations

import logging

import pytest

from meshd.control.finding import Finding
from meshd.control.ingest import load_paths
from meshd.modes.findings import MOST_AT_ONCE, FindingLog

BROKEN = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a%d}\nspec: {host: [a]}\n---\n"


@pytest.fixture
def found(tmp_path):
    def find(text: str) -> tuple[Finding, ...]:
        (tmp_path / "a.yaml").write_text(text)
        return tuple(load_paths([str(tmp_path)])[1])

    return find


def test_each_once_for_as_long_as_it_holds(found, caplog):
    caplog.set_level(logging.INFO, "meshd.modes.findings")
    log = FindingLog()
    one = found(BROKEN % 1)
    log.tell(one)
    said = len(caplog.records)
    assert said == len(one) > 0
    assert "a.yaml:4:8" in caplog.text
    log.tell(one)
    assert len(caplog.records) == said


def test_all_mended_is_said_once(found, caplog):
    caplog.set_level(logging.INFO, "meshd.modes.findings")
    log = FindingLog()
    log.tell(())
    assert not caplog.records
    log.tell(found(BROKEN % 1))
    caplog.clear()
    log.tell(())
    log.tell(())
    assert [record.getMessage() for record in caplog.records] == ["no errors any more in the configuration"]


def test_a_directory_of_nonsense_does_not_fill_the_log(found, caplog):
    caplog.set_level(logging.INFO, "meshd.modes.findings")
    many = found("".join(BROKEN % number for number in range(2 * MOST_AT_ONCE)))
    FindingLog().tell(many)
    assert len(caplog.records) == MOST_AT_ONCE + 1
    assert caplog.records[-1].getMessage() == f"and {len(set(map(str, many))) - MOST_AT_ONCE} more findings"
