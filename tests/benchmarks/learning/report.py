"""The results as lines of JSON, tables in Markdown and curves."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from isofield.files import replaced

Line = dict[str, Any]
OWN = "linear elements on the sample's own mesh"
KNOWN = ("in distribution", "1,000 nodes")  # sets like what was learned from
OURS = "recommended"
OTHERS = ("GINO (", "Transolver", "PointTransformer", "MeshGraphNet")
BESIDE_HEAD = [
    *("task", "field", "budget", OURS, "best of the others", "which", "ratio")
]
TRANSFER_HEAD = [
    *("task", "field", "budget", "4 times finer", "graded", "another mesher"),
    *("3 times coarser", "its error", "linear elements there"),
    *("cloud", "its error", "linear elements there"),
    *("cloud, domain known", "finest cloud"),
]
BESIDE = (
    "What `isofield.recommend` takes, and the best of GINO, Transolver, the point "
    "transformer and MeshGraphNet in the same time, in distribution:"
)
TRANSFER = (
    "Errors of the recommended network on other meshes, in those in distribution; "
    "graded is the worse of two families. Linear elements know of inputs what the mesh "
    "holds, and of a cloud's domain the triangles of its alpha shape. A cloud has as "
    "many points as a mesh of middle size, the finest as many as the finest meshes; a "
    "known domain is a mesh (`predict(domain=)`):"
)


def append(path: Path, line: Line) -> None:
    """One more result, written at once: two processes may append to one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (json.dumps(line) + "\n").encode()
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, text)
    finally:
        os.close(file)


def latest(path: Path) -> dict[tuple[str, str], list[Line]]:
    """(task, form) -> a line for each model and budget, as they first came: medians of
    the last lines of all seeds, with the "spread" of errors, least and greatest.

    Raises `ValueError` for a line that is no JSON, by its number.
    """
    found: dict[tuple[str, str], dict[str, dict[int, Line]]] = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            line = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        models = found.setdefault((line["task"], line["form"]), {})
        models.setdefault(_label(line), {})[line["seed"]] = line
    return {
        key: [_median(list(seeds.values())) for seeds in models.values()]
        for key, models in found.items()
    }


def _median(seeds: list[Line]) -> Line:
    """One line for those of several seeds, of each set over those that know it.

    "spread" : of errors, the least and the greatest. "ratios" : medians of errors over
    those in distribution of the same seed.
    """
    facts = ("preparing", "steps", "seconds per step", "training error")
    line = seeds[0] | {name: median(each[name] for each in seeds) for name in facts}
    for part in ("points", "own"):
        line[part] = {k: v for each in reversed(seeds) for k, v in each[part].items()}
    base = _middle(line)
    line |= {"errors": {}, "spread": {}, "ratios": {}, "seeds": len(seeds)}
    for title in dict.fromkeys(title for each in seeds for title in each["errors"]):
        known = [each["errors"] for each in seeds if title in each["errors"]]
        found = {name: [e[title][name] for e in known] for name in known[0][title]}
        ratio = {k: median(e[title][k] / e[base][k] for e in known) for k in found}
        line["errors"][title] = {name: median(v) for name, v in found.items()}
        line["spread"][title] = {k: (min(v), max(v)) for k, v in found.items()}
        line["ratios"][title] = ratio
    return line


def report(results: Path, folder: Path, titles: dict[str, str]) -> None:
    """Writes `benchmark.md` and `benchmark.png`. titles : of the tasks, by name."""
    groups = latest(results)
    parts = [
        "# What networks make of solvers' data",
        "Mean relative L2 error in the measure on new samples. Every network trained "
        "for the time beside its name, CPU time of one core or a GPU's; targets come "
        "from solutions on meshes much finer than the samples'. Of several seeds the "
        "median, with the least and the greatest in brackets. Renumbered: the largest "
        "change of a prediction, relative to its size, by another order of points. "
        "Reproduce with "
        "`python -m tests.benchmarks.learning --task NAME --model NAME`.",
        "![Error against resolution](benchmark.png)",
    ]
    for text, head, cells in (
        (BESIDE, BESIDE_HEAD, _beside),
        (TRANSFER, TRANSFER_HEAD, _transferred),
    ):
        rows = [
            [_title(name, form, titles), target, *cells(line, lines, target)]
            for (name, form), lines in groups.items()
            for line in _recommended(lines)
            for target in _targets(lines)
        ]
        parts += [text, _table([head, *rows])] if rows else []
    for (name, form), lines in groups.items():
        title = f"{titles.get(name, name)} ({form})"
        parts += [f"## {title}", _table(_facts(lines))]
        for target in _targets(lines):
            parts += [f"Error of `{target}`:", _table(_errors(lines, target))]
    text = "\n\n".join(parts) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    replaced(folder / "benchmark.md", lambda p: p.write_text(text, encoding="utf-8"))
    replaced(folder / "benchmark.png", lambda p: _curves(p, groups, titles))


def _title(name: str, form: str, titles: dict[str, str]) -> str:
    """Mixed resolutions go without saying."""
    return titles.get(name, name) + ("" if form == "mixed" else f", {form} resolution")


def _recommended(lines: Sequence[Line]) -> list[Line]:
    """The lines of the recommended network, of each budget that others have had too, or
    the longest; means where there are some."""
    ours = [line for line in lines if line["model"] == OURS]
    best = {_budget(line): line for line in sorted(ours, key=_advised)}
    known = {_budget(line) for line in lines if line["model"].startswith(OTHERS)}
    return [best[b] for b in sorted(best) if b in known] or list(best.values())[-1:]


def _advised(line: Line) -> tuple[float, int, bool]:
    """Later what is recommended: means where there are some, then no copies."""
    return line["seconds"], line.get("mean") or 0, not line.get("copies")


def _budget(line: Line) -> tuple[str, float]:
    return line.get("device", "cpu"), line["seconds"]


def _time(line: Line) -> str:
    device, seconds = _budget(line)
    return f"{seconds:g} s" + ("" if device == "cpu" else f" on {device}")


def _middle(line: Line) -> str:
    """The set in distribution."""
    known = [title for title in KNOWN if title in line["resolutions"]]
    return known[0] if known else line["resolutions"][0]


def _beside(line: Line, lines: Sequence[Line], target: str) -> list[str]:
    known = _middle(line)
    found = {
        other["errors"][known][target]: other["model"]
        for other in lines
        if other["model"].startswith(OTHERS) and _budget(other) == _budget(line)
    }
    error, budget = line["errors"][known][target], _time(line)
    if not found:
        return [budget, f"{error:.3f}", "–", "–", "–"]
    best = min(found)
    return [budget, f"{error:.3f}", f"{best:.3f}", found[best], f"{error / best:.2f}"]


def _transferred(line: Line, _: Sequence[Line], target: str) -> list[str]:
    errors, ratios = (
        {title: e[target] for title, e in line[part].items() if target in e}
        for part in ("errors", "ratios")
    )

    def worst(start: str) -> str:
        found = [ratio for title, ratio in ratios.items() if title.startswith(start)]
        return f"{max(found):.2f}" if found else "–"

    def beside(title: str) -> list[str]:
        found = errors.get(title), line["own"].get(title, {}).get(target)
        ratio = f"{ratios[title]:.2f}" if title in ratios else "–"
        return [ratio, *("–" if e is None else f"{e:.3f}" for e in found)]

    return [
        _time(line),
        *(worst("4 times finer"), worst("graded"), worst("another mesher")),
        *beside("3 times coarser"),
        *beside("random cloud" if "random cloud" in errors else "random points"),
        *(worst("random cloud, domain"), worst("random cloud, finest")),
    ]


def _label(line: Line) -> str:
    """The model, with what is not its default, and its budget."""
    given, copies, mean = line["arguments"], line.get("copies"), line.get("mean")
    words = [line["model"]]
    if "architecture" in given:  # all arguments are the recommendation's
        words.append(f"({given['architecture']})")
    else:
        words += [f"{key}={value}" for key, value in given.items()]
    if copies:
        words.append(f"{copies} copies")
    if mean:
        words.append(f"means over {1 + mean}")
    return " ".join(words) + f", {_time(line)}"


def _targets(lines: Sequence[Line]) -> list[str]:
    return list(next(iter(lines[0]["errors"].values())))


def _facts(lines: Sequence[Line]) -> list[list[str]]:
    head = ["model", "parameters", "seeds", "steps", "s per step", "preparing"]
    rows = [[*head, "training error", "renumbered"]]
    for line in lines:
        rows.append(
            [
                _label(line),
                f"{line['parameters']:,}",
                f"{line['seeds']}",
                f"{line['steps']:,.0f}",
                f"{line['seconds per step']:.3g}",
                f"{line['preparing']:.0f} s",
                f"{line['training error']:.3f}",
                f"{line['renumbered']:.0e}" if "renumbered" in line else "–",
            ]
        )
    return rows


def _errors(lines: Sequence[Line], target: str) -> list[list[str]]:
    """A row for every set; the last column is the solver's own error."""
    rows = [["test set", "points", *map(_label, lines), OWN]]
    every = {k: v for line in lines for k, v in line["points"].items()}
    solved = {k: v for line in lines for k, v in line["own"].items()}
    for title, points in every.items():
        cells = [_cell(line, title, target) for line in lines]
        own = solved.get(title, {}).get(target)
        cells.append("–" if own is None else f"{own:.3f}")
        rows.append([title, f"{points:,.0f}", *cells])
    return rows


def _cell(line: Line, title: str, target: str) -> str:
    error = line["errors"].get(title, {}).get(target)
    if error is None:
        return "–"
    low, high = line["spread"][title][target]
    return f"{error:.3f}" + (f" ({low:.3f}–{high:.3f})" if low < high else "")


def _table(rows: list[list[str]]) -> str:
    rule = ["---"] * len(rows[0])
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def _style(line: Line) -> str:
    """Dotted with copies in training, crosses for means over some in predictions."""
    return ("x" if line.get("mean") else "o") + (":" if line.get("copies") else "-")


def _curves(path: Path, groups: dict, titles: dict[str, str]) -> None:
    """Error against points, a line for every model, the solver's own dashed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [(key, target) for key in groups for target in _targets(groups[key])]
    models = sorted({line["model"] for lines in groups.values() for line in lines})
    colours = {model: f"C{number % 10}" for number, model in enumerate(models)}
    figure = Figure((10.0, 3.8 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    for number, ((name, form), target) in enumerate(panels, 1):
        lines = groups[name, form]
        axes = figure.add_subplot(len(panels), 1, number)
        curves = [
            (_label(line), line["errors"], _style(line), colours[line["model"]])
            for line in lines
        ]
        curves.append((OWN, lines[0]["own"], "--", "k"))
        for label, errors, style, colour in curves:
            sets = [
                title
                for title in lines[0]["resolutions"]
                if target in errors.get(title, {})
            ]
            sets.sort(key=lines[0]["points"].get)
            points = [lines[0]["points"][title] for title in sets]
            found = [errors[title][target] for title in sets]
            axes.plot(points, found, style, color=colour, label=label)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("points")
        axes.set_ylabel(f"relative L2 error of {target}")
        axes.set_title(
            f"{titles.get(name, name)} ({form})", fontsize="medium", wrap=True
        )
        axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1))
    figure.savefig(path, dpi=120)
