"""Which charts a run has: the default ones in their order, and what they hold of the metrics that were recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from engine.tasks.person.spec import LOSS_TERMS


@dataclass(frozen=True, slots=True)
class Spec:
    """One chart: the metrics it holds by name, those whose name begins with `prefix`, and how it starts out.

    `lasting` charts are shown before their metrics exist.
    """

    id: str
    title: str
    kind: Literal["lines", "stack", "heat"] = "lines"
    metrics: tuple[str, ...] = ()
    prefix: str = ""
    log: bool = False
    smoothing: float = 0.0
    bounds: bool = False
    lasting: bool = False

    def present(self, names: Iterable[str]) -> tuple[str, ...]:
        """The metrics of `names` that belong into this chart: the named ones first, then by their order in `names`."""
        known = dict.fromkeys(names)
        named = [name for name in self.metrics if name in known]
        rest = [name for name in known if self.prefix and name.startswith(self.prefix) and name not in _NOT_PARTS]
        return tuple(dict.fromkeys([*named, *rest]))


_LETTERS: Final = "abcdefghijklmnpqrstuwyzABCDEFGHIJKLMNPQRSTUWYZ"
_NOT_PARTS: Final = ("grad_norm/total", "loss/total", "weight_norm/total")
_VALIDATION: Final = ("val/miou", "val/iou_background", "val/iou_target", "val/iou_other")
_TERMS: Final = tuple(f"loss/{term}" for term in LOSS_TERMS)
_RAW_TERMS: Final = tuple(f"loss_raw/{term}" for term in LOSS_TERMS)

DEFAULTS: Final = (
    Spec("loss", "Loss", metrics=("loss/total", "val/loss"), smoothing=0.8, lasting=True),
    Spec("terms", "Loss terms, raw / chance", metrics=_RAW_TERMS, smoothing=0.8, lasting=True),
    Spec("norm", "Gradient norm", metrics=("grad_norm/total", "clip/threshold"), log=True, lasting=True),
    Spec("iou", "Validation IoU", metrics=_VALIDATION, bounds=True, lasting=True),
    Spec("share", "Share of the loss", kind="stack", metrics=_TERMS, lasting=True),
    Spec("modules", "Gradient norm per module", kind="heat", prefix="grad_norm/", lasting=True),
    Spec("lr", "Learning rate", metrics=("lr",), lasting=True),
    Spec("speed", "Samples per second", metrics=("samples_per_second",), smoothing=0.6, lasting=True),
    Spec("refinements", "Share of the gradient per refinement", prefix="grad_share/", bounds=True),
    Spec("wait", "Wait for data, s", metrics=("data_wait",)),
    Spec("load", "Load, %", metrics=("system/cpu", "system/gpu")),
    Spec("memory", "Memory, MiB", metrics=("system/memory", "system/gpu_memory")),
    Spec("weights", "Weight norm per module", kind="heat", prefix="weight_norm/"),
)
"""The charts of a run, the most telling first."""


def charts_of(names: Iterable[str]) -> tuple[Spec, ...]:
    """The default charts that a run with these metrics has."""
    known = tuple(names)
    return tuple(spec for spec in DEFAULTS if spec.lasting or spec.present(known))


def is_sparse(metric: str) -> bool:
    """The metric is measured now and then, not at every step."""
    return metric.startswith("val/")


def label_of(metric: str, metrics: tuple[str, ...]) -> str:
    """A short name for a metric in a chart of `metrics`: its last part where that tells them apart."""
    lasts = [name.rpartition("/")[2] for name in metrics]
    last = metric.rpartition("/")[2]
    return last.replace("_", " ") if lasts.count(last) <= 1 and metric != "val/loss" else metric


def short_label(label: str, labels: Iterable[str]) -> str:
    """The first word of a label that is in no other of `labels`; the whole label where each is in another, too."""
    others = {word for other in labels if other != label for word in other.split()}
    return next((word for word in label.split() if word not in others), label)


def slot_of(metric: str, position: int) -> int:
    """The colour slot of a curve: a loss term has the same in every chart, others go by their position."""
    root, _, last = metric.partition("/")
    return LOSS_TERMS.index(last) if root in ("loss", "loss_raw") and last in LOSS_TERMS else position


def letter_of(number: int) -> str:
    """The letter of a colour slot or position: a to z, then A to Z, and again; o, v and x are signs in a plot."""
    return _LETTERS[number % len(_LETTERS)]


def chance_of(metric: str, chance: Mapping[str, float]) -> float | None:
    """The chance level of a raw loss term, or None."""
    root, _, term = metric.partition("/")
    return chance.get(term) if root == "loss_raw" else None
