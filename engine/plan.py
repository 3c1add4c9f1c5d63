"""What the next step shall do, as a pure function of progress, state and configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine.config import ClassWeights, Config
from engine.protocol.names import REFINEMENT_OF_TERM, active_terms
from engine.protocol.state import RunState
from engine.schedule import learning_rate


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step's settings; `ramps` are factors in 0..1 on the learning rate of refinements that came on lately.

    `measure_shares` and `check_state` say whether this step measures gradient shares and looks at all weights and
    moments; `max_grad_share` 0 governs nothing.
    """

    step: int
    lr: float
    active: frozenset[str]
    terms: tuple[str, ...]
    weights: Mapping[str, float]
    ramps: Mapping[str, float]
    class_weights: ClassWeights
    clamp_max: float
    clamp_mode: Literal["hard", "rescale"]
    gradient_clip: float
    optimizer: str
    adaptive_clip: Literal["off", "zclip", "agc"] = "off"
    measure_shares: bool = False
    max_grad_share: float = 0.0
    check_state: bool = False


def blend_in(step: int, enabled_at: int, num_steps: int) -> float:
    """How far (0..1) a refinement that came on at `enabled_at` is blended in at `step`."""
    return 1.0 if num_steps == 0 else min(1.0, (step - enabled_at + 1) / (num_steps + 1))


def plan_for(progress: float, state: RunState, config: Config) -> StepPlan:
    """The plan of the step that ends at `progress` epochs; nobody else writes learning rates or loss weights."""
    steps, guard = config.loss.blend_in_steps, config.guard
    ramps = {name: blend_in(state.step, at, steps) for name, at in state.enabled_at.items()}
    terms = active_terms(state.refinements)
    return StepPlan(
        step=state.step,
        lr=learning_rate(progress, config.training, scale=state.lr_scale, pin=state.lr_pin),
        active=state.refinements,
        terms=terms,
        weights={t: state.loss_weights[t] * ramps.get(REFINEMENT_OF_TERM.get(t, ""), 1.0) for t in terms},
        ramps=ramps,
        class_weights=config.loss.class_weights,
        clamp_max=config.loss.clamp_max,
        clamp_mode=config.loss.clamp_mode,
        gradient_clip=state.gradient_clip,
        optimizer=state.optimizer,
        adaptive_clip=guard.adaptive_clip,
        measure_shares=guard.share_every_steps > 0 and state.step % guard.share_every_steps == 0,
        max_grad_share=guard.max_grad_share,
        check_state=state.step % guard.check_weights_every == 0,
    )
