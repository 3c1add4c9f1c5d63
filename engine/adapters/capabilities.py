"""Declarations of what each adapter can carry out. The page `own-loop` shows them as a table.

This module does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.protocol import commands as c
from engine.protocol.record import record
from engine.protocol.task_spec import Unsupported


@record
class Adapter:
    """One way of connecting a foreign training: its name, title, and what it cannot do.

    `lacks` maps the op of a command to the reason, with what to use instead. `offers` maps an ability without a command
    to 'yes' or to how far it goes. `resume` is how a run goes on; empty if it cannot.
    """

    name: str
    title: str
    lacks: Mapping[str, str]
    offers: Mapping[str, str]
    resume: str = ""

    def unsupported(self) -> tuple[Unsupported, ...]:
        """Return the commands that a run of this adapter refuses."""
        return tuple(Unsupported(op, reason) for op, reason in self.lacks.items())


_PHASES: Final = "phases belong to a Task: write one (page your-own-model)"
_COMPONENTS: Final = "components belong to a Task: use a knob, cockpit.knob(name, False)"
_BATCHES: Final = "the batches come from the training's own loader: change it there, or write a Task"
_OPTIMIZER: Final = "the optimizer belongs to the training's own program: change it there, or write a Task"
_ALWAYS: Final = {
    c.PromotePhase.op: _PHASES,
    c.DemotePhase.op: _PHASES,
    c.SetAutopilot.op: _PHASES,
    c.EnableRefinement.op: _COMPONENTS,
    c.DisableRefinement.op: _COMPONENTS,
    c.SetAccumulation.op: _BATCHES,
    c.SetBatchSize.op: _BATCHES,
    c.ExcludeSamples.op: _BATCHES,
    c.SetOptimizer.op: _OPTIMIZER,
}

_ON_ITS_OWN: Final = "the loop validates by itself, and reports with cockpit.validated(...)"
_NO_LINE: Final = "the program was started without a line of the cockpit: add the five lines of page own-loop"
_TRAINERS: Final = "the trainer writes its own checkpoints: stop, and resume from one of them"
_RETURN: Final = (
    "the guardian returns to checkpoints, which this adapter cannot load: set the rate, clip or stop by hand"
)
_TERMS: Final = "the loss is computed inside the trainer: use a knob in the model or in compute_loss"

_SEVERAL: Final = "several processes (`torchrun`)"
_FOLLOW: Final = "yes, with DistributedDataParallel"
_RANKS: Final = (
    "the program also runs in processes that are out of reach, such as those of other machines: stop it, and change "
    "its own options"
)
SEVERAL_RANKS: Final = tuple(
    Unsupported(op, _RANKS)
    for op in (c.Pause.op, c.Resume.op, c.RunSteps.op, c.ScaleLr.op, c.SetLr.op, c.SetGradientClip.op)
)
"""Commands that must reach all of several processes."""

LOOP: Final = Adapter(
    "loop",
    "own loop",
    lacks={**_ALWAYS, c.Validate.op: _ON_ITS_OWN},
    offers={
        "loss terms named, weights set": "yes, with cockpit.loss(terms)",
        "operation behind a NaN named": "on the CPU: each process repeats the step with its batches; on "
        "an accelerator, in one process: inside the network",
        "exact resume": "yes; the loader by its own state, or by reading to the same place",
        _SEVERAL: "yes: all follow rank 0 at the same step",
    },
    resume="Cockpit(..., resume=True)",
)
NO_LINE: Final = Adapter(
    "run",
    "no line",
    lacks={
        **_ALWAYS,
        c.Validate.op: _NO_LINE,
        c.SetLossWeight.op: _NO_LINE,
        c.SetKnob.op: _NO_LINE,
        c.SaveCheckpoint.op: _NO_LINE,
        c.Rollback.op: _NO_LINE,
        c.SetGuardian.op: _NO_LINE,
    },
    offers={
        "loss terms named, weights set": "no: only the loss on which backward() is called",
        "operation behind a NaN named": "no: the parameters",
        "exact resume": "no",
        _SEVERAL: "yes, of one machine: all hold at the same step",
    },
)
HUGGINGFACE: Final = Adapter(
    "huggingface",
    "Hugging Face",
    lacks={**_ALWAYS, c.SetLossWeight.op: _TERMS, c.Rollback.op: _TRAINERS, c.SetGuardian.op: _RETURN},
    offers={
        "loss terms named, weights set": "no",
        "operation behind a NaN named": "in one process: inside the network",
        "exact resume": "as the trainer does it: resume_from_checkpoint",
        _SEVERAL: _FOLLOW,
    },
    resume="trainer.train(resume_from_checkpoint=...) and CockpitCallback(..., resume=True)",
)
LIGHTNING: Final = Adapter(
    "lightning",
    "Lightning",
    lacks={
        **_ALWAYS,
        c.SetLossWeight.op: _TERMS,
        c.Rollback.op: _TRAINERS,
        c.SetGuardian.op: _RETURN,
    },
    offers={
        "loss terms named, weights set": "no",
        "operation behind a NaN named": "in one process: inside the network",
        "exact resume": "as the trainer does it: ckpt_path",
        _SEVERAL: _FOLLOW,
    },
    resume="trainer.fit(..., ckpt_path=...) and CockpitCallback(..., resume=True)",
)
ADAPTERS: Final = (NO_LINE, LOOP, HUGGINGFACE, LIGHTNING)
"""All adapters, in the order of the documentation's table."""


def resume_of(adapter: str, program: str) -> str:
    """Return how a run of `program` under the adapter named `adapter` goes on; an empty string if it cannot."""
    words = next((known.resume for known in ADAPTERS if known.name == adapter), "")
    return f"start {program} again with {words}" if words else ""
