"""Measure detections and false alarms of the spike detector: `python -m tests.benchmarks.spikes`.

Synthetic traces of loss and gradient norm (calm, heavy-tailed, falling, drifting, with announced jumps, diverging to a
NaN) and a recorded one of `tiny` on the synthetic dataset (`spike_traces.npz`: 1,500 steps through all four phases with
seven interventions), with spikes planted in them. Next to ours: ZClip's rule at its published threshold and at higher
ones, and a fixed bound on the gradient norm. All have the same cooldown, so that a row counts events. A spike that is
found within 3 steps is detected; an alarm without a spike is false; the lead is from the first alarm after the onset of
a divergence to its NaN.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.supervision.median_rule import MedianRule, SpikeScore
from engine.supervision.spikes import SpikeDetector, SpikeRule, Tolerance
from tests.benchmarks.zscore_rule import ZScoreRule

RECORDED = Path(__file__).parent / "spike_traces.npz"
METRICS = ("loss/total", "grad_norm/total")
FACTORS = (2.0, 3.0, 5.0, 10.0)
WITHIN, COOLDOWN = 3, 25
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """Loss and gradient norm by step, with interventions, the start and height of spikes, and the divergence."""

    kind: str
    loss: Values
    norm: Values
    steered: frozenset[int] = frozenset()
    spikes: dict[int, float] = field(default_factory=dict)
    onset: int | None = None


class FixedRule:
    """A bound on the value itself, as in 'gradient norms under 10'; `inf` for none."""

    def __init__(self, bound: float):
        self.bound = bound

    def read(self, value: float) -> SpikeScore:
        """Return a score above 1 if the value is over the bound."""
        return SpikeScore(value, self.bound, value / self.bound)

    def reset(self) -> None:
        """Do nothing: a fixed bound ignores interventions."""


@dataclass(frozen=True)
class Contender:
    """A detection method: its rules for loss and norm, its tolerance, and whether it is reset at interventions."""

    name: str
    rules: Callable[[], Sequence[SpikeRule]]
    tolerance: Tolerance
    hears: bool = True


def contenders() -> list[Contender]:
    """Ours first."""
    bare = Tolerance(ratio=1.0, wide=1.0, cooldown=COOLDOWN)
    ours = Tolerance(cooldown=COOLDOWN)
    return [
        Contender("median/MAD of log (ours)", lambda: (MedianRule(), MedianRule()), ours),
        Contender("the same, not told of steering", lambda: (MedianRule(), MedianRule()), ours, hears=False),
        Contender("ZClip, z > 2.5 (published)", lambda: (ZScoreRule(), ZScoreRule()), replace(bare, score=2.5)),
        Contender("ZClip, z > 6", lambda: (ZScoreRule(limit=6), ZScoreRule(limit=6)), replace(bare, score=6.0)),
        Contender("ZClip, z > 10", lambda: (ZScoreRule(limit=10), ZScoreRule(limit=10)), replace(bare, score=10.0)),
        Contender("gradient norm > 10", lambda: (FixedRule(np.inf), FixedRule(10.0)), replace(bare, score=1.0)),
    ]


# --- traces -----------------------------------------------------------------------------


def noise(rng: np.random.Generator, count: int, spread: float, *, heavy: bool) -> Values:
    """Factors around 1, correlated over some steps as batches and weights are; `heavy` has the tails of a t with 4."""
    raw = rng.standard_t(4, count) / np.sqrt(2) if heavy else rng.standard_normal(count)
    drift = np.convolve(rng.standard_normal(count + 29), np.ones(30) / np.sqrt(30), "valid")
    return np.exp(spread * raw + 0.3 * spread * drift)


def synthetic(kind: str, seed: int, count: int = 2000) -> Trace:
    """One healthy trace: loss falling to a level with noise of 12 %, gradient norms with noise of 30 %."""
    rng = np.random.default_rng(seed)
    steps = np.arange(count)
    heavy = kind == "heavy-tailed"
    loss = 1.0 + (2.0 if kind == "falling" else 0.8) * np.exp(-steps / (60 if kind == "falling" else 600))
    norm = np.full(count, rng.uniform(0.05, 3.0))
    steered: frozenset[int] = frozenset()
    if kind == "drifting":
        norm = norm * np.exp(steps / count * np.log(10))
        loss = loss * np.exp(steps / count * np.log(1.5))
    if kind == "steered":
        steered = frozenset(int(s) for s in rng.choice(np.arange(200, count - 100, 150), 5, replace=False))
        for step in steered:
            jump = rng.uniform(1.3, 2.2)
            loss[step:] *= jump if rng.random() < 0.5 else 1 / jump
            norm[step:] *= rng.uniform(0.4, 2.5)
    return Trace(kind, loss * noise(rng, count, 0.12, heavy=heavy), norm * noise(rng, count, 0.3, heavy=heavy), steered)


def planted(trace: Trace, seed: int, num: int = 8) -> Trace:
    """The trace with spikes: of the loss, the norm or both, a step or a few long, each dying away."""
    rng = np.random.default_rng(seed)
    loss, norm = trace.loss.copy(), trace.norm.copy()
    room = [s for s in range(150, len(loss) - 60, 90) if all(not 0 <= s - at < 80 for at in trace.steered)]
    spikes = {int(s + rng.integers(0, 20)): float(rng.choice(FACTORS)) for s in rng.permutation(room)[:num]}
    for step, factor in spikes.items():
        where = rng.integers(0, 3)
        for k in range(int(rng.choice([1, 1, 3, 8]))):
            loss[step + k] *= factor ** (0.6**k) if where != 1 else 1.0
            norm[step + k] *= factor ** (0.6**k) if where != 0 else 1.0
    return replace(trace, loss=loss, norm=norm, spikes=spikes)


def diverging(seed: int) -> Trace:
    """A healthy trace whose norm grows by 10 to 40 % a step from the onset on, the loss behind it, up to the NaN."""
    rng = np.random.default_rng(seed)
    trace = synthetic("heavy-tailed", seed, 800)
    onset, rate = 600, rng.uniform(1.1, 1.4)
    steps = np.arange(onset, 800)
    norm, loss = trace.norm.copy(), trace.loss.copy()
    norm[onset:] *= rate ** (steps - onset)
    loss[onset:] *= np.maximum(1.0, 1e-2 * rate ** (steps - onset))
    last = onset + int(np.argmax(norm[onset:] > 1e5))
    loss[last:], norm[last:] = np.nan, np.nan
    return Trace("diverging", loss[: last + 1], norm[: last + 1], onset=onset)


def recorded() -> Trace:
    """Return the recorded trace, and the steps before its interventions."""
    with np.load(RECORDED) as held:
        loss, norm, steered = held["loss"], held["norm"], held["steered"]
    return Trace("recorded", loss.astype(np.float64), norm.astype(np.float64), frozenset(steered.tolist()))


# --- the match --------------------------------------------------------------------------


def alarms(contender: Contender, trace: Trace) -> list[int]:
    """The steps at which events begin."""
    detector = SpikeDetector(dict(zip(METRICS, contender.rules(), strict=True)), contender.tolerance)
    found: list[int] = []
    for step, values in enumerate(zip(trace.loss.tolist(), trace.norm.tolist(), strict=True)):
        if contender.hears and step in trace.steered:
            detector.reset()
        if detector.observe(dict(zip(METRICS, values, strict=True))):
            found.append(step)
    return found


@dataclass
class Score:
    """What a contender did on some traces."""

    steps: int = 0
    false: int = 0
    seen: dict[float, list[bool]] = field(default_factory=dict)
    leads: list[float] = field(default_factory=list)

    def apply_update(self, trace: Trace, found: list[int]) -> None:
        """Count one trace."""
        self.steps += len(trace.loss) if trace.onset is None else trace.onset
        for step, factor in trace.spikes.items():
            self.seen.setdefault(factor, []).append(any(step <= f <= step + WITHIN for f in found))
        excused = [(s, s + 10) for s in trace.spikes]
        end = len(trace.loss) if trace.onset is None else trace.onset
        self.false += sum(f < end and not any(a <= f <= b for a, b in excused) for f in found)
        if trace.onset is not None:
            lost = ~np.isfinite(trace.loss)
            first_nan = int(np.argmax(lost)) if lost.any() else len(trace.loss)
            after = [f for f in found if f >= trace.onset]
            self.leads.append(first_nan - after[0] if after else np.nan)

    def row(self) -> str:
        """Detection by factor, false alarms per 10,000 steps, lead."""
        rates = [f"{100 * np.mean(self.seen[f]):5.0f} %" if self.seen.get(f) else "      -" for f in FACTORS]
        found = [lead for lead in self.leads if np.isfinite(lead)]
        lead = f"{np.median(found) if found else 0:4.0f} ({len(found) / len(self.leads):.0%})" if self.leads else "-"
        return f"{'  '.join(rates)}  {1e4 * self.false / self.steps:9.1f}  {lead:>12}"


def traces(num_seeds: int) -> list[Trace]:
    """All of them; every healthy one also without a spike."""
    found: list[Trace] = []
    for seed in range(num_seeds):
        for kind in ("calm", "heavy-tailed", "falling", "drifting", "steered"):
            healthy = synthetic(kind, seed)
            found += [healthy, planted(healthy, seed)]
        found.append(diverging(seed))
    found.append(recorded())
    found += [planted(found[-1], seed) for seed in range(num_seeds)]
    return found


def main(words: Sequence[str] | None = None) -> None:
    """Print a table for each kind of trace and one for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args(words)
    every = traces(options.seeds)
    head = "  ".join(f"   x{factor:<3g}" for factor in FACTORS)
    for kind in [*dict.fromkeys(trace.kind for trace in every), "all"]:
        chosen = [trace for trace in every if kind in (trace.kind, "all")]
        print(f"\n{kind}: {len(chosen)} traces, {sum(len(t.loss) for t in chosen)} steps")
        print(f"{'':32}{head}  false/10k  lead (found)")
        for contender in contenders():
            score = Score()
            for trace in chosen:
                score.apply_update(trace, alarms(contender, trace))
            print(f"{contender.name:32}{score.row()}")


if __name__ == "__main__":
    main()
