"""Two runs to compare: one of 120 steps, and a live one of 60 with another configuration and interventions."""

from __future__ import annotations

from pathlib import Path

from engine.journal.task_meta import PARENT, Parent
from engine.protocol import events as e
from engine.protocol.codec import to_json
from engine.protocol.events import Status
from tests.recorded_run import RecordedRun, record_run

CONFIGS = {
    "base": "training:\n  learning_rate: 0.003\n  batch_size: 4\nmodel:\n  width: 8\n",
    "other_run": "training:\n  learning_rate: 0.0003\n  batch_size: 4\n  note: new\nmodel:\n  width: 8\n",
}


def record_pair(runs_dir: Path) -> list[Path]:
    """Write both runs; the second one has ended too."""
    base = record_run(runs_dir / "base", steps=120, finished=True)
    run = RecordedRun(runs_dir / "other_run")
    run.journal.set_meta(PARENT, to_json(Parent.at(base, 0, "step-00000000.pt", child=run.directory)))
    run.begin()
    run.train(20)
    run.note(e.LrSet(5e-6, 1e-6, 0.4), status=Status.CLAMPED, reason="too low", actor="cli:ada")
    run.note(e.BatchSizeSet(4, 8), status=Status.APPLIED, actor="cockpit")
    run.train(60)
    run.validate()
    run.close()
    for name, text in CONFIGS.items():
        (runs_dir / name / "config.yaml").write_text(text, encoding="utf-8")
    return [base, run.directory]
