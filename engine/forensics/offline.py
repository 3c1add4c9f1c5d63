"""Replay a recorded step in another process, from its evidence folder alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.config.load import read_resolved
from engine.errors import UserError
from engine.forensics.capture import Evidence, from_payload
from engine.forensics.diagnose import name_fault
from engine.forensics.evidence_dir import BATCH_FILE, WEIGHTS_FILE, load_part
from engine.journal.disk.run_dir import CONFIG_FILE
from engine.outputs.fault_report import Diagnosis, read_report
from engine.task import load_task
from engine.training.device import choose_device, describe
from engine.training.loss_sum import Objective


def diagnose(folder: Path, device_name: str) -> Diagnosis:
    """Replay the step in `folder` on the named device. Raises UserError if the folder cannot be read."""
    recorded, device = read_report(folder), choose_device(device_name)
    objective, model, moments, evidence = load_folder(folder, device)
    started = time.perf_counter()
    fault = name_fault(objective, model, moments, evidence)
    return Diagnosis(
        recorded=recorded,
        replayed=fault,
        same=fault.place() == recorded.fault.place(),
        seconds=time.perf_counter() - started,
        device=describe(device),
    )


def load_folder(folder: Path, device: torch.device) -> tuple[Objective, nn.Module, dict[str, Any], Evidence]:
    """Return the task, the network of the step, the saved moments, and the evidence.

    Raises UserError if they do not match.
    """
    config = read_resolved(folder / CONFIG_FILE)
    weights, batch = load_part(folder, WEIGHTS_FILE), load_part(folder, BATCH_FILE)
    task = load_task(config.task)
    model = task.build_model(config).to(device).train()
    try:
        model.load_state_dict(weights["model"])
        clamped = task.spec.clamped_terms()
        return Objective(task, config), model, weights["moments"], from_payload(batch, device, clamped)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"the evidence in {folder.name} does not fit this program: {reason}") from error
