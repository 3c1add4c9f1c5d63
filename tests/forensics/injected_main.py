"""The program, with the published edge map's defect after the word "with"; importing `torch._dynamo` fails."""

from __future__ import annotations

import sys

import engine.tasks.person.model.boundary_refinement
from main import main
from tests.forensics.test_diagnose import attached

if __name__ == "__main__":
    sys.modules["torch._dynamo"] = None  # type: ignore[assignment]  # its import takes a second
    if sys.argv[1] == "with":
        engine.tasks.person.model.boundary_refinement.BoundaryRefinement.forward = attached
    sys.exit(main(sys.argv[2:]))
