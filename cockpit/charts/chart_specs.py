"""The charts of a run: those of its task in their order, with the recorded metrics each holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Final, Literal

from cockpit.charts.scale import FREE, Bounds
from engine.journal.task_meta import LAYER_PREFIX, layer_of
from engine.outputs.step_time import PARTS
from engine.protocol.record import record
from engine.protocol.task_spec import NO_SPEC, Metric, TaskSpec

_SHARE: Final[Bounds] = (0.0, 1.0)
_GPU_MEMORY: Final = ("system/gpu_memory", "system/gpu_memory_peak", "system/gpu_memory_limit")


@record
class Spec:
    """One chart: its named metrics, those whose name begins with `prefix`, and its default options.

    `lasting` charts are shown before their metrics exist.
    """

    id: str
    title: str
    kind: Literal["lines", "stack", "heat"] = "lines"
    metrics: tuple[str, ...] = ()
    prefix: str = ""
    log: bool = False
    smoothing: float = 0.0
    bounds: Bounds = FREE
    lasting: bool = False
    labels: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """Names of curves in the legend, where they differ from those of the metrics."""

    def label(self, metric: str, metrics: tuple[str, ...]) -> str:
        """Return the name of a curve in a chart of `metrics`."""
        return self.labels.get(metric) or label_of(metric, metrics)

    def present(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the metrics of `names` that belong to this chart: named ones first, then in the order of `names`."""
        known = dict.fromkeys(names)
        named = [name for name in self.metrics if name in known]
        rest = [name for name in known if self.prefix and name.startswith(self.prefix) and name not in _NOT_PARTS]
        return tuple(dict.fromkeys([*named, *rest]))


_LETTERS: Final = "abcdefghijklmnpqrstuwyzABCDEFGHIJKLMNPQRSTUWYZ"
_NOT_PARTS: Final = ("grad_norm/total", "loss/total", "weight_norm/total")
_MOST_SCORES: Final = 4
"""Scores drawn in one chart by default: more curves are hard to tell apart."""


def charts_for(spec: TaskSpec) -> tuple[Spec, ...]:
    """Return the charts of a task, the most important first; every task has the same ids."""
    terms = spec.term_names
    scores, others = _scores(spec)
    known = spec != NO_SPEC
    has_terms = bool(terms) or not known
    return (
        Spec("loss", "Loss", metrics=("loss/total", "val/loss"), smoothing=0.8, lasting=True),
        Spec("layers", "Pinned layers", prefix=LAYER_PREFIX, log=True),
        Spec("terms", "Loss terms, raw", metrics=_named("loss_raw", terms), smoothing=0.8, lasting=has_terms),
        Spec("norm", "Gradient norm", metrics=("grad_norm/total", "clip/threshold"), log=True, lasting=True),
        Spec(
            "validation",
            f"Validation {spec.score_title}".rstrip(),
            metrics=_named("val", [metric.name for metric in scores]),
            bounds=_bounds(scores),
            lasting=bool(scores) or not known,
        ),
        Spec(
            "share",
            "Loss share per term",
            kind="stack",
            metrics=_named("loss", terms),
            lasting=has_terms and len(terms) != 1,
        ),
        Spec("modules", "Gradient norm per module", kind="heat", prefix="grad_norm/", lasting=True),
        Spec("scores", "Other scores", metrics=_named("val", [metric.name for metric in others])),
        Spec("lr", "Learning rate", metrics=("lr",), lasting=True),
        Spec("speed", "Samples per second", metrics=("samples_per_second",), smoothing=0.6, lasting=spec.knows_data),
        Spec("components", f"Gradient share per {spec.component_noun}", prefix="grad_share/", bounds=_SHARE),
        Spec("wait", "Data wait, s", metrics=("data_wait",)),
        Spec("load", "Load, %", metrics=("system/cpu", "system/gpu")),
        Spec("memory", "Memory, MiB", metrics=("system/memory", *_GPU_MEMORY)),
        Spec("weights", "Weight norm per module", kind="heat", prefix="weight_norm/"),
        Spec("time", "Time of a step", kind="stack", metrics=_named("time", PARTS)),
    )


def _named(root: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{root}/{name}" for name in names)


def _scores(spec: TaskSpec) -> tuple[list[Metric], list[Metric]]:
    """Return the score with the first metrics on its axis, and the first of all other metrics."""
    score = next((metric for metric in spec.metrics if metric.name == spec.score), Metric(spec.score))
    rest = [metric for metric in spec.metrics if metric.name != spec.score]
    same = [metric for metric in rest if (metric.low, metric.high) == (score.low, score.high)][: _MOST_SCORES - 1]
    others = [metric for metric in rest if metric not in same]
    return [score, *same] if spec.score else [], others[:_MOST_SCORES]


def _bounds(metrics: Sequence[Metric]) -> Bounds:
    """Return the bounds of the first of `metrics`, which all of them share."""
    if not metrics:
        return FREE
    low, high = metrics[0].low, metrics[0].high
    return (FREE[0] if low is None else low, FREE[1] if high is None else high)


def charts_of(names: Iterable[str], charts: Iterable[Spec]) -> tuple[Spec, ...]:
    """Return those of `charts` that a run with these metrics has."""
    known = tuple(names)
    return tuple(chart for chart in charts if chart.lasting or chart.present(known))


def is_sparse(metric: str) -> bool:
    """Return whether the metric is measured at some steps only."""
    return metric.startswith(("val/", LAYER_PREFIX))


def label_of(metric: str, metrics: tuple[str, ...]) -> str:
    """Return a short name for a metric in a chart of `metrics`: its last part if that is unique, or the layer."""
    layer, measure = layer_of(metric)
    if layer:
        is_of_one_kind = len({layer_of(name)[1] for name in metrics}) == 1
        return layer if is_of_one_kind else f"{layer} {measure.replace('_', ' ')}"
    lasts = [name.rpartition("/")[2] for name in metrics]
    last = metric.rpartition("/")[2]
    return last.replace("_", " ") if lasts.count(last) <= 1 and metric != "val/loss" else metric


def short_label(label: str, labels: Iterable[str]) -> str:
    """Return the first word of a label if no other of `labels` begins with it, else the whole label."""
    others = {word for other in labels if other != label for word in other.split()}
    return next((word for word in label.split() if word not in others), label)


def slot_of(metric: str, position: int, terms: Sequence[str]) -> int:
    """Return the colour slot of a curve: each of `terms` has a fixed one, other curves go by position."""
    root, _, last = metric.partition("/")
    return terms.index(last) if root in ("loss", "loss_raw") and last in terms else position


def letter_of(number: int) -> str:
    """Return the letter of a colour slot: a to z, then A to Z, repeated, without those used as signs."""
    return _LETTERS[number % len(_LETTERS)]


def chance_of(metric: str, chance: Mapping[str, float]) -> float | None:
    """Return the chance level of a raw loss term, or `None`."""
    root, _, term = metric.partition("/")
    return chance.get(term) if root == "loss_raw" else None
