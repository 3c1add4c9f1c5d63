"""The folders of evidence on disk: written beside and renamed, few in number, read with weights_only."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.config.load import dump_config
from engine.config.tree import RunConfig
from engine.errors import UserError
from engine.forensics.capture import Evidence, to_payload
from engine.journal.disk.run_dir import CONFIG_FILE, FORENSICS
from engine.outputs.fault_report import (
    REPORT_JSON,
    REPORT_TEXT,
    ForensicReport,
    folder_name,
    folders_of,
    report_lines,
    report_text,
)
from engine.training.checkpoint.file import copy_to_host
from engine.training.optimizer import Moments

BATCH_FILE, WEIGHTS_FILE = "batch.pt", "weights.pt"
_PARTIAL = ".partial-"


def write_evidence(
    run_dir: Path, config: RunConfig, evidence: Evidence, report: ForensicReport, weights: Mapping[str, Any]
) -> Path:
    """Write a fault's folder so that it is whole or absent; returns it. Raises OSError where the disk refuses."""
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
    """The network's state, and of the moments (twice its size) only those of module `keep`, '' for none."""
    kept = {name: held for name, held in moments.items() if keep and name.startswith(f"{keep}.")}
    return {"model": copy_to_host(model.state_dict()), "moments": copy_to_host(kept)}


def prune_evidence(run_dir: Path, most: int) -> None:
    """Leave at most `most` folders: the first faults, which say how it began, and the newest."""
    folders = folders_of(run_dir)
    first = most // 2
    for folder in folders[first : len(folders) - (most - first)]:
        shutil.rmtree(folder, ignore_errors=True)


def load_part(folder: Path, name: str) -> dict[str, Any]:
    """One of the two tensor files of a folder. Raises UserError where it is missing, damaged or foreign."""
    path = folder / name
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damaged byte happened to hit
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{folder.name}/{name} cannot be read as evidence: {reason}") from error
    if not isinstance(payload, dict):
        raise UserError(f"{folder.name}/{name} is no evidence of this program")
    return payload


def _free_name(parent: Path, step: int) -> Path:
    """A step may fail again after a rollback: its later evidence gets a number."""
    name = folder_name(step)
    names = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(path for path in (parent / name for name in names) if not path.exists())
