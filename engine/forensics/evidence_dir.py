"""Evidence folders on disk: written to a temporary folder and renamed, limited in number, read with weights_only."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.config.files.yaml_text import dump_config
from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.forensics.capture import Evidence, to_payload
from engine.journal.disk.run_dir import CONFIG_FILE, FORENSICS
from engine.outputs.fault_report import REPORT_JSON, REPORT_TEXT, ForensicReport, folder_name, folders_of, report_text
from engine.outputs.fault_text import report_lines
from engine.training.checkpoint.values import copy_to_host
from engine.training.optimizer import Moments

BATCH_FILE, WEIGHTS_FILE = "batch.pt", "weights.pt"
_PARTIAL = ".partial-"


def write_evidence(
    run_dir: Path, config: RunConfig, evidence: Evidence, report: ForensicReport, weights: Mapping[str, Any]
) -> Path:
    """Write a fault's folder such that it is complete or absent. Return its path.

    Raises OSError if writing fails.
    """
    parent = run_dir / FORENSICS
    partial = parent / f"{_PARTIAL}{folder_name(report.step)}"
    try:
        partial.mkdir(parents=True, mode=0o700, exist_ok=True)
        torch.save(to_payload(evidence), partial / BATCH_FILE)
        torch.save(dict(weights), partial / WEIGHTS_FILE)
        (partial / CONFIG_FILE).write_text(dump_config(config), encoding="utf-8")
        (partial / REPORT_TEXT).write_text("\n".join(report_lines(report)) + "\n", encoding="utf-8")
        (partial / REPORT_JSON).write_text(report_text(report) + "\n", encoding="utf-8")
        return partial.rename(_free_name(parent, report.step))
    except RuntimeError as error:  # torch reports a full disk from its own zip writer as RuntimeError
        raise OSError(f"cannot write the evidence: {str(error).splitlines()[0]}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def weights_payload(model: nn.Module, moments: Moments, *, keep: str) -> dict[str, Any]:
    """Return the network's state, and the moments of module `keep` only, since all take twice its size.

    No moments are kept if `keep` is an empty string.
    """
    kept = {name: held for name, held in moments.items() if keep and name.startswith(f"{keep}.")}
    return {"model": copy_to_host(model.state_dict()), "moments": copy_to_host(kept)}


def prune_evidence(run_dir: Path, most: int) -> None:
    """Keep at most `most` folders: the first faults, which show the cause, and the newest."""
    folders = folders_of(run_dir)
    first = most // 2
    for folder in folders[first : len(folders) - (most - first)]:
        shutil.rmtree(folder, ignore_errors=True)


def load_part(folder: Path, name: str) -> dict[str, Any]:
    """Return one of the two tensor files of a folder. Raises UserError if it is missing, damaged or foreign."""
    path = folder / name
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the exception of torch.load depends on the damaged byte
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{folder.name}/{name} cannot be read as evidence: {reason}") from error
    if not isinstance(payload, dict):
        raise UserError(f"{folder.name}/{name} is no evidence of this program")
    return payload


def _free_name(parent: Path, step: int) -> Path:
    """Return an unused folder name. A step that fails again after a rollback gets a numbered one."""
    name = folder_name(step)
    names = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(path for path in (parent / name for name in names) if not path.exists())
