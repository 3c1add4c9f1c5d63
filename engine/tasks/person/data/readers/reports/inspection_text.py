"""The report on a data directory as plain text."""

from __future__ import annotations

from typing import Final

from engine.tasks.person.data.readers.reports.box_sides import percentiles_text
from engine.tasks.person.data.readers.reports.inspect import DatasetReport, SplitReport

NUM_LISTED: Final = 10


def report_lines(report: DatasetReport) -> list[str]:
    """Return the report as plain lines, with control characters of file names escaped."""
    lines = [f"{report.path}: {report.layout}", *(f"  {note}" for note in report.notes)]
    for split in report.splits:
        lines += ["", *_split_lines(split)]
    if report.pictures:
        lines += ["", f"pictures: {', '.join(str(file) for file in report.pictures)}"]
    return [_plain(line) for line in (*lines, "", report.verdict)]


def _split_lines(split: SplitReport) -> list[str]:
    names = ("background", "target", "other")
    shares = ", ".join(f"{name} {share:.3f}" for name, share in zip(names, split.class_shares, strict=True))
    lines = [
        f"{split.name}: {split.num_images} images, {split.num_images_with_people} with people",
        f"  people {split.num_people}: {split.num_rois} regions of interest, {split.num_small} too small to be one",
        f"  crowds ignored {split.num_crowds}",
        f"  images decoded {split.num_images_read}; pixels of their regions: {shares}",
    ]
    if split.width_percentiles:
        lines.append(f"  box width  {percentiles_text(split.width_percentiles)}")
        lines.append(f"  box height {percentiles_text(split.height_percentiles)}")
    lines.append(f"  problems {len(split.problems)}")
    lines += [f"    {problem.file}: {problem.error}" for problem in split.problems[:NUM_LISTED]]
    if len(split.problems) > NUM_LISTED:
        lines.append(f"    and {len(split.problems) - NUM_LISTED} more")
    lines += [f"  doubted: {doubt.file}: {doubt.message}" for doubt in split.doubts]
    return lines


def _plain(line: str) -> str:
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in line)
