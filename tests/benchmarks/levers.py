"""The levers of `small`, each on in half of the runs of a balanced design, and what each one changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.protocol.record import record


@record
class Lever:
    """Settings of a recipe that are on or off together.

    With `only_with`, the lever is off wherever that one is off. With `only_without`, it is off where that one is on.
    `in_small` is the state in `small`.
    """

    name: str
    on: tuple[str, ...]
    off: tuple[str, ...]
    in_small: bool
    only_with: str = ""
    only_without: str = ""


def _augmentation(name: str, in_small: bool, **values: float) -> Lever:
    """Return a lever of keys in `data.augmentations`, which are 0 when it is off."""
    keys = [f"data.augmentations.{key}" for key in values]
    on = tuple(f"{key}={value}" for key, value in zip(keys, values.values(), strict=True))
    return Lever(name, on, tuple(f"{key}=0" for key in keys), in_small)


LEVERS: Final = (
    _augmentation("copy-paste", True, copy_paste=0.6),
    _augmentation("background", True, background=0.25),
    _augmentation("rotation", True, rotation=12),
    _augmentation("scale and shift", False, scale=0.15, shift=0.08),
    _augmentation("gray and blur", True, gray=0.1, blur=0.15),
    _augmentation("erasing", True, erasing=0.2),
    Lever("context", ("data.roi_padding=0.25",), ("data.roi_padding=0",), True),
    Lever("box channel", ("model.box_channel=true",), ("model.box_channel=false",), False, only_with="context"),
    Lever("batch norm", ("model.norm=batch",), ("model.norm=layer",), True),
    Lever("group norm", ("model.norm=group",), (), False, only_without="batch norm"),
    Lever("SWA for EMA", ("training.averaging=swa",), ("training.averaging=ema",), False),
    Lever("OneCycle", ("training.schedule=one_cycle",), ("training.schedule=cosine",), False),
    Lever(
        "class weights", ("loss.class_weights=[0.8,0.8,1.2]",), ("loss.class_weights=[0.54,0.75,1.71]",), in_small=True
    ),
)

GROUND: Final = (
    # A short run of a small network, without what costs time only.
    "model.extractor_widths=[16,24,32,32]",
    "model.unet_width=16",
    "model.unet_depth=3",
    "model.flip_average=false",
    "model.min_other_share=0",
    "training.epochs=8",
    "training.warmup_epochs=1",
    "training.swa_every_steps=5",
    "validation.every_epochs=4",
    "validation.num_previews=0",
    "checkpoint.every_epochs=4",
    "layers.every_steps=0",
    "guard.share_every_steps=0",
    "tensorboard.enabled=false",
)

SIZES: Final = {20: 19, 24: 23, 32: 31}
"""For each number of runs the prime below it."""


@record
class Effect:
    """What a lever changes in a score, with the error of that number and the runs with and without the lever."""

    change: float
    error: float
    num_on: int
    num_off: int

    @property
    def is_clear(self) -> bool:
        """Whether zero is outside of three errors."""
        return abs(self.change) > 3 * self.error


def design(num_runs: int) -> list[frozenset[str]]:
    """Return for each run of an ablation the levers that are on in it.

    Each is on in half of the runs, and any two are on together in a quarter: a Plackett-Burman design by Paley's
    construction. Raises KeyError if there is none of so many runs here.
    """
    prime = SIZES[num_runs]
    squares = {value * value % prime for value in range(prime)}
    columns = [[(row + column) % prime in squares for row in range(prime)] + [False] for column in range(prime)]
    chosen = {lever.name: column for lever, column in zip(LEVERS, columns, strict=False)}
    rows = [frozenset(name for name, column in chosen.items() if column[row]) for row in range(num_runs)]
    return [frozenset(filter(lambda name, row=row: _applies(name, row), row)) for row in rows]


def settings_of(on: frozenset[str]) -> tuple[str, ...]:
    """Return the settings of a run in which these levers are on, and all others off."""
    words = [*GROUND, *(word for lever in LEVERS if lever.name not in on for word in lever.off)]
    words += [word for lever in LEVERS if lever.name in on for word in lever.on]
    return tuple({word.partition("=")[0]: word for word in words}.values())


def effects(runs: Sequence[frozenset[str]], scores: Sequence[float]) -> Mapping[str, Effect]:
    """Return what each lever changes: the least squares of a sum of the levers' effects.

    The error is that of the coefficient, from what the sum leaves of the scores. Raises ValueError if there are too few
    runs to tell the levers apart.
    """
    names = [lever.name for lever in LEVERS]
    table = np.array([[1.0, *(float(name in run) for name in names)] for run in runs])
    freedom = len(runs) - table.shape[1]
    if freedom < 1 or np.linalg.matrix_rank(table) < table.shape[1]:
        raise ValueError(f"{len(runs)} runs cannot tell {len(names)} levers apart")
    values = np.array(scores)
    fitted: NDArray[np.float64] = np.linalg.lstsq(table, values, rcond=None)[0]
    variance = float(((values - table @ fitted) ** 2).sum()) / freedom
    errors = np.sqrt(variance * np.diag(np.linalg.inv(table.T @ table)))
    counts = {name: sum(name in run for run in runs) for name in names}
    return {
        name: Effect(float(fitted[place]), float(errors[place]), counts[name], len(runs) - counts[name])
        for place, name in enumerate(names, start=1)
    }


def _applies(name: str, on: frozenset[str]) -> bool:
    """Return whether a lever may be on among others."""
    lever = next(lever for lever in LEVERS if lever.name == name)
    return lever.only_with in {"", *on} and lever.only_without not in on
