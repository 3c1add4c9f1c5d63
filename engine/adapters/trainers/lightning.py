"""The cockpit in a Lightning trainer: one entry in its list of callbacks.

    trainer = L.Trainer(..., callbacks=[CockpitCallback("my-run")])

Stop, save and validate go through the trainer's own attributes and methods; its checkpoints and loggers stay its own.
"""

from __future__ import annotations

import functools
import math
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self, cast

from torch import Tensor, nn

from engine.adapters.capabilities import LIGHTNING
from engine.adapters.hooks.optimizers.wrapped_optimizers import updating
from engine.adapters.run.batches import count_samples
from engine.adapters.trainers.callback_members import CallbackMembers
from engine.adapters.trainers.survived import say_why_not, survived
from engine.adapters.trainers.trainer_run import TrainerRun
from engine.adapters.trainers.training import RunOptions, TrainerTraining
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Event
from engine.protocol.task_spec import Unsupported
from engine.runtime.commands.command_processor import HandedOver

_PACKAGES: Final = ("lightning.pytorch.callbacks", "pytorch_lightning.callbacks")
_VALIDATION: Final = ("val_", "val/", "valid_", "valid/", "validation_", "validation/")
_NO_VALIDATION: Final = "this trainer has no validation: give it a validation_step and a loader for it"
_BY_TIME: Final = "this trainer validates by the clock: give val_check_interval as a number of batches"

# `Any`: trainer and module are Lightning's, of one of two packages.


class LightningCallback(CallbackMembers):
    """Records and steers the training of one trainer.

    `run` is the name of the run, made from the program and the time if empty. `config` is recorded in place of the
    module's hyperparameters. With `resume` a run of this name goes on, at the step of `ckpt_path`. `score` names the
    metric of the best score, without 'val_'; the first one if empty. Instances are callbacks of the imported package.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Return an instance that is a callback of each Lightning package that the program has imported."""
        return cast(Self, object.__new__(_with_bases(cls, _callback_classes())))

    def __init__(
        self,
        run: str = "",
        *,
        config: Mapping[str, Any] | None = None,
        runs_dir: str | Path = "",
        resume: bool = False,
        score: str = "",
        lower_is_better: bool = False,
    ) -> None:
        self._options = RunOptions(run, config, runs_dir, resume, score, lower_is_better)
        self.cockpit = TrainerRun(LIGHTNING, self._options)
        self._saved: Mapping[str, Any] = {}
        self._epoch_began = self._validation_began = 0.0
        self._metrics_before: Mapping[str, Any] = {}
        self._validation_names: frozenset[str] = frozenset()
        self._check: tuple[Any, Any] | None = None
        self._files: tuple[str, ...] = ()

    @survived
    def state_dict(self) -> dict[str, Any]:
        """Return what the trainer's checkpoints keep of the cockpit: the decisions in force at its step."""
        return self.cockpit.saved()

    @survived
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the decisions of the checkpoint that the trainer resumes from, until the training begins."""
        self._saved = state_dict

    # --- start and end --------------------------------------------------------------------

    @survived
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin the run."""
        if trainer.world_size > 1 and type(trainer.strategy).__name__ != "DDPStrategy":
            say_why_not("its processes divide the network, so none of them sees all gradients")
            return
        if not trainer.optimizers:
            say_why_not("configure_optimizers returned none")
            return
        total = trainer.estimated_stepping_batches
        self._files = _checkpoint_files(trainer)
        self.cockpit.open(
            TrainerTraining(
                models={"": pl_module},
                optimizers=[inner for one in trainer.optimizers for inner in updating(_unwrapped(one))],
                config=_settings(trainer, pl_module) if self._options.config is None else self._options.config,
                total=int(total) if math.isfinite(total) and total > 0 else 0,
                step=int(trainer.global_step),
                saved=self._saved,
                replayed=_networks(pl_module),
                lacks=() if trainer.enable_validation else (Unsupported(c.Validate.op, _NO_VALIDATION),),
                judges_closures=False,
                rank=int(trainer.global_rank),
                num_ranks=int(trainer.world_size),
            )
        )
        self._saved = {}

    @survived
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End the run."""
        self._note_checkpoints(trainer)
        self.cockpit.end("stopped" if self.cockpit.is_stopping else "complete")

    @survived
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End the run as failed, or as interrupted by the keyboard."""
        self.cockpit.fail(exception)

    # --- steps ----------------------------------------------------------------------------

    @survived
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Note the beginning of an epoch."""
        self._epoch_began = time.perf_counter()
        self.cockpit.clock.mark()

    @survived
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the end of an epoch."""
        if not self.cockpit.is_stopping:
            self.cockpit.end_epoch(int(trainer.current_epoch), time.perf_counter() - self._epoch_began)

    @survived
    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Note that a batch has arrived."""
        self._note_checkpoints(trainer)
        self.cockpit.clock.begin_batch()

    @survived
    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Look at the gradients after backward, inside the closure; under a loss scaler the hooks do it later."""
        hooks = self.cockpit.hooks
        if hooks is None or getattr(trainer.precision_plugin, "scaler", None) is not None:
            return
        for inner in updating(_unwrapped(optimizer)):
            hooks.judge(inner)

    @survived
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Record the step if there was an update, and carry out commands."""
        cockpit = self.cockpit
        has_update = cockpit.hooks is not None and cockpit.hooks.update.count > 0
        self._record(trainer, batch, batch_idx, has_update)
        if not has_update:
            return
        cockpit.boundary(functools.partial(self._carry_out, trainer))
        if cockpit.is_stopping:
            trainer.should_stop = True
        if trainer.world_size > 1:
            self._do(trainer, *cockpit.todo)

    @survived
    def _record(self, trainer: Any, batch: Any, batch_idx: int, has_update: bool) -> None:
        cockpit = self.cockpit
        cockpit.clock.end_batch(count_samples(batch))
        if not has_update:
            cockpit.clock.mark()
            return
        length = trainer.num_training_batches
        part = (batch_idx + 1) / length if math.isfinite(length) and length else 0.0
        cockpit.end_step(trainer.current_epoch + min(part, 1.0), _logged(trainer, cockpit, self._validation_names))

    # --- what the trainer does -------------------------------------------------------------

    def _carry_out(self, trainer: Any, handed: HandedOver) -> str:
        is_save = isinstance(handed.event, e.CheckpointRequested)
        if not is_save and getattr(trainer, "_val_check_time_interval", None) is not None:
            return _BY_TIME
        self.cockpit.handed.add(handed)
        if trainer.world_size == 1:
            self._do(trainer, type(handed.event))
        return ""

    def _do(self, trainer: Any, *kinds: type[Event]) -> None:
        """Save a checkpoint now, and let the trainer validate after this step."""
        if e.CheckpointRequested in kinds:
            self._save(trainer)
        if e.ValidationRequested in kinds and self._check is None:
            self._check = (trainer.val_check_batch, trainer.check_val_every_n_epoch)
            trainer.val_check_batch, trainer.check_val_every_n_epoch = 1, 1

    def _save(self, trainer: Any) -> None:
        cockpit = self.cockpit
        folder = getattr(trainer.checkpoint_callback, "dirpath", None) or Path(trainer.default_root_dir) / "checkpoints"
        path = Path(folder) / f"cockpit-step={trainer.global_step}.ckpt"
        try:
            trainer.save_checkpoint(path)
        except Exception as error:  # their plugins may raise anything, and the training can do without this file
            if cockpit.is_open:
                cockpit.handed.decline(cockpit.run, e.CheckpointRequested, f"it cannot be written: {error}")
            return
        cockpit.checkpointed(path, "asked")

    def _note_checkpoints(self, trainer: Any) -> None:
        """Record the checkpoints that the trainer's own callbacks wrote since the last call."""
        files = _checkpoint_files(trainer)
        if files == self._files:
            return
        fresh, self._files = [path for path in files if path and path not in self._files], files
        for path in dict.fromkeys(fresh):
            self.cockpit.checkpointed(path, "step")

    @survived
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Note the metrics before a validation."""
        if trainer.sanity_checking or not self.cockpit.is_open:
            return
        if self._check is not None:  # it was asked for: the trainer goes back to its own times
            trainer.val_check_batch, trainer.check_val_every_n_epoch = self._check
            self._check = None
        self._metrics_before = dict(trainer.callback_metrics)
        self._validation_began = time.perf_counter()

    @survived
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Record a validation, and go on with a pause that was left for it."""
        cockpit = self.cockpit
        if trainer.sanity_checking or not cockpit.is_open:
            return
        before, now = self._metrics_before, trainer.callback_metrics
        names = [name for name, value in now.items() if value is not before.get(name)]
        self._validation_names |= frozenset(names)
        numbers = {_shortened(name): float(now[name]) for name in names if now[name].numel() == 1}
        loss = numbers.pop("loss", None)
        cockpit.validated(numbers, loss, time.perf_counter() - self._validation_began)
        if not cockpit.handed and not cockpit.is_stopping:
            cockpit.boundary()
        if cockpit.is_stopping:
            trainer.should_stop = True
        cockpit.clock.mark()


def _callback_classes() -> tuple[type[Any], ...]:
    """Return the class `Callback` of each imported Lightning package, or of the installed one."""
    loaded = [name for name in _PACKAGES if name.partition(".")[0] in sys.modules]
    if not loaded:
        loaded = [name for name in _PACKAGES if find_spec(name.partition(".")[0])][:1]
    return tuple(import_module(name).Callback for name in loaded)


@functools.cache
def _with_bases(cls: type[LightningCallback], bases: tuple[type[Any], ...]) -> type[LightningCallback]:
    """Return `cls` as a subclass of `bases` too."""
    missing = tuple(base for base in bases if not issubclass(cls, base))
    return type(cls.__name__, (cls, *missing), {"__module__": cls.__module__}) if missing else cls


def _logged(trainer: Any, cockpit: TrainerRun, of_validation: frozenset[str]) -> dict[str, Tensor]:
    """Return what the module logged in this step, at the steps at which the trainer's loggers get it."""
    if not cockpit.is_open or (cockpit.run.step + 1) % max(trainer.log_every_n_steps, 1):
        return {}
    return {
        name: value.detach()
        for name, value in trainer.logged_metrics.items()
        if name not in of_validation and isinstance(value, Tensor) and value.numel() == 1
    }


def _unwrapped(optimizer: Any) -> Any:
    """Return the optimizer of torch inside Lightning's wrapper."""
    return getattr(optimizer, "optimizer", optimizer)


def _networks(module: nn.Module) -> dict[str, nn.Module]:
    """Return the networks that `training_step` may call: the module's children, and itself."""
    children = {name: child for name, child in module.named_children() if next(child.parameters(), None) is not None}
    return {**children, "": module}


def _checkpoint_files(trainer: Any) -> tuple[str, ...]:
    """Return the newest file of each of the trainer's checkpoint callbacks; an empty string for none."""
    return tuple(
        str(getattr(callback, "_last_checkpoint_saved", "") or getattr(callback, "best_model_path", ""))
        for callback in trainer.checkpoint_callbacks
    )


def _shortened(name: str) -> str:
    """Return a metric's name without the prefix of validations, which the cockpit adds."""
    for prefix in _VALIDATION:
        name = name.removeprefix(prefix)
    return name


def _settings(trainer: Any, module: Any) -> dict[str, Any]:
    """Return the module's hyperparameters, and the trainer's settings that shape the training."""
    named = ("max_epochs", "max_steps", "precision", "accumulate_grad_batches", "gradient_clip_val")
    return {**dict(module.hparams), "trainer": {name: getattr(trainer, name, None) for name in named}}
