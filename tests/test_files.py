"""Files that are complete or not there."""

from __future__ import annotations

import ast
import errno
import os
from pathlib import Path

import pytest

from isofield.files import refusal, replaced

SOURCE = Path(__file__).parents[1] / "src" / "isofield"


def test_a_new_file_appears_alone(tmp_path):
    replaced(tmp_path / "a.txt", lambda path: path.write_text("new"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "new"


def test_the_neighbour_has_the_same_suffix_and_folder(tmp_path):
    """Writers choose a format by suffix, and a rename works within one disk only."""
    seen = []

    def write(path: Path) -> None:
        seen.append(path)
        path.write_text("new")

    replaced(tmp_path / "a.b.vtu", write)
    assert seen[0].parent == tmp_path
    assert seen[0].suffix == ".vtu"
    assert seen[0].name != "a.b.vtu"


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write(path: Path) -> None:
        path.write_text("half of the n")
        raise error

    with pytest.raises(type(error)):
        replaced(target, write)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write(path: Path) -> None:
        path.write_text("new")
        assert target.read_text() == "old"

    replaced(target, write)
    assert target.read_text() == "new"


def test_a_folder_in_the_way_is_an_error_and_stays(tmp_path):
    (tmp_path / "a" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="a"):
        replaced(tmp_path / "a", lambda path: path.write_text("new"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        replaced(tmp_path / "missing" / "a", lambda path: path.write_text("new"))


def test_errors_of_the_system_name_the_file_and_not_its_neighbour(tmp_path):
    def write(path: Path) -> None:
        raise OSError(errno.ENOSPC, "no space left", str(path))

    with pytest.raises(OSError, match=r"no space left: '.*/a\.txt'") as caught:
        replaced(tmp_path / "a.txt", write)
    assert caught.value.filename == str(tmp_path / "a.txt")
    assert not list(tmp_path.iterdir())


def test_a_file_has_the_rights_of_any_new_one_or_of_the_one_that_it_replaces(tmp_path):
    """Whatever a writer leaves: safetensors leaves files for their owner alone."""

    def write(path: Path) -> None:
        path.unlink()
        path.touch(0o600)

    (tmp_path / "plain").touch()
    replaced(tmp_path / "new", write)
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "new").chmod(0o640)
    replaced(tmp_path / "new", write)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


def test_where_no_file_can_be_put(tmp_path, monkeypatch):
    """`access` is asked, since tests may run as a user whom no right stops."""
    (tmp_path / "there").write_text("old")
    assert refusal(tmp_path / "there") == refusal(tmp_path / "new") == ""
    assert refusal(tmp_path) == "is a folder; give the name of a file"
    assert "does not exist" in refusal(tmp_path / "missing" / "a")
    closed = {tmp_path / "there"}
    monkeypatch.setattr(os, "access", lambda path, _: path not in closed)
    assert refusal(tmp_path / "there") == "no permission to write over it"
    with pytest.raises(PermissionError, match="there"):
        replaced(tmp_path / "there", lambda path: path.write_text("new"))
    assert (tmp_path / "there").read_text() == "old"
    closed = {tmp_path}
    assert (
        refusal(tmp_path / "new")
        == f"no permission to write into the folder {tmp_path}"
    )


# --- nothing that runs is ever read -------------------------------------------------

FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {("torch", "load"), ("torch", "save")}


def unsafe(source: str) -> list[str]:
    """Imports and calls by which a file could bring code along."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in FORBIDDEN]
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in FORBIDDEN:
                found.append(str(node.module))
            if node.module == "torch":
                found += [a.name for a in node.names if a.name in ("load", "save")]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in CALLS:
                found.append(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            allowed = getattr(node.value, "value", True)
            found += ["allow_pickle"] if allowed is not False else []
    return found


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE))
)
def test_no_module_reads_or_writes_pickles(path):
    assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('m.pt')",
        "from torch import save",
        "import numpy as np\nnp.load('m.npy', allow_pickle=True)",
    ],
)
def test_the_search_for_pickles_finds_them(line):
    assert unsafe(line)
