"""How the time of the steps is divided, and why they are slow, in words with the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from engine.protocol.record import record

TIME: Final = "time/"
"""Prefix of the metrics of a step's parts, in seconds."""
PARTS: Final = (
    "data_wait",
    "transfer",
    "forward",
    "backward",
    "exchange",
    "guards",
    "optimizer",
    "validation",
    "checkpoint",
    "other",
)
"""The parts of the time of a step, in the order of a step."""
GPU: Final = "system/gpu"
OTHERS: Final = "system/cpu_others"
NEWEST: Final = 200
"""Number of newest steps that a verdict looks at."""

_MUCH: Final = 0.25
"""Share of the time of waiting for data that is the verdict."""
_CHECKPOINTS: Final = 0.1
_VALIDATIONS: Final = 0.3
_EXCHANGES: Final = 0.3
_GUARDS: Final = 0.15
_TRANSFERS: Final = 0.15
_OTHER: Final = 0.3
"""Shares of the time from which a part is the verdict."""
_MOST: Final = 0.5
"""Share of the time from which the network is the verdict."""
_FEW_CHECKPOINTS: Final = 0.02
"""Share of the time for checkpoints that a verdict aims at."""
_CROWDED: Final = 0.3
"""Processors that others may use in addition to those that are free."""
_IDLE_GPU: Final = 60.0
"""Load of the GPU in % below which steps are bound by launching kernels."""
_LEAST_SHOWN: Final = 0.01


@record
class Settings:
    """What a verdict may suggest to change: values of the configuration, the processors, and torch's threads or 0."""

    num_workers: int = 0
    checkpoint_steps: int = 0
    checkpoint_epochs: int = 0
    validation_epochs: int = 1
    cores: int = 1
    threads: int = 0
    is_compiled: bool = False


@record
class StepTime:
    """Mean seconds of each part of a step, over `num_steps` steps.

    `gpu_load` is the load of the GPU in %, `None` without one; `others` the share in % that other processes use of the
    processors.
    """

    seconds: Mapping[str, float]
    num_steps: int
    gpu_load: float | None = None
    others: float = 0.0

    @property
    def whole(self) -> float:
        """Seconds from step to step."""
        return sum(self.seconds.values())

    def share(self, part: str) -> float:
        """Return the share (0..1) of the time that `part` takes."""
        return self.seconds.get(part, 0.0) / max(self.whole, 1e-12)


def step_time(means: Mapping[str, float], num_steps: int) -> StepTime | None:
    """Return the division of the time from the means of metrics; `None` for a run without the times of the parts."""
    seconds = {part: means[TIME + part] for part in PARTS if TIME + part in means}
    if not seconds or num_steps == 0 or sum(seconds.values()) <= 0:
        return None
    return StepTime(seconds, num_steps, means.get(GPU), means.get(OTHERS, 0.0))


def divided(time: StepTime) -> str:
    """Return the division in words: the time of a step, and the share of each part of at least one percent."""
    shares = {part: time.share(part) for part in PARTS if time.share(part) >= _LEAST_SHOWN}
    parts = ", ".join(f"{part.replace('_', ' ')} {100 * share:.0f} %" for part, share in shares.items())
    return f"{_spoken(time.whole)} a step: {parts}"


def verdict(time: StepTime, settings: Settings) -> str:
    """Return why the steps take as long as they do, with the evidence and what to change."""
    return next(_reasons(time, settings))


def _reasons(time: StepTime, settings: Settings) -> Iterator[str]:
    """Yield the reasons that hold, the one that can be removed most easily first."""
    used = time.others / 100 * settings.cores
    if time.gpu_load is None and settings.threads > 1 and used + settings.threads > settings.cores + _CROWDED:
        fewer = max(1, min(settings.threads - 1, settings.cores - round(used)))
        busy = f"other processes use {used:.1f} of {settings.cores} processors"
        yield f"{settings.threads} threads wait for each other, {busy}: training.threads={fewer}"
    if time.share("data_wait") >= _MUCH:
        yield f"{_percent(time, 'data_wait')} waiting for data: {_more_workers(settings)}"
    if time.share("checkpoint") >= _CHECKPOINTS:
        yield f"{_percent(time, 'checkpoint')} for checkpoints: {_fewer_checkpoints(time, settings)}"
    if time.share("validation") >= _VALIDATIONS:
        after = max(2, 2 * settings.validation_epochs)
        said = f"validation.every_epochs {settings.validation_epochs} -> {after}"
        yield f"{_percent(time, 'validation')} for validations: {said}"
    if time.share("transfer") >= _TRANSFERS:
        yield f"{_percent(time, 'transfer')} for copies to the device: smaller numbers in the samples, such as uint8"
    if time.share("exchange") >= _EXCHANGES:
        yield f"{_percent(time, 'exchange')} for the exchange with other ranks: a larger training.batch_size"
    if time.share("guards") >= _GUARDS:
        yield f"{_percent(time, 'guards')} for guards: guard.check_weights_every and guard.share_every_steps, larger"
    if time.gpu_load is not None and time.gpu_load < _IDLE_GPU:
        how = "a larger training.batch_size" + ("" if settings.is_compiled else ", or model.compile=true")
        yield f"launch-bound: the GPU computes {time.gpu_load:.0f} % of the time: {how}"
    if time.share("other") >= _OTHER:
        yield f"{_percent(time, 'other')} outside the step, in monitors and the journal: a larger training.batch_size"
    yield _of_network(time.share("forward") + time.share("backward") + time.share("optimizer"))


def _of_network(share: float) -> str:
    if share < _MOST:
        return f"in many parts, of which the network takes {100 * share:.0f} %: a larger training.batch_size"
    return f"bound by the network, which takes {100 * share:.0f} % of the time: nothing else is worth a change"


def _percent(time: StepTime, part: str) -> str:
    return f"{100 * time.share(part):.0f} %"


def _more_workers(settings: Settings) -> str:
    most = max(settings.cores, 2)
    after = min(2 * settings.num_workers or 2, most)
    if after <= settings.num_workers:
        return f"data.num_workers {settings.num_workers} use all processors: a faster disk, or cheaper samples"
    return f"data.num_workers {settings.num_workers} -> {after}"


def _fewer_checkpoints(time: StepTime, settings: Settings) -> str:
    """Return the frequencies to lower. Both count: in short epochs, checkpoints of steps are the fewer ones."""
    factor = time.share("checkpoint") / _FEW_CHECKPOINTS
    frequencies = {"steps": settings.checkpoint_steps, "epochs": settings.checkpoint_epochs}
    larger = [
        f"checkpoint.every_{unit} {number} -> {int(float(f'{number * factor:.1g}'))}"
        for unit, number in frequencies.items()
        if number
    ]
    return " and ".join(larger) or "write them less often"


def _spoken(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
