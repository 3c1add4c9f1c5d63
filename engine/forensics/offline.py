"""Takes a recorded step again in a process of its own, from its folder of evidence alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from engine.config.load import read_resolved
from engine.errors import UserError
from engine.forensics.capture import Evidence, from_payload
from engine.forensics.diagnose import name_fault
from engine.forensics.evidence_dir import BATCH_FILE, WEIGHTS_FILE, load_part
from engine.journal.disk.run_dir import CONFIG_FILE
from engine.outputs.fault_report import Diagnosis, read_report
from engine.tasks.person.model.network import HierarchicalUNet
from engine.training.device import choose_device, describe


def diagnose(folder: Path, device_name: str) -> Diagnosis:
    """Replay the step in `folder` on the device of that name. Raises UserError where the folder cannot be read."""
    recorded, device = read_report(folder), choose_device(device_name)
    model, moments, evidence = load_folder(folder, device)
    started = time.perf_counter()
    fault = name_fault(model, moments, evidence)
    return Diagnosis(
        recorded=recorded,
        replayed=fault,
        same=fault.place() == recorded.fault.place(),
        seconds=time.perf_counter() - started,
        device=describe(device),
    )


def load_folder(folder: Path, device: torch.device) -> tuple[HierarchicalUNet, dict[str, Any], Evidence]:
    """The network as it was, the moments that were kept, and the evidence. Raises UserError where it does not fit."""
    config = read_resolved(folder / CONFIG_FILE)
    weights, batch = load_part(folder, WEIGHTS_FILE), load_part(folder, BATCH_FILE)
    model = HierarchicalUNet(config.model).to(device).train()
    try:
        model.load_state_dict(weights["model"])
        return model, weights["moments"], from_payload(batch, device)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"the evidence in {folder.name} does not fit this program: {reason}") from error
