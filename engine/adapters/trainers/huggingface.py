"""The cockpit in a Hugging Face trainer: one entry in its list of callbacks.

    trainer = Trainer(..., callbacks=[CockpitCallback("my-run")])

Stop, save and evaluate go through the trainer's own flags, and its checkpoints and loggers stay its own.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from transformers.trainer_callback import ExportableState, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from engine.adapters.capabilities import HUGGINGFACE
from engine.adapters.hooks.optimizers.wrapped_optimizers import updating
from engine.adapters.hooks.update_judge import num_processes
from engine.adapters.trainers.callback_members import CallbackMembers
from engine.adapters.trainers.survived import say_why_not, survived
from engine.adapters.trainers.trainer_run import TrainerRun
from engine.adapters.trainers.training import RunOptions, TrainerTraining
from engine.adapters.trainers.training_frame import TrainingFrame
from engine.errors import UserError
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Event
from engine.protocol.task_spec import Unsupported
from engine.runtime.commands.command_processor import HandedOver

_OURS: Final = ("loss", "grad_norm", "learning_rate", "epoch", "step", "total_flos")
"""Numbers of the trainer's log that the cockpit measures itself, at each step and without a filter."""
_SPEEDS: Final = ("runtime", "samples_per_second", "steps_per_second", "jit_compilation_time", "model_preparation_time")
_EVAL: Final = "eval_"
_SAME_GRADIENTS: Final = ("MULTI_CPU", "MULTI_GPU", "MULTI_NPU", "MULTI_XPU")
"""Ways of training in several processes in which all have the whole network and the same gradients."""
_NO_EVALUATION: Final = "this trainer was built without evaluation: set eval_strategy and eval_dataset"

# `Any`: the arguments of callbacks are objects of transformers, whose types are partial.


class HuggingFaceCallback(CallbackMembers, TrainerCallback, ExportableState):
    """Records and steers the training of one trainer.

    `run` is the name of the run, made from the program and the time if empty. `config` is recorded in place of the
    training arguments. With `resume` a run of this name goes on, at the step of the checkpoint that the trainer
    resumed from. `score` names the metric of the best score: metric_for_best_model, or else the first one.
    """

    def __init__(
        self,
        run: str = "",
        *,
        config: Mapping[str, Any] | None = None,
        runs_dir: str | Path = "",
        resume: bool = False,
        score: str = "",
    ) -> None:
        self._options = RunOptions(run, config, runs_dir, resume, score)
        self.cockpit = TrainerRun(HUGGINGFACE, self._options)
        self._epoch_began = 0.0
        self._batch_size = 0

    def close(self, error: BaseException | None = None) -> None:
        """End the run now, as failed with `error`. An exception that leaves `train()` is noticed without it."""
        if error is None:
            self.cockpit.end("closed")
        else:
            self.cockpit.fail(error)

    @survived
    def state(self) -> dict[str, Any]:
        """Return what the trainer's checkpoints keep of the cockpit: the decisions in force at its step."""
        options = self._options
        args = {"run": options.run, "runs_dir": str(options.runs_dir), "resume": options.resume, "score": options.score}
        return {"args": args, "attributes": {"saved": self.cockpit.saved()}}

    # --- start and end --------------------------------------------------------------------

    @survived
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin the run."""
        if args.world_size > 1 and args.distributed_state.distributed_type.value not in _SAME_GRADIENTS:
            say_why_not("its processes divide the network, so none of them sees all gradients")
            return
        if (started := num_processes()) > int(args.world_size):
            raise UserError(
                f"this program was started as {started} processes, but the trainer trains alone in each of them: "
                "on the CPU give TrainingArguments(use_cpu=True)"
            )
        optimizer = _unwrapped(kwargs["optimizer"])
        if not isinstance(optimizer, torch.optim.Optimizer):
            say_why_not(f"a {type(optimizer).__name__} is not an optimizer of torch")
            return
        score, lower = self._options.score, False
        if not score and args.metric_for_best_model:
            score, lower = args.metric_for_best_model.removeprefix(_EVAL), not args.greater_is_better
        self.cockpit.options = dataclasses.replace(self._options, score=score, lower_is_better=lower)
        self._batch_size = int(args.train_batch_size)
        lacks = (Unsupported(c.Validate.op, _NO_EVALUATION),) if args.eval_strategy == "no" else ()
        self.cockpit.open(
            TrainerTraining(
                models={"": kwargs["model"]},
                optimizers=updating(optimizer),
                config=_changed_arguments(args) if self._options.config is None else self._options.config,
                total=max(int(state.max_steps), 0),
                step=int(state.global_step),
                saved=_saved_in(state, type(self).__name__),
                lacks=lacks,
                rank=int(args.process_index),
                num_ranks=int(args.world_size),
                frame=TrainingFrame("transformers.trainer", "train"),
            )
        )

    @survived
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the run."""
        self.cockpit.end("stopped" if self.cockpit.is_stopping else "complete")

    # --- steps ----------------------------------------------------------------------------

    @survived
    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the beginning of an epoch."""
        self._epoch_began = time.perf_counter()
        self.cockpit.clock.mark()

    @survived
    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note that the batches of a step have arrived."""
        self.cockpit.clock.begin_batch()

    @survived
    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count a batch whose gradients are accumulated."""
        self.cockpit.clock.end_batch(self._batch_size)

    @survived
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Record the step, and carry out commands."""
        self._record(state)

        def hand_over(handed: HandedOver) -> str:
            self._order(control, type(handed.event))
            self.cockpit.handed.add(handed)
            return ""

        self.cockpit.boundary(hand_over)
        for kind in self.cockpit.todo:
            self._order(control, kind)
        return self._stopped(control)

    @survived
    def _record(self, state: Any) -> None:
        self.cockpit.clock.end_batch(self._batch_size)
        self.cockpit.end_step(float(state.epoch or 0.0))

    def _order(self, control: Any, kind: type[Event]) -> None:
        """Let the trainer save or evaluate after this step."""
        if kind is e.CheckpointRequested:
            control.should_save = True
        else:
            control.should_evaluate = True

    def _stopped(self, control: Any) -> Any:
        if self.cockpit.is_stopping:
            control.should_training_stop = True
        return control

    def _wait_on(self, control: Any) -> Any:
        """Go on with a pause that was left for the trainer to save or evaluate."""
        if not self.cockpit.handed and not self.cockpit.is_stopping:
            self.cockpit.boundary()
        self.cockpit.clock.mark()
        return self._stopped(control)

    # --- what the trainer does -------------------------------------------------------------

    @survived
    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the end of an epoch, unless it was broken off."""
        epoch = float(state.epoch or 0.0)
        if abs(epoch - round(epoch)) < 1e-6 and epoch > 0:
            self.cockpit.end_epoch(round(epoch) - 1, time.perf_counter() - self._epoch_began)

    @survived
    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> Any:
        """Record an evaluation."""
        numbers = {
            name.removeprefix(_EVAL): float(value)
            for name, value in (metrics or {}).items()
            if name != "epoch" and not name.endswith(_SPEEDS) and isinstance(value, int | float)
        }
        seconds = next((float(value) for name, value in (metrics or {}).items() if name.endswith("_runtime")), 0.0)
        loss = numbers.pop("loss", None)
        self.cockpit.validated(numbers, loss, seconds)
        return self._wait_on(control)

    @survived
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Record a checkpoint of the trainer."""
        path = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        self.cockpit.checkpointed(path, "step")
        return self._wait_on(control)

    @survived
    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Keep the trainer's numbers for the next step, except those that the cockpit measures itself."""
        self.cockpit.logged.update(
            {
                name: float(value)
                for name, value in (logs or {}).items()
                if name not in _OURS and not name.startswith((_EVAL, "train_")) and isinstance(value, int | float)
            }
        )
        self.cockpit.clock.mark()


def _unwrapped(optimizer: Any) -> Any:
    """Return the optimizer inside the wrappers of accelerate."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        optimizer = inner
    return optimizer


def _saved_in(state: Any, name: str) -> Mapping[str, Any]:
    """Return the cockpit's part of the checkpoint that the trainer resumed from; empty for none."""
    if not state.global_step:
        return {}
    held = state.stateful_callbacks.get(name, {})
    held = held[-1] if isinstance(held, list) and held else held
    return held.get("attributes", {}).get("saved", {}) if isinstance(held, Mapping) else {}


def _changed_arguments(args: Any) -> dict[str, Any]:
    """Return the training arguments that are not the defaults, without access tokens."""
    chosen = [one for one in dataclasses.fields(args) if one.init and not one.name.endswith("token")]
    values = {one.name: (getattr(args, one.name, None), one.default) for one in chosen}
    return {
        name: value
        for name, (value, default) in values.items()
        if isinstance(value, bool | int | float | str) and value != default
    }
