"""Decide how mask numbers become people, for all masks of a folder together: one mask alone is ambiguous."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from engine.protocol.record import record
from engine.task import Doubt
from engine.tasks.person.data.readers.masks.mask_rule import MaskFile, MaskRule

VOID: Final = (255, 65535)
"""Numbers that mean "not annotated" if they surround people, or are in a palette as in Pascal VOC."""

_MUCH_BORDER: Final = 0.25
"""Share of the frame's border from which a number in most masks is rather scenery than a person."""

_NEARLY_EVERY: Final = 0.8
"""Share of masks in which a number is a ring, from which it is no person."""


@record
class _Encoding:
    """A public data set's class x 1000 + number: those of people, other known ones, and those without meaning."""

    name: str
    people: range
    others: tuple[range, ...]
    void: frozenset[int] = frozenset()

    def fits(self, ids: set[int]) -> bool:
        """Return whether all numbers have this encoding, including people and others."""
        known = all(id_ in self.people or id_ in self.void or any(id_ in part for part in self.others) for id_ in ids)
        return known and any(id_ in self.people for id_ in ids) and any(id_ and id_ not in self.people for id_ in ids)


_ENCODINGS: Final = (
    _Encoding("Cityscapes", range(24_000, 26_000), (range(34), range(26_000, 34_000))),
    _Encoding("MOTS", range(2_000, 3_000), (range(1), range(1_000, 2_000)), frozenset({10_000})),
)


def decide_rule(masks: Sequence[MaskFile]) -> tuple[MaskRule, tuple[Doubt, ...]]:
    """Return the rule for all masks, and the doubts to report."""
    rule, doubts = MaskRule(), list[Doubt | None]()
    for refine in (_encoding, _background, _void, _one_number):
        rule, doubt = refine(masks, rule)
        doubts.append(doubt)
    return rule, tuple(doubt for doubt in (*doubts, _classes(masks, rule)) if doubt)


def describe_dust(mask: MaskFile, rule: MaskRule) -> str:
    """Return why a mask with scattered pixels is unusable; an empty string if it is usable.

    Lossy compression and smoothing scatter pixels.
    """
    people = mask.ids(rule)
    dust = [fact for fact in people if fact.is_dust]
    if len(dust) < 2 or 4 * len(dust) < len(people):
        return ""
    shown = ", ".join(str(fact.id) for fact in dust[:4])
    return (
        f"{len(dust)} of {len(people)} numbers of its mask {mask.mask_name} are scattered pixels ({shown}): it was "
        "smoothed, resized or saved with losses; save masks as PNG without either"
    )


def most_have_dust(masks: Sequence[MaskFile], rule: MaskRule) -> bool:
    """Return whether most masks with people have scattered pixels."""
    having = [mask for mask in masks if mask.ids(rule)]
    return 2 * sum(bool(describe_dust(mask, rule)) for mask in having) > len(having)


def _encoding(masks: Sequence[MaskFile], rule: MaskRule) -> tuple[MaskRule, Doubt | None]:
    ids = {fact.id for mask in masks for fact in mask.facts}
    found = next((encoding for encoding in _ENCODINGS if encoding.fits(ids)), None)
    if found is None:
        return rule, None
    example = next(mask for mask in masks if any(fact.id in found.people for fact in mask.facts))
    number_ = next(fact.id for fact in example.facts if fact.id in found.people)
    text = (
        f"numbers such as {number_} are a class x 1000 and a count, as {found.name} has them: "
        f"{found.people.start} to {found.people.stop - 1} are read as people, all else as background"
    )
    return replace(rule, least=found.people.start, most=found.people.stop - 1), Doubt(example.name, text)


def _background(masks: Sequence[MaskFile], rule: MaskRule) -> tuple[MaskRule, Doubt | None]:
    """Return the rule with a background other than 0, if a number has the frame's border in nearly every mask."""
    rims = [max(mask.facts, key=lambda fact: fact.border) for mask in masks if mask.facts]
    numbers = {rim.id for rim in rims if rim.border > 0.9}
    if len(masks) < 2 or rule != MaskRule() or len(numbers) != 1 or numbers == {0}:
        return rule, None
    (background,) = numbers
    if sum(rim.border > 0.9 for rim in rims) < 0.8 * len(masks):
        return rule, None
    text = f"number {background} lies along the whole frame in nearly every mask: it is read as the background, not 0"
    return replace(rule, background=background, least=0), Doubt(masks[0].name, text)


def _void(masks: Sequence[MaskFile], rule: MaskRule) -> tuple[MaskRule, Doubt | None]:
    """Return the rule with a void number: 255 of a palette, or a number that only surrounds people."""
    for void in (*VOID, *_rings(masks, rule)):
        having = [(mask, fact) for mask in masks for fact in mask.ids(rule) if fact.id == void]
        if not having or all(len(mask.ids(rule)) == 1 for mask, _ in having):
            continue
        mask, _ = having[0]
        is_ring = sum(fact.is_thin for _, fact in having) > 0.5 * len(having)
        by_palette = void == VOID[0] and all(each.has_palette for each, _ in having)
        if is_ring or by_palette:
            text = f"number {void} is read as void, not as a person"
            certain = is_ring and by_palette
            return replace(rule, void=frozenset({void})), None if certain else Doubt(mask.name, text)
        others = [fact.id for each, _ in having for fact in each.ids(rule) if fact.id != void]
        if len(having) > 1 and max(others, default=void) < void // 2:
            text = f"number {void} is read as a person in {len(having)} masks whose other numbers are small"
            return rule, Doubt(mask.name, f"{text}: if it means void (not annotated), replace it by 0")
    return rule, None


def _rings(masks: Sequence[MaskFile], rule: MaskRule) -> list[int]:
    """Return the numbers that are rings in nearly every mask: void, or the borders of people."""
    having = [mask for mask in masks if len(mask.ids(rule)) > 1]
    thin = Counter(fact.id for mask in having for fact in mask.ids(rule) if fact.is_thin)
    return [id_ for id_, count in thin.items() if len(having) > 1 and count >= _NEARLY_EVERY * len(having)]


def _one_number(masks: Sequence[MaskFile], rule: MaskRule) -> tuple[MaskRule, Doubt | None]:
    ids = {fact.id for mask in masks for fact in mask.ids(rule)}
    having = [mask for mask in masks if mask.ids(rule)]
    if len(ids) != 1 or (len(having) < 2 and not ids & set(VOID)):
        return rule, None
    text = (
        f"every mask has the single number {ids.pop()}: a mask of people against background, not of each person; "
        "each connected part is read as a person, so people who touch are one"
    )
    return replace(rule, by_parts=True), Doubt(having[0].name, text)


def _classes(masks: Sequence[MaskFile], rule: MaskRule) -> Doubt | None:
    """Return a doubt if the numbers seem to be classes, else `None`.

    They seem so if there is no background, or if the same few numbers repeat and do not start at 1. They also do if one
    number has much of the frame's border in most masks, like sky and road.
    """
    having = [mask for mask in masks if len(mask.ids(rule)) > 0]
    if rule.by_parts or rule.least != 1 or len(having) < 2:
        return None
    full = [mask for mask in having if all(rule.is_person(fact.id) for fact in mask.facts)]
    odd = [mask for mask in having if min(fact.id for fact in mask.ids(rule)) > 1]
    ids = {fact.id for mask in having for fact in mask.ids(rule)}
    again = sum(len(mask.ids(rule)) for mask in having) >= 2 * len(ids)
    seems_classes = len(odd) > 0.5 * len(having) and max(ids) < 256 and again
    example = full if len(full) > 0.5 * len(having) else odd if seems_classes else []
    if not example:
        return _scenery(having, rule)
    shown = ", ".join(str(fact.id) for fact in example[0].ids(rule)[:4])
    why = "no pixel of the mask is background 0" if example is full else "the numbers do not begin at 1 and come again"
    return Doubt(example[0].name, f"{why} ({shown}): they may be classes, and each class would be read as a person")


def _scenery(having: Sequence[MaskFile], rule: MaskRule) -> Doubt | None:
    """Return a doubt if a number has much of the border in most masks, else `None`."""
    along = [(mask, fact.id) for mask in having for fact in mask.ids(rule) if fact.border >= _MUCH_BORDER]
    counts = Counter(id_ for _, id_ in along)
    id_ = max(counts, key=lambda id_: counts[id_], default=0)
    if 2 * counts[id_] <= len(having):
        return None
    mask = next(mask for mask, each in along if each == id_)
    text = f"number {id_} has a quarter of the frame's border in {counts[id_]} of {len(having)} masks, like sky or road"
    return Doubt(mask.name, f"{text}: the numbers may be classes, and each class would be read as a person")
