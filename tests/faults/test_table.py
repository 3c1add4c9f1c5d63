"""The table of faults: every row is shown by a test that exists, and is in the manual."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.faults.table import FAULTS, Fault, rows


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_every_fault_is_shown_by_a_test(fault: Fault) -> None:
    file, _, function = fault.shown_by.partition("::")
    assert f"def {function}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")


def test_the_manual_has_the_table() -> None:
    lines = (ROOT / "cockpit/docs/reliability.md").read_text(encoding="utf-8").splitlines()
    assert [row for row in rows() if row not in lines] == []
