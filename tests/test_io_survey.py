"""Every real file at hand is read into a valid mesh or gives an error of one line."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def survey() -> ModuleType:
    """The script that writes docs/formats.md."""
    spec = importlib.util.spec_from_file_location("survey", ROOT / "docs/formats.py")
    if spec is None or spec.loader is None:
        raise ImportError("docs/formats.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_real_files_are_read_or_refused_and_none_ends_the_process(
    survey: ModuleType,
):
    """At least 90 % are read; docs/formats.md names exactly those that are not."""
    if not DATA.is_dir():
        pytest.skip("the folder of real files, ../shared/data, is not there")
    found = survey.survey(DATA)
    assert len(found) == len(survey.files(DATA)) > 0
    refused = {name: one["error"] for name, one in found.items() if "error" in one}
    assert not [name for name, one in found.items() if "died" in one]
    assert [error for error in refused.values() if "\n" in error or not error] == []
    assert len(refused) <= 0.1 * len(found)
    page = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
    rows = page[page.index("Files that are not read") :]
    assert set(re.findall(r"^\| (\S+/\S+) \|", rows, re.MULTILINE)) == set(refused)


def test_a_reader_that_ends_its_process_is_counted(survey: ModuleType, tmp_path: Path):
    """The child that dies is noticed, and a new one reads the next file."""
    (tmp_path / "good.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    (tmp_path / "bad.off").write_text("OFF\n3 1 0\n")
    (tmp_path / "flat.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n")
    found = survey.survey(tmp_path)
    assert {name: "error" in one for name, one in found.items()} == {
        "bad.off": True,
        "flat.off": True,
        "good.off": False,
    }
    assert "measure 0" in found["flat.off"]["error"]
    child = survey.Child()
    assert child.ask(tmp_path / "good.off", False)
    child.process.kill()
    assert child.ask(tmp_path / "good.off", False) is None
    assert child.ask(tmp_path / "good.off", False)
    child.close()
    page = survey.text(found)
    assert "Of 3 files that other programs wrote, 1 (33.3 %)" in page
    assert str(tmp_path) not in page
