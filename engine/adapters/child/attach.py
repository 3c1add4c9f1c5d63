"""Watch every optimizer of an untouched program, and send what is seen to the cockpit's process."""

from __future__ import annotations

import atexit
import os
import time
from typing import Any
from weakref import WeakValueDictionary, ref

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ...errors import UserError
from ..hooks import patches
from ..hooks.gradients.parameter_names import ParameterNames
from ..hooks.optimizer_hooks import OptimizerHooks
from ..hooks.optimizers.wrapped_optimizers import have_all_of, updating
from ..hooks.survive import Survive, say, untraced
from ..hooks.update import Update
from ..hooks.weight_norms import WeightNorms
from .link import GONE, Link, ask
from .main_optimizer import Found, MainOptimizer
from .network_search import NetworkSearch


def attach(address: str) -> None:
    """Watch all optimizers from their first step on, and report to the socket at `address`."""
    attachment = _Attachment(address)
    _attachments.append(attachment)
    register_optimizer_step_pre_hook(attachment.before_step)
    attachment.watch_losses()


def make_way(elsewhere: str = "") -> str:
    """Leave the program to its own cockpit, and return the directory in which it is to record.

    `elsewhere` is a directory in which it records instead. Return an empty string then, and if there is no cockpit
    around the program or it has recorded steps already.
    """
    return next((attachment.make_way(elsewhere) for attachment in _attachments), "")


def let_go() -> None:
    """Leave a process of the program to its own cockpit, which records in another one."""
    for attachment in _attachments:
        attachment.let_go()


_attachments: list[_Attachment] = []
"""The attachment of this process, if it was started by the cockpit."""


class _Attachment:
    """What is known of a program: its optimizers, the networks that they train, and the connection."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._link: Link | None = None
        self._rank, self._num_ranks = 0, 1
        self._is_together = False
        self._process = os.getpid()
        self._is_off = False
        self._names = ParameterNames({})
        self._names.models = WeakValueDictionary()
        self._hooks = OptimizerHooks(self._names, self._give_up)
        self._hooks.hold_weakly()
        self._hooks.on_update = self._after_update
        self._survive = Survive(self._give_up)
        self._known: dict[int, Found] = {}
        self._main = MainOptimizer(self._hooks)
        self._search = NetworkSearch(self._names)
        self._step = 0
        self._left: int | None = None
        self._last_end = time.perf_counter()
        self._weight_norms = WeightNorms()

    def watch_losses(self) -> None:
        """Note the losses on which `backward` is called, from the first one on."""
        patches.install(self._hooks)

    @untraced
    def before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Take up an optimizer at its first step."""
        if self._is_off or ((known := self._known.get(id(optimizer))) is not None and known() is optimizer):
            return
        if os.getpid() != self._process:  # a worker that was forked after the first step
            self._is_off = True
            return
        with self._survive:  # the user's program must run as without the cockpit
            if self._hooks.in_step and have_all_of(self._hooks.readers, optimizer):  # inside another, as of ZeRO
                self._known[id(optimizer)] = ref(optimizer)
            else:
                self._take_up(optimizer)

    def _take_up(self, optimizer: torch.optim.Optimizer) -> None:
        inner = updating(optimizer)
        self._known = {key: found for key, found in self._known.items() if found() is not None}
        self._known |= {id(one): ref(one) for one in (optimizer, *inner)}
        is_named, is_first = self._search.name_networks(optimizer), self._link is None
        if self._link is None:  # first of all: what follows may have a fault to report
            self._link = Link(self._address, self._hello(inner[-1]))
            self._is_together = self._link.control["together"]
            atexit.register(self._end)
        for one in inner:
            self._hooks.watch(one)
        if is_first:
            self._main.become(inner[-1])
            self._adopt(self._link.control)
        if is_named:
            self._link.say({"layers": self._hooks.layers.layer_names()})

    def _hello(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        first: Tensor = optimizer.param_groups[0]["params"][0]
        self._rank, self._num_ranks = _rank_of_process()
        rates = [float(group.get("initial_lr", group.get("lr", 0.0))) for group in optimizer.param_groups]
        return {
            "rank": self._rank,
            "world": self._num_ranks,
            "nearby": int(os.environ.get("LOCAL_WORLD_SIZE", self._num_ranks)),
            "device": str(first.device),
            "threads": torch.get_num_threads(),
            "parameters": sum(p.numel() for group in optimizer.param_groups for p in group["params"]),
            "rates": rates,
        }

    # --- steps ----------------------------------------------------------------------------

    def _after_update(self, optimizer: torch.optim.Optimizer) -> None:
        """Report a step of the main optimizer, with those of the others since, and do what was asked."""
        if self._link is None or not self._main.makes_step(optimizer, is_alone=self._num_ranks == 1):
            return
        update = self._hooks.take()
        now = time.perf_counter()
        self._step += 1
        if self._rank == 0:
            self._link.add(self._row(update, now))
        if self._left is not None:
            self._left -= 1
        if self._link.is_asked or self._link.hold_at or self._left == 0:
            self._attend_if_all_do(self._link)
        if self._link.is_lost:
            self.let_go()
        self._last_end = time.perf_counter()

    def _row(self, update: Update, now: float) -> dict[str, Any]:
        losses = update.losses
        host = update.finite is None
        return {
            "step": self._step,
            "seconds": now - self._last_end,
            "loss": [float(loss) for loss in losses] if host else _on_device(losses, update.finite),
            "lr": update.lr,
            "norms": update.norms,
            "finite": None if update.finite is None else update.finite.float().reshape(1),
            "bad": update.bad,
            "is_loss_bad": update.is_loss_bad,
            "scaler": update.scaler_skipped,
            "weight_norms": self._weight_norms.read(self._hooks),
            "layers": update.layers,
            "histograms": update.histograms,
        }

    def _attend_if_all_do(self, link: Link) -> None:
        """Hold now if all processes do; if rank 0 alone is asked, let all hold after the next step."""
        is_due = self._left == 0 or (self._step >= link.hold_at if link.hold_at else not self._is_together)
        if is_due:
            self._attend()
        elif not link.hold_at:
            link.hold_next(self._step + 1)

    def _attend(self) -> None:
        """Let the cockpit carry out its commands, between two steps; wait while it pauses the training."""
        assert self._link is not None
        control = self._link.at_boundary(self._step)
        if control is None:
            return
        self._adopt(control)
        if control["activity"] == "stopping":
            self._end()
            raise SystemExit(0)
        if control["activity"] == GONE:
            self.let_go()

    def _adopt(self, control: dict[str, Any]) -> None:
        rate = self._hooks.learning_rate
        rate.scale = control["lr_scale"]
        if control["lr_pin"] != rate.pin:
            rate.pin = control["lr_pin"]
            rate.reference = self._hooks.scheduled_lr()
        self._hooks.clip = control["clip"]
        for layer in control.get("histograms", ()):
            if reason := self._hooks.layers.request_histogram(layer):
                say(f"no histogram of {layer}: {reason}")
        self._left = control["left"]

    # --- end ------------------------------------------------------------------------------

    def _give_up(self, error: Exception) -> None:
        """Leave the program alone after a fault of the cockpit, or as it cannot be watched; say so in both logs."""
        why = f": {error}" if isinstance(error, UserError) else f" after a fault of its own: {error!r}"
        say(f"detached, the program goes on{why}")
        if self._link is not None:
            self._link.say({"detached": why})
        self.let_go()

    def make_way(self, elsewhere: str) -> str:
        """Let the cockpit around the program close its run, and return the run's directory, or an empty string."""
        if self._is_off or os.getpid() != self._process:
            return ""
        try:
            return str(ask(self._address, {"own_run": elsewhere})["released"])
        except (OSError, ValueError, KeyError):  # a cockpit that is gone
            return ""
        finally:
            self._end()

    def let_go(self) -> None:
        """Watch nothing more."""
        self._is_off = True
        patches.remove(self._hooks)
        self._hooks.remove()

    def _end(self) -> None:
        atexit.unregister(self._end)
        if self._link is not None and os.getpid() == self._process:
            self._link.close()
        self.let_go()


def _rank_of_process() -> tuple[int, int]:
    """Return the rank of this process and the number of processes that train together."""
    group = torch.distributed
    if group.is_available() and group.is_initialized():
        return group.get_rank(), group.get_world_size()
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def _on_device(values: list[float | Tensor], like: Tensor | None) -> Tensor | None:
    """Return scalars as one tensor, for the sending thread to read: the training does not wait for the device."""
    device = None if like is None else like.device
    return (
        torch.stack([torch.as_tensor(value, dtype=torch.float32, device=device) for value in values])
        if values
        else None
    )
