"""The statistics of a data directory as plain text."""

from __future__ import annotations

from engine.protocol.words.command_syntax import program_name
from engine.tasks.person.data.readers.reports.box_sides import percentiles_text
from engine.tasks.person.data.readers.reports.statistics import (
    NEAR,
    DatasetStatistics,
    Shares,
    SplitStatistics,
)
from engine.tasks.person.spec import CLASSES


def statistics_lines(report: DatasetStatistics) -> list[str]:
    """Return the report as plain lines; the last are the class weights as YAML."""
    lines = [f"{report.path}: {report.layout}"]
    for name, split in report.splits.items():
        lines += ["", *_split_lines(name, split)]
    if report.num_problems or report.doubts:
        inspect = f"`{program_name()} data inspect {report.path}`"
        lines += ["", f"problems {report.num_problems}, doubts {len(report.doubts)}: see {inspect}"]
        lines += [f"  doubted: {doubt}" for doubt in report.doubts]
    lines.append("")
    if report.class_weights is None:
        shares = report.splits["train"].class_shares or (0.0, 0.0, 0.0)
        missing = " or ".join(name for name, share in zip(CLASSES, shares, strict=True) if share <= 0)
        return [*lines, f"no class weights follow: no pixel in the regions of the train split is {missing}"]
    weights = ", ".join(f"{weight:g}" for weight in report.class_weights)
    about = "# inverse shares in the train split's regions, scaled to a mean of 1"
    return [
        *lines,
        "class weights that follow, to paste into a config:",
        about,
        "loss:",
        f"  class_weights: [{weights}]",
    ]


def _split_lines(name: str, split: SplitStatistics) -> list[str]:
    lines = [
        f"{name}: {split.num_images} images, {split.num_images_with_people} with people, {split.num_people} people",
        f"  people in an image: {split.people_per_image:.1f}, at most {split.most_people}",
        f"  regions {split.num_regions}, measured in {split.num_images_read} images",
    ]
    if split.class_shares is None or split.pixel_shares is None:
        return lines
    near, with_others = f"{100 * split.share_near_others:.0f} %", f"{100 * split.share_with_others:.0f} %"
    where = f"{100 * split.share_other_where_present:.1f} % of the region where it is present"
    return [
        *lines,
        f"  shares in the regions   {_named(split.class_shares)}",
        f"  shares of their pixels  {_named(split.pixel_shares)}",
        f"  overlap: {split.people_per_region:.2f} people in a region; other people in {with_others}, {where}",
        f"  boxes that overlap another by an IoU of {NEAR} or more: {near}",
        f"  sizes: {', '.join(f'{size} {count}' for size, count in split.sizes.items())} (by area, as COCO)",
        f"  box width  {percentiles_text(split.width_percentiles)}",
        f"  box height {percentiles_text(split.height_percentiles)}",
    ]


def _named(shares: Shares) -> str:
    return ", ".join(f"{name} {share:.3f}" for name, share in zip(CLASSES, shares, strict=True))
