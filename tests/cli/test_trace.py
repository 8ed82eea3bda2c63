"""The trace reads marks and results as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from his_server.cli import trace

ROOT = Path(__file__).parents[2]

CATALOGUE = """
["M1.1"]
group = "M1"
text = "零元出票"
works_when = "…"
["M1.2"]
group = "M1"
text = "查询"
works_when = "…"
["M1.3"]
group = "M1"
text = "检索"
works_when = "…"
"""
TESTS = """
import pytest
from modules.outpatient_billing import service
from modules.kernel.charging.rules import split

pytestmark = [pytest.mark.requirement("FN-01")]

@pytest.mark.requirement("M1.1", "M1.2")
def test_good(): ...

class TestMore:
    @pytest.mark.requirement("M9.99")
    @pytest.mark.parametrize("a", [1])
    def test_bad(self, a): ...
"""
REPORT = """<testsuites><testsuite>
<testcase classname="tests.x.test_a" name="test_good[1]"/>
<testcase classname="tests.x.test_a" name="test_good[2]">{}</testcase>
</testsuite></testsuites>"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/requirements.toml").write_text(CATALOGUE)
    (tmp_path / "docs/compliance.toml").write_text('["FN-01"]\ngroup = "FN"\ntext = "exact"\n')
    (tmp_path / "tests/x").mkdir(parents=True)
    (tmp_path / "tests/x/test_a.py").write_text(TESTS)
    (tmp_path / "modules/outpatient_billing").mkdir(parents=True)
    (tmp_path / "modules/outpatient_billing/vouchers.py").write_text('"""Vouchers.\n\nImplements: M1.1\n"""\n')
    return tmp_path


def test_marks_imports_and_docstrings(tree: Path) -> None:
    matrix = trace.collect(tree)
    assert set(matrix.proofs) == {"M1.1", "M1.2", "FN-01"}
    assert [proof.name for proof in matrix.proofs["FN-01"]] == ["test_good", "test_bad"]
    assert matrix.unknown == ["tests/x/test_a.py::test_bad: M9.99"]
    assert matrix.implements == {"M1.1": {"modules.outpatient_billing.vouchers"}}
    assert matrix.proofs["M1.2"][0].packages == ("modules.kernel.charging", "modules.outpatient_billing")


@pytest.mark.parametrize(("inner", "verdict"), [("", "通过"), ("<failure/>", "不通过"), ("<error/>", "不通过"),
                                                ("<skipped/>", "通过")])
def test_the_worst_parameter_counts(tree: Path, inner: str, verdict: str) -> None:
    report = tree / "report.xml"
    report.write_text(REPORT.format(inner))
    text = trace.render(trace.collect(tree), trace.results(report))
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines() if line.startswith("| M")}
    assert rows["M1.1"].endswith(f"| {verdict} |") and "vouchers" in rows["M1.1"]
    assert rows["M1.3"].endswith("| 无测试 |")
    assert f"测试通过 {2 if verdict == '通过' else 0} 条" in text


def test_a_test_that_did_not_run_refutes_nothing_and_is_told(tree: Path) -> None:
    report = tree / "report.xml"
    report.write_text(REPORT.format(""))
    (tree / "tests/x/test_b.py").write_text(
        "import pytest\n\n\n@pytest.mark.requirement('M1.1')\ndef test_long():\n    ...\n")
    text = trace.render(trace.collect(tree), trace.results(report))
    [row] = [line for line in text.splitlines() if line.startswith("| M1.1")]
    assert row.endswith("| 通过（部分用例未运行） |") and "测试通过 2 条" in text


def test_every_mark_in_the_house_names_a_known_requirement() -> None:
    matrix = trace.collect(ROOT)
    assert matrix.unknown == []
    assert len([entry for entry in matrix.texts.values() if "works_when" in entry]) == 118
