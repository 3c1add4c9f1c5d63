"""Measure the masks of a split, and make its scenes."""

from __future__ import annotations

from pathlib import Path

from engine.protocol.record import record
from engine.task import Rejection, UnusableSample
from engine.tasks.person.data.readers.masks.facts import boxes_of, facts_of
from engine.tasks.person.data.readers.masks.mask_rule import MaskFile, MaskRule
from engine.tasks.person.data.readers.masks.pairs import Pair, Pairing
from engine.tasks.person.data.readers.masks.rules import describe_dust
from engine.tasks.person.data.readers.pixels import Size, displayed_size, has_palette, read_ids, read_image, stored_size
from engine.tasks.person.data.readers.scenes import Box, Picture, SplitIndex, cut_mask


@record
class MaskScene:
    """An image file and its mask file; `size` is the mask's (width, height), which must be the image's."""

    name: str
    file: Path
    mask_file: Path
    size: Size
    boxes: tuple[Box | None, ...]
    rule: MaskRule

    def read(self) -> Picture:
        """Decode both files. Raises UnusableSample if one cannot be read or the sizes differ."""
        image = read_image(self.file, self.size)
        ids_HW, count = self.rule.people(read_ids(self.mask_file))
        people = (cut_mask(ids_HW == number, id=str(number)) for number in range(1, count + 1))
        return Picture(image, tuple(people))


@record
class Reading:
    """Measurements of every mask of a split, with its size, and the unusable images."""

    masks: tuple[tuple[MaskFile, Size], ...]
    pairs: tuple[Pair, ...]
    problems: tuple[Rejection, ...]
    num_images: int

    @classmethod
    def of(cls, pairing: Pairing) -> Reading:
        """Measure the masks of all pairs."""
        masks: list[tuple[MaskFile, Size]] = []
        pairs: list[Pair] = []
        problems = list(pairing.problems)
        for pair in pairing.pairs:
            try:
                masks.append(_measure(pair))
                pairs.append(pair)
            except UnusableSample as error:
                problems.append(Rejection(pair.name, str(error)))
        return cls(tuple(masks), tuple(pairs), tuple(problems), len(pairing.names))

    def split(self, rule: MaskRule, *, are_lossy: bool) -> SplitIndex:
        """Return the scenes with people by a rule that holds for all masks. If most are lossy, none is used."""
        scenes: list[MaskScene] = []
        problems = list(self.problems)
        for pair, (mask, size) in zip(self.pairs, self.masks, strict=True):
            if dust := describe_dust(mask, rule):
                problems.append(Rejection(pair.name, dust))
            elif are_lossy and mask.ids(rule):
                text = (
                    f"most masks of the folder have scattered pixels, so the numbers of {mask.mask_name} are uncertain"
                )
                problems.append(Rejection(pair.name, text))
            elif boxes := _boxes(pair, mask, rule):
                scenes.append(MaskScene(pair.name, pair.image, pair.mask, size, boxes, rule))
        return SplitIndex(tuple(scenes), tuple(sorted(problems, key=lambda problem: problem.file)), self.num_images)


def _measure(pair: Pair) -> tuple[MaskFile, Size]:
    ids_HW = read_ids(pair.mask)
    height, width = ids_HW.shape
    if (width, height) not in (stored_size(pair.image), displayed_size(pair.image)):
        stored, drawn = "{} x {}".format(*stored_size(pair.image)), f"{width} x {height}"
        raise UnusableSample(f"the image is {stored} pixels, its mask {pair.mask.name} is {drawn}")
    return MaskFile(pair.name, pair.mask.name, has_palette(pair.mask), facts_of(ids_HW)), (width, height)


def _boxes(pair: Pair, mask: MaskFile, rule: MaskRule) -> tuple[Box, ...]:
    if not rule.by_parts:
        return tuple(fact.box for fact in mask.ids(rule))
    return boxes_of(rule.people(read_ids(pair.mask))[0])
