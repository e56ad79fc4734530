"""Training: it learns, goes on exactly where it stopped, and says what is wrong."""

from __future__ import annotations

import csv
import json
import locale
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from isofield import generation
from isofield.data import FieldError, Sample
from isofield.loss import relative_h1
from isofield.mesh import Mesh, MeshError
from isofield.train import CHECKPOINT, Schedule, TrainingError, evaluate, fit
from isofield.train import run as runs
from isofield.train.progress import Progress
from isofield.train.run import Run

SHORT = Schedule(epochs=4, nodes=110, rate=1e-2)


def fitted(model, cases, **options):
    options = {"schedule": SHORT, "progress": False, "device": "cpu", **options}
    return fit(model, cases, **options)


def weights(model) -> torch.Tensor:
    return torch.cat([p.detach().ravel() for p in model.network.parameters()])


def interior(case: Mesh) -> Mesh:
    """The points that are not on the boundary, without cells, with their fields."""
    outer = case.boundary().cells["line"]
    inner = np.setdiff1d(np.arange(len(case.points)), outer)
    fields = {name: values[inner] for name, values in case.point_data.items()}
    return Mesh(case.points[inner], point_data=fields, field_data=case.field_data)


def numbers(history) -> list[dict]:
    """The rows of a log without the time that they took."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


def interrupted_after(steps: int, monkeypatch, error=KeyboardInterrupt) -> None:
    """From now on a training dies in the step after this many."""
    step, taken = Run._step, []

    def failing(self, batch):
        if len(taken) == steps:
            raise error
        taken.append(batch)
        return step(self, batch)

    monkeypatch.setattr(Run, "_step", failing)


# --- it learns ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned(blobs, tiny, tmp_path_factory):
    """Model, history and folder of one training of 20 epochs with validation."""
    folder = tmp_path_factory.mktemp("learned")
    model = tiny(blobs[:6])
    history = fitted(
        model,
        blobs[:6],
        validation=blobs[6:],
        directory=folder,
        schedule=Schedule(epochs=20, nodes=110, rate=1e-2),
    )
    return model, history, folder


def test_the_error_falls(learned):
    _, history, _ = learned
    first, last = history.rows[0], history.rows[-1]
    for name in ("u", "s"):
        assert last[f"train {name}"] < 0.5 * first[f"train {name}"]
        assert last[f"validation {name}"] < 0.6 * first[f"validation {name}"]
    assert [row["epoch"] for row in history.rows] == list(range(1, 21))
    rates = [row["rate"] for row in history.rows]
    assert max(rates) <= 1e-2
    assert rates[-1] < 1e-4


def test_it_learns_more_than_the_mean(learned, blobs, tiny):
    """The untrained error is about that of predicting nothing."""
    model, history, _ = learned
    samples = [model.sample(case) for case in blobs[6:]]
    before = evaluate(tiny(blobs[:6]), samples).mean(0)
    after = evaluate(model, samples).mean(0)
    assert (after < 0.6 * before).all()
    best = history.rows[history.best - 1]
    assert_allclose(after, [best["validation u"], best["validation s"]], rtol=1e-6)


def test_the_log_can_be_read(learned):
    _, history, folder = learned
    with (folder / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [
        "epoch",
        "rate",
        "train u",
        "train s",
        "validation u",
        "validation s",
        "seconds",
    ]
    assert list(rows[0]) == expected
    assert [{k: float(v) for k, v in row.items()} for row in rows] == history.rows


def test_the_log_takes_names_of_any_letters(blobs, tiny, tmp_path):
    """Where the system's own encoding knows ASCII alone: libraries may set it so."""
    cases = [case.with_point_data({"σ": case.point_data["s"]}) for case in blobs[:2]]
    model = tiny(cases, targets=("σ",))
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    try:
        fitted(model, cases, directory=tmp_path, schedule=replace(SHORT, epochs=1))
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    assert "train σ" in (tmp_path / "log.csv").read_text(encoding="utf-8")


def test_the_folder_holds_two_files(learned):
    assert sorted(p.name for p in learned[2].iterdir()) == [CHECKPOINT, "log.csv"]


def test_the_network_ends_on_the_cpu_ready_to_predict(learned):
    model = learned[0]
    assert not model.network.training
    assert {p.device.type for p in model.network.parameters()} == {"cpu"}


def test_a_finished_training_is_only_read(learned, blobs, tiny, monkeypatch):
    model, history, folder = learned
    interrupted_after(0, monkeypatch, AssertionError)
    again = tiny(blobs[:6])
    found = fitted(
        again,
        blobs[:6],
        validation=blobs[6:],
        directory=folder,
        schedule=Schedule(epochs=20, nodes=110, rate=1e-2),
    )
    assert found == history
    assert torch.equal(weights(again), weights(model))


def test_fields_at_cells(blobs, tiny):
    cases = []
    for case in blobs[:3]:
        data = {
            name: u[case.cells["triangle"]].mean(1)
            for name, u in case.point_data.items()
        }
        cases.append(replace(case, point_data={}, cell_data=data))
    history = fitted(tiny(cases, at="cells"), cases, schedule=replace(SHORT, epochs=6))
    assert history.rows[-1]["train s"] < 0.9 * history.rows[0]["train s"]


# --- evaluation ---------------------------------------------------------------------


def test_errors_are_those_of_the_physical_fields(learned, blobs):
    """By quadrature over prediction and truth in their own units."""
    model = learned[0]
    samples = [model.sample(case) for case in blobs[4:]]
    found = evaluate(model, samples)
    assert found.shape == (4, 2)
    for row, sample, case in zip(found, samples, blobs[4:], strict=True):
        w = sample.weights.double().numpy()
        output = model.evaluate(sample).numpy()
        for error, part, name in zip(row, (slice(2), slice(2, 3)), "us", strict=True):
            truth = case.point_data[name].reshape(len(w), -1)
            squared = ((output[:, part] - truth) ** 2).sum(1) @ w
            expected = (squared / ((truth**2).sum(1) @ w)) ** 0.5
            assert float(error) == pytest.approx(expected, rel=1e-4)


def test_errors_are_physical_where_targets_are_learned_in_another_unit(blobs, tiny):
    """u in units of a load that varies over the domain."""
    cases = [
        case.with_point_data({"load": 2 + case.points[:, 0]}) for case in blobs[:2]
    ]
    model = tiny(cases, similarity={"u": "load"})
    samples = [model.sample(case) for case in cases]
    for row, sample, case in zip(evaluate(model, samples), samples, cases, strict=True):
        truth = torch.from_numpy(case.point_data["u"].copy())
        learned = model.target_normalizer.invert(sample.y.double())[:, :2]
        natural = truth / torch.from_numpy(case.point_data["load"].copy())[:, None]
        assert_allclose(learned, natural, atol=1e-6)
        domain = replace(sample.domain, weights=sample.weights.double())
        error = domain.norm(model.evaluate(sample)[:, :2] - truth) / domain.norm(truth)
        assert float(row[0]) == pytest.approx(float(error), rel=1e-4)


def test_nothing_to_evaluate(learned):
    assert evaluate(learned[0], []).shape == (0, 2)


@pytest.mark.parametrize("unit", [1e-25, 1e25])
def test_squares_in_float32_neither_overflow_nor_vanish(unit, blobs, tiny):
    cases = [
        case.with_point_data({"s": unit * case.point_data["s"]}) for case in blobs[:2]
    ]
    errors = []
    for these in (blobs[:2], cases):
        model = tiny(these)
        errors.append(evaluate(model, [model.sample(case) for case in these]))
    assert_allclose(errors[1], errors[0], rtol=1e-4)


# --- it goes on where it stopped ----------------------------------------------------


@pytest.fixture(scope="module")
def whole(blobs, tiny, tmp_path_factory):
    """A training in one go."""
    folder = tmp_path_factory.mktemp("whole")
    model = tiny(blobs[:5])
    history = fitted(model, blobs[:5], validation=blobs[5:6], directory=folder)
    return model, history, folder


def same(one: Path, other: Path) -> None:
    """Two checkpoints are equal bit for bit, but for the times in their logs."""
    ours, theirs = load_file(one / CHECKPOINT), load_file(other / CHECKPOINT)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


@pytest.mark.parametrize("steps", [0, 1, 5, 7, 11])
def test_an_interrupted_training_ends_with_the_same_weights(
    steps, whole, blobs, tiny, tmp_path
):
    """Three batches an epoch: before the first, within an epoch and between two."""
    with pytest.MonkeyPatch.context() as patch:
        interrupted_after(steps, patch)
        with pytest.raises(KeyboardInterrupt):
            fitted(
                tiny(blobs[:5]), blobs[:5], validation=blobs[5:6], directory=tmp_path
            )
    assert (tmp_path / CHECKPOINT).exists() == (steps >= 3)
    model = tiny(blobs[:5])
    history = fitted(model, blobs[:5], validation=blobs[5:6], directory=tmp_path)
    assert torch.equal(weights(model), weights(whole[0]))
    assert numbers(history) == numbers(whole[1])
    assert history.best == whole[1].best
    same(tmp_path, whole[2])


def test_the_same_model_object_may_go_on(whole, blobs, tiny, tmp_path, monkeypatch):
    """Half an epoch has changed its weights: the checkpoint puts them back."""
    model = tiny(blobs[:5])
    options = {"validation": blobs[5:6], "directory": tmp_path}
    with monkeypatch.context() as patch:
        interrupted_after(7, patch, RuntimeError)
        with pytest.raises(RuntimeError):
            fitted(model, blobs[:5], **options)
    fitted(model, blobs[:5], **options)
    assert torch.equal(weights(model), weights(whole[0]))


def test_a_training_is_a_function_of_its_arguments(whole, blobs, tiny):
    """With and without a folder, whatever torch's own generator has done."""
    torch.manual_seed(123)
    before = torch.get_rng_state()
    model = tiny(blobs[:5])
    history = fitted(model, blobs[:5], validation=blobs[5:6])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(weights(model), weights(whole[0]))
    assert numbers(history) == numbers(whole[1])
    other = tiny(blobs[:5])
    fitted(other, blobs[:5], schedule=replace(SHORT, seed=1))
    assert not torch.equal(weights(other), weights(model))


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": replace(SHORT, epochs=5)},
        {"schedule": replace(SHORT, seed=1)},
        {"precision": "bf16"},
        {"loss": "h1"},
        {"validation": ()},
        {"model": {"width": 9}},
        {"model": {"targets": ("s",)}},
        {"model": {"similarity": {"u": "load"}}},
        {"count": 4},
    ],
    ids=str,
)
def test_a_checkpoint_of_another_training_is_refused(change, whole, blobs, tiny):
    change = dict(change)
    before = (whole[2] / CHECKPOINT).read_bytes()
    model = tiny(blobs[:5], **change.pop("model", {}))
    cases = blobs[: change.pop("count", 5)]
    options = {"validation": blobs[5:6], "directory": whole[2], **change}
    with pytest.raises(TrainingError, match="belongs to a training of another model"):
        fitted(model, cases, **options)
    assert (whole[2] / CHECKPOINT).read_bytes() == before


def test_other_cases_of_the_same_sizes_are_noticed(whole, blobs, tiny):
    """By the normalizers, where fields lie within the same extremes."""
    cases = list(blobs[:5])
    s = cases[0].point_data["s"].copy()
    s[3] += 1e-3
    cases[0] = cases[0].with_point_data({"s": s})
    with pytest.raises(TrainingError, match="another model, schedule or cases"):
        fitted(tiny(cases), cases, validation=blobs[5:6], directory=whole[2])


def test_a_checkpoint_of_another_version_is_named(whole, blobs, tiny, tmp_path):
    """The same arguments once made a network of other shapes."""
    with safe_open(whole[2] / CHECKPOINT, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(whole[2] / CHECKPOINT)
    name = next(name for name in tensors if name.startswith("network."))
    tensors[name] = tensors[name][:-1].clone()
    save_file(tensors, tmp_path / CHECKPOINT, metadata)
    with pytest.raises(TrainingError, match="its weights do not fit the network"):
        fitted(tiny(blobs[:5]), blobs[:5], validation=blobs[5:6], directory=tmp_path)


@pytest.mark.parametrize("kind", ["empty", "truncated", "text", "other", "no identity"])
def test_a_damaged_checkpoint_is_named(kind, whole, blobs, tiny, tmp_path):
    path = tmp_path / CHECKPOINT
    content = (whole[2] / CHECKPOINT).read_bytes()
    if kind in ("other", "no identity"):
        header = json.dumps({} if kind == "no identity" else [1])
        save_file({"a": torch.zeros(1)}, path, {"isofield": header})
    else:
        parts = {"empty": b"", "truncated": content[:5000], "text": b"text " * 99}
        path.write_bytes(parts[kind])
    with pytest.raises(TrainingError, match=r"not a readable checkpoint .* delete it"):
        fitted(tiny(blobs[:5]), blobs[:5], directory=tmp_path)


def test_a_checkpoint_is_complete_or_the_one_before(
    whole, blobs, tiny, tmp_path, monkeypatch
):
    """The disk is full in the second epoch: the first one can be gone on from."""
    written = []

    def failing(tensors, path, metadata):
        if len(written) == 1:
            Path(path).write_bytes(b"half")
            raise OSError("disk full")
        written.append(path)
        save_file(tensors, path, metadata)

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", failing)
        with pytest.raises(OSError, match="disk full"):
            fitted(
                tiny(blobs[:5]), blobs[:5], validation=blobs[5:6], directory=tmp_path
            )
    assert sorted(p.name for p in tmp_path.iterdir()) == [CHECKPOINT, "log.csv"]
    model = tiny(blobs[:5])
    fitted(model, blobs[:5], validation=blobs[5:6], directory=tmp_path)
    assert torch.equal(weights(model), weights(whole[0]))


# --- the best epoch -----------------------------------------------------------------


def scripted(scores, monkeypatch, model) -> list[torch.Tensor]:
    """Validation errors as written here; returns the weights of every epoch."""
    seen = []

    def evaluation(*_):
        seen.append(weights(model).clone())
        return torch.full((1, 2), scores[len(seen) - 1])

    monkeypatch.setattr(runs, "evaluate", evaluation)
    return seen


def test_the_weights_of_the_best_epoch_are_kept(blobs, tiny, monkeypatch, tmp_path):
    model = tiny(blobs[:2])
    seen = scripted([0.9, 0.2, 0.4, 0.3], monkeypatch, model)
    history = fitted(model, blobs[:2], validation=blobs[2:3], directory=tmp_path)
    assert history.best == 2
    assert torch.equal(weights(model), seen[1])
    assert not torch.equal(weights(model), seen[3])


def test_the_last_epoch_is_kept_where_nothing_is_validated(blobs, tiny, monkeypatch):
    history = fitted(tiny(blobs[:2]), blobs[:2])
    assert history.best == 4
    assert "validation u" not in history.rows[0]


def test_a_training_goes_on_from_its_last_epoch_not_its_best(
    blobs, tiny, monkeypatch, tmp_path
):
    """Four steps an epoch: interrupted in the third, when the first is the best."""
    scores, models = [0.2, 0.9, 0.8, 0.7], []
    for steps in (None, 10):
        models.append(tiny(blobs[:4]))
        scripted(scores, monkeypatch, models[-1])
        options = {
            "validation": blobs[4:5],
            "directory": tmp_path / str(steps),
            "schedule": replace(SHORT, nodes=1),
        }
        if steps is not None:
            with monkeypatch.context() as patch:
                interrupted_after(steps, patch)
                with pytest.raises(KeyboardInterrupt):
                    fitted(models[-1], blobs[:4], **options)
        history = fitted(models[-1], blobs[:4], **options)
        assert history.best == 1
    same(tmp_path / "None", tmp_path / "10")
    assert torch.equal(weights(models[0]), weights(models[1]))


def test_every_epoch_has_its_own_order(blobs, tiny, monkeypatch):
    drawn, draw = [], runs.node_batches

    def seen(*arguments):
        drawn.append(draw(*arguments))
        return drawn[-1]

    monkeypatch.setattr(runs, "node_batches", seen)
    fitted(tiny(blobs), blobs)
    orders = [tuple(i for batch in batches for i in batch) for batches in drawn]
    assert len(set(orders)) == 4


# --- losses and precisions ----------------------------------------------------------


def h1_error(model, samples: list[Sample]) -> float:
    channels = [target.channels for target in model.targets]
    total = 0.0
    for sample in samples:
        output = model.evaluate(sample).float()
        truth = model.target_normalizer.invert(sample.y)
        error = relative_h1(output, truth, sample.domain, sample.gradient, channels)
        total += float(error.mean()) / len(samples)
    return total


def test_the_h1_loss_brings_slopes_closer(blobs, tiny):
    """Lower in H1 than a training in L2, and not equal to it."""
    cases, found = blobs[:4], []
    for loss in ("l2", "h1"):
        model = tiny(cases)
        samples = [model.sample(case, with_gradient=True) for case in cases]
        before = h1_error(model, samples)
        fitted(model, cases, loss=loss, schedule=replace(SHORT, epochs=12))
        found.append(h1_error(model, samples))
    assert found[1] < 0.75 * before
    assert found[1] < found[0]


def test_bf16_is_close_and_learns(blobs, tiny):
    """Eight bits of mantissa: 2^-8 per product, a few of them in a row."""
    model = tiny(blobs[:4])
    sample = model.sample(blobs[0])
    with torch.no_grad():
        exact = model.network(sample.x, sample.plan)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model.network(sample.x, sample.plan)
    apart = float((rounded.float() - exact).norm() / exact.norm())
    assert 1e-5 < apart < 0.03
    rows = []
    for precision in ("float32", "bf16"):
        history = fitted(
            tiny(blobs[:4]),
            blobs[:4],
            precision=precision,
            schedule=replace(SHORT, epochs=10),
        )
        rows.append(history.rows)
    for name in ("train u", "train s"):
        assert rows[1][-1][name] < 0.8 * rows[1][0][name]
        assert rows[1][-1][name] == pytest.approx(rows[0][-1][name], rel=0.2)
    assert rows[0] != rows[1]


def test_bf16_keeps_the_weights_in_float32(blobs, tiny):
    model = tiny(blobs[:2])
    fitted(model, blobs[:2], precision="bf16", schedule=replace(SHORT, epochs=1))
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_gpu_learns_the_same(precision, blobs, tiny, tmp_path):
    rows = []
    for device in ("cpu", "cuda"):
        model = tiny(blobs[:4])
        history = fitted(
            model,
            blobs[:4],
            validation=blobs[4:5],
            device=device,
            precision=precision,
            loss="h1",
            schedule=replace(SHORT, epochs=8),
            directory=tmp_path / device,
        )
        rows.append(history.rows[-1])
        assert {p.device.type for p in model.network.parameters()} == {"cpu"}
        sample = model.sample(blobs[0])
        on_cpu = model.evaluate(sample)
        assert_allclose(model.evaluate(sample, device), on_cpu, rtol=1e-3, atol=1e-3)
    tolerance = 0.05 if precision == "float32" else 0.3
    for name in ("train u", "validation s"):
        assert rows[1][name] == pytest.approx(rows[0][name], rel=tolerance)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_goes_on_from_a_checkpoint(blobs, tiny, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        interrupted_after(7, patch)
        with pytest.raises(KeyboardInterrupt):
            fitted(tiny(blobs[:5]), blobs[:5], directory=tmp_path, device="cuda")
    one, other = tiny(blobs[:5]), tiny(blobs[:5])
    fitted(one, blobs[:5], directory=tmp_path, device="cuda")
    fitted(other, blobs[:5], device="cuda")
    assert_allclose(weights(one), weights(other), atol=1e-4)


# --- what goes wrong ----------------------------------------------------------------


def test_a_loss_that_is_no_number(blobs, tiny, tmp_path):
    model = tiny(blobs[:2])
    with torch.no_grad():
        next(model.network.parameters()).fill_(float("nan"))
    with pytest.raises(
        TrainingError, match=r"loss became nan in epoch 1: lower .*0.01"
    ):
        fitted(model, blobs[:2], directory=tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_gradient_that_is_no_number(blobs, tiny):
    model = tiny(blobs[:2])
    next(model.network.parameters()).register_hook(lambda g: g * float("inf"))
    before = weights(model)
    with pytest.raises(TrainingError, match=r"gradient of the loss became (inf|nan)"):
        fitted(model, blobs[:2])
    assert torch.equal(weights(model), before)


def test_weights_that_are_no_numbers_after_the_last_step(blobs, tiny, tmp_path):
    """Their loss would have been seen in an epoch that does not come."""
    model = tiny(blobs[:1])
    schedule = replace(SHORT, epochs=1, rate=float("inf"))
    with pytest.raises(TrainingError, match="are no numbers after epoch 1: lower the"):
        fitted(model, blobs[:1], schedule=schedule, directory=tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_validation_error_that_is_no_number(blobs, tiny, monkeypatch):
    model = tiny(blobs[:2])
    scripted([0.5, float("nan")], monkeypatch, model)
    with pytest.raises(TrainingError, match="validation error became nan in epoch 2"):
        fitted(model, blobs[:2], validation=blobs[2:3])


def test_targets_that_are_zero_everywhere_are_refused_by_name(blobs, tiny):
    """Shifted by the mean of the others they would be a huge but finite error."""
    model = tiny(blobs[:3])
    zero = blobs[1].with_point_data({"u": np.zeros_like(blobs[1].point_data["u"])})
    cases = [blobs[0], zero, blobs[2]]
    with pytest.raises(TrainingError, match="b: target 'u' is zero everywhere"):
        fitted(model, cases, names=["a", "b", "c"])
    with pytest.raises(TrainingError, match="validation case 1: target 'u' is zero"):
        fitted(model, blobs[:1], validation=[blobs[2], zero])
    with pytest.raises(TrainingError, match="c: target 'u' is zero everywhere"):
        fitted(model, blobs[:1], validation=[blobs[2], zero], names=["a", "b", "c"])


def test_the_bad_case_is_named(blobs, tiny):
    model = tiny(blobs[:2])
    bare = replace(blobs[1], point_data={"f": blobs[1].point_data["f"]})
    with pytest.raises(FieldError, match="case 1: no field 'u' at points"):
        fitted(model, [blobs[0], bare])
    with pytest.raises(FieldError, match="validation case 0: no field 'u' at points"):
        fitted(model, blobs[:2], validation=[bare])
    cloud = replace(blobs[1], cells={})
    with pytest.raises(MeshError, match="plate: a gradient needs cells"):
        fitted(model, [cloud], loss="h1", names=["plate"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp16"}, "precision: expected 'float32' or 'bf16', got 'fp16'"),
        ({"loss": "mse"}, "loss: expected 'l2' or 'h1', got 'mse'"),
        ({"schedule": replace(SHORT, nodes=0)}, "budget: expected a positive number"),
        ({"names": ["a"]}, "names: expected 2, got 1"),
        ({"names": []}, "names: expected 2, got 0"),
    ],
)
def test_arguments_that_make_no_sense(options, message, blobs, tiny):
    with pytest.raises(ValueError, match=message):
        fitted(tiny(blobs[:2]), blobs[:2], **options)


def test_no_cases_and_cells_in_h1(blobs, tiny):
    model = tiny(blobs[:2])
    with pytest.raises(ValueError, match="expected at least one case"):
        fitted(model, [])
    with pytest.raises(ValueError, match="H1 loss needs fields at points"):
        fitted(replace(model, at="cells"), blobs[:2], loss="h1")


# --- bars, schedules ----------------------------------------------------------------


def test_without_progress_nothing_is_written(blobs, tiny, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(tiny(blobs[:2]), blobs[:2], schedule=replace(SHORT, epochs=1))
    assert capfd.readouterr() == ("", "")


def test_bars_name_what_is_under_way(blobs, tiny, capfd):
    fitted(
        tiny(blobs[:2]),
        blobs[:2],
        validation=blobs[2:3],
        progress=True,
        schedule=replace(SHORT, epochs=2),
    )
    shown = capfd.readouterr().out
    assert "Preparing cases" in shown
    assert "Training" in shown
    assert "2/2" in shown


def test_in_a_narrow_window_no_number_of_a_bar_is_cut(monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", "80")
    names = ("displacement", "von_mises", "temperature", "heat_flux")
    note = ", ".join(f"{name} 100.0 %" for name in names)
    with Progress(True) as bars:
        task = bars.add("Preparing cases", 1200, 1199)
        bars.advance(task, note)
    shown = capfd.readouterr().out
    assert "1200/1200 0:00:00" in " ".join(shown.split())
    assert "…" not in shown
    assert all(name in shown for name in names)
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_the_rate_rises_and_falls_to_zero():
    schedule = Schedule(warmup=0.1)
    share = [schedule.factor(step, 200) for step in range(200)]
    assert np.argmax(share) == 19
    assert share[19] == share[20] == 1.0
    assert (np.diff(share[:20]) > 0).all()
    assert (np.diff(share[20:]) < 0).all()
    assert_allclose(share[110], 0.5, atol=1e-12)
    assert 0 < share[-1] < 1e-3
    assert 0 < share[0] <= 0.05


def test_a_single_step_learns(blobs, tiny):
    """Neither the first nor the only step has the rate 0."""
    model = tiny(blobs[:2])
    before = weights(model)
    history = fitted(
        model, blobs[:2], schedule=Schedule(epochs=1, nodes=10**6, rate=1e-2)
    )
    assert history.rows[0]["rate"] > 4e-3
    assert float((weights(model) - before).abs().max()) > 3e-3


def test_no_epochs_change_nothing(blobs, tiny):
    model = tiny(blobs[:2])
    before = weights(model)
    history = fitted(model, blobs[:2], schedule=replace(SHORT, epochs=0))
    assert history.rows == []
    assert torch.equal(weights(model), before)


def test_steps_are_clipped(blobs, tiny, monkeypatch):
    """The gradient that the optimizer sees is never longer than `clip`."""
    model, sizes = tiny(blobs[:2]), []
    step = torch.optim.AdamW.step

    def seen(self, *args, **kwargs):
        parts = [p.grad.norm() for g in self.param_groups for p in g["params"]]
        sizes.append(float(torch.stack(parts).norm()))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", seen)
    fitted(model, blobs[:2], schedule=replace(SHORT, epochs=1, clip=1e-3))
    assert max(sizes) <= 1.001e-3


def test_a_batch_of_mixed_sizes_is_the_mean_over_samples(loaded, tiny):
    """A fine mesh counts as much as a coarse one of the same case."""
    cases = [loaded(generation.square(n), 1.0) for n in (3, 9)]
    model = tiny(cases)
    samples = [model.sample(case) for case in cases]
    expected = evaluate(model, samples).mean(0)
    history = fitted(model, cases, schedule=Schedule(epochs=1, nodes=10**6, rate=0.0))
    row = history.rows[0]
    assert_allclose([row["train u"], row["train s"]], expected, rtol=1e-5)


# --- clouds -------------------------------------------------------------------------


def test_clouds_inside_their_domains_are_measured_as_such(blobs, tiny, tmp_path):
    """In the log as in `evaluate`, and a checkpoint knows which word was given."""
    clouds = [interior(case) for case in blobs[:3]]
    still = Schedule(epochs=1, nodes=10_000, rate=1e-12)
    found = {}
    for touching in (True, False):
        model = tiny(clouds, cloud_on_boundary=touching)
        options = {"schedule": still, "cloud_on_boundary": touching}
        row = fitted(model, clouds, directory=tmp_path, **options).rows[0]
        samples = [model.sample(c, cloud_on_boundary=touching) for c in clouds]
        expected = evaluate(model, samples).mean(0)
        assert_allclose([row["train u"], row["train s"]], expected, rtol=1e-4)
        found[touching] = expected
        (tmp_path / CHECKPOINT).unlink()
    assert not np.allclose(found[True], found[False], rtol=1e-3)
    fitted(model, clouds, directory=tmp_path, **options)
    with pytest.raises(TrainingError):
        fitted(model, clouds, directory=tmp_path, schedule=still)
