"""Model files: what goes in comes out, bit for bit; anything else is one clear line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from isofield import generation
from isofield.model_file import ModelFileError, load_model, save_model
from isofield.predict import predict


@pytest.fixture(scope="module")
def model(blobs, tiny):
    return tiny(blobs, similarity={"u": "load"}, seed=3)


@pytest.fixture
def file(model, tmp_path) -> Path:
    save_model(tmp_path / "model.safetensors", model)
    return tmp_path / "model.safetensors"


def header_of(path: Path) -> dict:
    with safe_open(path, "pt") as opened:
        return json.loads(opened.metadata()["isofield"])


def rewritten(path: Path, change) -> None:
    """The file with its header changed in place by `change`."""
    header = header_of(path)
    change(header)
    save_file(load_file(path), path, {"isofield": json.dumps(header)})


# --- the way there and back ---------------------------------------------------------


def test_a_model_comes_back_whole(model, file):
    again = load_model(file)
    for name in ("inputs", "targets", "at", "frame", "envelope", "similarity"):
        assert getattr(again, name) == getattr(model, name), name
    assert again.arguments == model.arguments
    for name in ("input_normalizer", "target_normalizer"):
        one, other = getattr(model, name), getattr(again, name)
        assert torch.equal(one.mean, other.mean)
        assert torch.equal(one.scale, other.scale)
        assert other.mean.dtype == torch.float64
    weights = again.network.state_dict()
    for name, value in model.network.state_dict().items():
        assert torch.equal(weights[name], value), name


def test_outputs_are_equal_bit_for_bit(model, file, blobs):
    again = load_model(file)
    for case in blobs[:2]:
        one, other = model.sample(case), again.sample(case)
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.y, other.y)
        assert torch.equal(model.evaluate(one), again.evaluate(other))
    one, other = predict(model, blobs[0]), predict(file, blobs[0])
    assert np.array_equal(
        one.point_data["u_predicted"], other.point_data["u_predicted"]
    )


def test_saving_again_gives_the_same_content(model, file, tmp_path):
    save_model(tmp_path / "again.safetensors", load_model(file))
    one, other = load_file(file), load_file(tmp_path / "again.safetensors")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert header_of(file) == header_of(tmp_path / "again.safetensors")


def test_the_header_says_what_the_model_is(file):
    header = header_of(file)
    assert header["format"] == 1
    assert header["network"]["architecture"] == "GNO"
    assert header["network"]["width"] == 8
    assert header["inputs"][0] == {"name": "load", "shape": [], "unit": "kN"}
    assert header["targets"][0] == {"name": "u", "shape": [2], "unit": "mm"}
    assert header["at"] == "points"
    assert header["frame"].keys() == {"origin", "length", "measure_dimension"}
    assert header["envelope"].keys() == {
        "inputs",
        "lower",
        "upper",
        "points",
        "spacing",
        "extent",
    }
    assert header["similarity"] == {"u": {"load": 1.0}}


def test_nothing_has_the_size_of_a_mesh(tiny, loaded, tmp_path):
    """Trained on 25 points or on 1089, of the same radius: the same shapes."""
    shapes, sizes = [], []
    for n in (4, 32):
        cases = [loaded(generation.square(n), load) for load in (1.0, 2.0)]
        save_model(tmp_path / f"{n}.safetensors", tiny(cases, radius=0.5))
        tensors = load_file(tmp_path / f"{n}.safetensors")
        shapes.append({name: value.shape for name, value in tensors.items()})
        sizes.append((tmp_path / f"{n}.safetensors").stat().st_size)
    assert shapes[0] == shapes[1]
    assert abs(sizes[0] - sizes[1]) < 200  # digits in the header


def test_loading_leaves_the_random_numbers_of_others_alone(file):
    before = torch.get_rng_state()
    load_model(file)
    assert torch.equal(torch.get_rng_state(), before)


# --- files that are none ------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_a_missing_file_and_a_folder(tmp_path):
    assert "no such model file" in refused(tmp_path / "none.safetensors")
    assert "no such model file" in refused(tmp_path)


def test_a_file_that_may_not_be_read(file, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, _: path != file)
    assert "no permission to read it" in refused(file)


@pytest.mark.parametrize("share", [0.0, 1e-3, 0.3, 0.99])
def test_a_truncated_file(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert "not a readable model file" in refused(file)


CONTENT = {
    "text": b"some text\n" * 50,
    "noise": np.random.default_rng(0).bytes(2000),
    "zeros": bytes(500),
    "ones": b"\xff" * 500,
}


@pytest.mark.parametrize("content", CONTENT)
def test_other_content(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(CONTENT[content])
    assert "not a readable model file" in refused(path)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"other": "1"},
        {"isofield": "null"},
        {"isofield": "[1]"},
        {"isofield": '{"format": 2}'},
    ],
)
def test_another_safetensors_file(tmp_path, metadata):
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.zeros(3)}, path, metadata)
    assert "expected a model file of format 1" in refused(path)


def test_a_header_that_is_no_json(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.zeros(3)}, path, {"isofield": "{format: 1"})
    assert "not a readable model file" in refused(path)


@pytest.mark.parametrize(
    "key",
    ["network", "inputs", "targets", "at", "frame", "envelope", "similarity"],
)
def test_a_missing_part_of_the_header(file, key):
    rewritten(file, lambda header: header.pop(key))
    assert f"incomplete model file ('{key}')" in refused(file)


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.update(network=[1, 2]),
        lambda h: h["network"].update(architecture="MLP"),
        lambda h: h["network"].update(width=12),
        lambda h: h["network"].update(unknown=1),
        lambda h: h.update(inputs="load"),
        lambda h: h.update(frame=None),
        lambda h: h["envelope"].update(inputs=3),
    ],
)
def test_a_header_of_another_model(file, change):
    rewritten(file, change)
    assert "incomplete model file" in refused(file)


@pytest.mark.parametrize("prefix", ["network.", "input.mean", "target.scale"])
def test_a_missing_tensor(file, prefix):
    tensors, header = load_file(file), header_of(file)
    name = next(name for name in tensors if name.startswith(prefix))
    del tensors[name]
    save_file(tensors, file, {"isofield": json.dumps(header)})
    message = refused(file)
    assert "incomplete model file" in message
    assert name.removeprefix("network.") in message


def test_weights_of_another_version(file):
    tensors, header = load_file(file), header_of(file)
    name = next(name for name in tensors if name.startswith("network."))
    tensors["network.of_before"] = tensors.pop(name)
    save_file(tensors, file, {"isofield": json.dumps(header)})
    assert "perhaps that of another version of isofield" in refused(file)


# --- complete or not there ----------------------------------------------------------


def test_a_failure_leaves_the_old_model(file, model, monkeypatch):
    before = file.read_bytes()

    def half(tensors, path, metadata):
        Path(path).write_bytes(before[:100])
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.torch.save_file", half)
    with pytest.raises(OSError, match="disk full"):
        save_model(file, model)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_saving_over_a_model_replaces_it(file, blobs, tiny):
    save_model(file, tiny(blobs, targets=("s",)))
    assert [target.name for target in load_model(file).targets] == ["s"]
