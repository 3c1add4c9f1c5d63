"""The registry entries of the events that switch phases, components, the guardian or the autopilot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from cockpit.text.event_info import COMPONENTS, AnyEventInfo, EventInfo, Inverse, MarkKind, SettingChange
from cockpit.text.format import listed, on_off
from engine.protocol import commands as c
from engine.protocol import events as e


def _switches(names: Iterable[str], before: bool, after: bool) -> Iterator[SettingChange]:
    return (SettingChange(COMPONENTS, name, before, after, on_off) for name in names)


SWITCH_EVENTS: Final[tuple[AnyEventInfo, ...]] = (
    EventInfo(
        e.PhasePromoted,
        lambda event, spec: (
            f"phase {event.before} -> {event.after}, on: {listed(event.enabled)}"
            f"{', forced against a red check' if event.forced else ''}"
        ),
        short=lambda event: (
            f"phase {event.before} -> {event.after}, on: {listed(event.enabled)}"
            f"{'; recorded as forced' if event.forced else ''}"
        ),
        request=lambda event: f"promote to phase {event.after}",
        mark=MarkKind.PHASE,
        changes=lambda event: _switches(event.enabled, before=False, after=True),
        undo=lambda event: Inverse(c.DemotePhase(), "the weights stay as they were trained meanwhile"),
    ),
    EventInfo(
        e.PhaseDemoted,
        lambda event, spec: f"phase {event.before} -> {event.after}, off: {listed(event.disabled)}",
        request=lambda event: f"demote to phase {event.after}",
        mark=MarkKind.PHASE,
        changes=lambda event: _switches(event.disabled, before=True, after=False),
        undo=lambda event: Inverse(c.PromotePhase(), "what comes on again starts with fresh moments"),
    ),
    EventInfo(
        e.RefinementEnabled,
        lambda event, spec: f"{event.name} on",
        request=lambda event: f"switch on {event.name}",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: _switches((event.name,), event.before, event.after),
        undo=lambda event: Inverse(c.DisableRefinement(event.name)),
    ),
    EventInfo(
        e.RefinementDisabled,
        lambda event, spec: f"{event.name} off",
        request=lambda event: f"switch off {event.name}",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: _switches((event.name,), event.before, event.after),
        undo=lambda event: Inverse(c.EnableRefinement(event.name), "it starts with fresh moments and is blended in"),
    ),
    EventInfo(
        e.GuardianSet,
        lambda event, spec: f"guardian {on_off(event.after)}",
        short=lambda event: f"{on_off(event.before)} -> {on_off(event.after)}",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: (SettingChange("", "guardian", event.before, event.after, on_off),),
        undo=lambda event: Inverse(c.SetGuardian(event.before)),
    ),
    EventInfo(
        e.AutopilotSet,
        lambda event, spec: f"autopilot {on_off(event.after)}",
        short=lambda event: f"{on_off(event.before)} -> {on_off(event.after)}",
        mark=MarkKind.INTERVENTION,
        changes=lambda event: (SettingChange("", "autopilot", event.before, event.after, on_off),),
        undo=lambda event: Inverse(c.SetAutopilot(event.before)),
    ),
)
