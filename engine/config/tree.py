"""The generic configuration tree: the sections of a run's configuration.

A task adds its own sections to `RunConfig`, and its own keys to the sections of `engine/config/sections.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from engine.config.sections import (
    CheckpointConfig,
    Count,
    DataConfig,
    DistributedConfig,
    Fraction,
    LayersConfig,
    LearningRate,
    LossConfig,
    NetworkConfig,
    NonNegative,
    OneCycleConfig,
    Positive,
    PreemptionConfig,
    Section,
    TensorboardConfig,
    TrainingConfig,
    ValidationConfig,
)
from engine.config.supervision_sections import (
    AlertRule,
    AutopilotConfig,
    GateConfig,
    GuardConfig,
    LimitsConfig,
    RecoveryConfig,
)

# A task takes the sections and the types of its own keys from here.
__all__ = [
    "AlertRule",
    "AutopilotConfig",
    "CheckpointConfig",
    "Count",
    "DataConfig",
    "DistributedConfig",
    "Fraction",
    "GateConfig",
    "GuardConfig",
    "LayersConfig",
    "LearningRate",
    "LimitsConfig",
    "LossConfig",
    "NetworkConfig",
    "NonNegative",
    "OneCycleConfig",
    "Positive",
    "PreemptionConfig",
    "RecoveryConfig",
    "RunConfig",
    "Section",
    "TensorboardConfig",
    "TrainingConfig",
    "ValidationConfig",
]


class RunConfig(Section, frozen=True):
    """The resolved configuration of one run, as in `config.yaml` in its directory."""

    task: str = ""
    """The task: FILE.py:Class or package.module:Class; empty for the built-in person segmentation."""
    model: NetworkConfig = NetworkConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()
    data: DataConfig = DataConfig()
    validation: ValidationConfig = ValidationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    gate: GateConfig = GateConfig()
    guard: GuardConfig = GuardConfig()
    layers: LayersConfig = LayersConfig()
    autopilot: AutopilotConfig = AutopilotConfig()
    limits: LimitsConfig = LimitsConfig()
    tensorboard: TensorboardConfig = TensorboardConfig()
    distributed: DistributedConfig = DistributedConfig()
    preemption: PreemptionConfig = PreemptionConfig()
    alerts: Annotated[tuple[AlertRule, ...], Field(strict=False)] = ()
    """Alert rules of your own; the page guardian has their keys."""

    FORMER: ClassVar[Mapping[str, str]] = {}
    """Values of keys that are missing in the configuration of an older run."""
    SWITCHES: ClassVar[str] = "components"
    """The section with the switches of components."""

    @field_validator("alerts")
    @classmethod
    def _named_once(cls, rules: tuple[AlertRule, ...]) -> tuple[AlertRule, ...]:
        names = [rule.name for rule in rules]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two rules are called {twice!r}")
        return rules

    @classmethod
    def switches(cls, tree: Mapping[str, Any]) -> dict[str, bool]:
        """Return which components of a resolved configuration, given as plain values, start switched on."""
        return dict(tree.get("components", {}))

    def active_components(self) -> frozenset[str]:
        """Return the components that are on when the run starts."""
        return frozenset(name for name, on in self.switches(self.model_dump()).items() if on)
