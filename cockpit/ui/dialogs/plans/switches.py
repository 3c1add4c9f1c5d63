"""Plans of the keys that send one of two opposite commands: pause or resume, a component on or off."""

from __future__ import annotations

from cockpit.text.command_text import title
from cockpit.text.format import plural
from cockpit.ui.dialogs.plans.plan import Plan, Reason, Send, Situation
from engine.protocol import commands as c
from engine.protocol.commands import Command
from engine.protocol.events import Activity
from engine.protocol.state import RunState


def pause(situation: Situation) -> Plan:
    """Send the opposite of the present state, unless a command for it is on its way or the run pauses by itself."""
    # The state may show a command's effect before its answer is read: that one is over, and the key means the next.
    sent = [p.command for p in situation.session.pending if isinstance(p.command, c.Pause | c.Resume)]
    on_its_way = [command for command in sent if situation.session.now.outcome_of(command).event is not None]
    if on_its_way:
        return Reason(f"{title(on_its_way[-1])} is on its way already")
    state = situation.state
    if state.activity is Activity.RUNNING and state.steps_until_pause == 1:
        return Reason("the run pauses after this step anyway")
    return Send(_pause_or_resume(state))


def _pause_or_resume(state: RunState) -> Command:
    return c.Resume() if state.activity is Activity.PAUSED else c.Pause()


def _toggle(name: str, state: RunState) -> Command:
    return c.DisableRefinement(name) if name in state.refinements else c.EnableRefinement(name)


def toggle_named(situation: Situation) -> Plan:
    """Switch the component that the argument names."""
    spec = situation.state.spec
    if situation.argument not in spec.component_names:
        return Reason(f"no {spec.component_noun} is called {situation.argument!r}")
    return Send(_toggle(situation.argument, situation.state))


def toggle_numbered(number: int, situation: Situation) -> Plan:
    """Switch the component with this number, counted from 1."""
    spec = situation.state.spec
    if number > len(spec.components):
        count = len(spec.components)
        only = f"only {count}" if count else f"no {plural(spec.component_noun)}"
        return Reason(f"there is no {spec.component_noun} {number}: the task has {only}")
    return Send(_toggle(spec.components[number - 1].name, situation.state))
