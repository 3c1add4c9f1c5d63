"""Predict the masks of given boxes: cut the regions as in validation, paste the answers back, write the files."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from engine.errors import UserError
from engine.outputs.inference.prediction import ImageResult, PredictRequest
from engine.protocol.record import record
from engine.task import Prepared
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.data.crop import crop_region
from engine.tasks.person.data.dataset import recipe_for, region_for
from engine.tasks.person.data.readers.coco.boxes import cut_box
from engine.tasks.person.data.readers.pixels import Size, read_image
from engine.tasks.person.data.readers.scenes import Box
from engine.tasks.person.inference.boxes.detections import PERSON
from engine.tasks.person.inference.boxes.given_images import ImageBoxes, NamedBox
from engine.tasks.person.inference.boxes.plan import plan_images
from engine.tasks.person.inference.overlay import ShownPerson, draw_overlay
from engine.tasks.person.inference.paste import PastedRegion, paste_region
from engine.tasks.person.inference.png_file import write_png
from engine.tasks.person.inference.results_file import ResultsFile
from engine.tasks.person.inference.run_lengths import encode_mask
from engine.tasks.person.model.network import Outputs

RESULTS: Final = "predictions.json"
OVERLAYS: Final = "overlays"
MASKS: Final = "masks"


@record
class _Target:
    """A box inside the image, the region that was cut for it, and its number in the image from 1."""

    number: int
    given: NamedBox
    box: Box
    region: Box


@record
class _Content:
    """A decoded image with its usable boxes, and sentences on the others."""

    image: Image.Image
    targets: tuple[_Target, ...]
    faults: tuple[str, ...]


@record
class _Written:
    """The result entries of an image, its overlay or `None`, and the faults of its boxes."""

    entries: tuple[dict[str, Any], ...]
    overlay: Path | None
    faults: tuple[str, ...]


class PersonPredictor:
    """The prediction of one request: its images, and the files that are written for them."""

    def __init__(self, config: PersonConfig, request: PredictRequest) -> None:
        plan = plan_images(request.images, request.boxes)
        self.names = tuple(image.name for image in plan.images)
        self.notes = plan.notes
        self._images = plan.images
        self._stems = _stems(plan.images)
        self._request = request
        self._recipe = recipe_for(config.data, config.model, seed=0, training=False)
        self._no_input = torch.zeros(0, 3, *config.model.roi_shape)
        self._results = ResultsFile(_claimed(request))

    def read(self, index: int) -> Prepared:
        """Return the regions of an image's boxes. Raises UnusableSample if the image cannot be read."""
        planned = self._images[index]
        image = read_image(planned.file, planned.size)
        targets, faults = self._targets(planned, image)
        regions = [crop_region(image, target.region, self._recipe.roi_size) for target in targets]
        tensors = {"image_N3HW": torch.stack(regions) if regions else self._no_input}
        return Prepared(tensors, len(targets), _Content(image, targets, faults))

    def answers(self, outputs: Outputs) -> NDArray[np.float32]:
        """Return class probabilities (N, 3, H, W)."""
        return outputs.log_probs_N3HW.float().exp().cpu().numpy()

    def write(self, index: int, prepared: Prepared, answers: Sequence[NDArray[np.float32]]) -> _Written:
        """Write the overlay of an image, and its masks if they are wanted. Raises OSError."""
        content: _Content = prepared.content
        size = content.image.size
        people = [
            _shown(target, paste_region(probs_3HW, target.region, size, threshold=self._request.threshold))
            for target, probs_3HW in zip(content.targets, answers, strict=True)
        ]
        if not people:
            return _Written((), None, content.faults)
        overlay = self._request.output / OVERLAYS / f"{self._stems[index]}.png"
        write_png(overlay, draw_overlay(content.image, people))
        for person in people if self._request.with_masks else ():
            _write_mask(self._request.output / MASKS / f"{self._stems[index]}-{person.number}.png", person, size)
        planned = self._images[index]
        entries = (_entry(planned, t.given, person, size) for t, person in zip(content.targets, people, strict=True))
        return _Written(tuple(entries), overlay, content.faults)

    def record(self, index: int, written: _Written) -> ImageResult:
        """Append the results of an image to the file."""
        self._results.add(written.entries)
        return ImageResult(self.names[index], len(written.entries), written.overlay, written.faults)

    def finish(self) -> Path:
        """Complete the file of results and return it."""
        return self._results.finish()

    def cancel(self) -> None:
        """Remove the incomplete file of results."""
        self._results.cancel()

    def _targets(self, planned: ImageBoxes, image: Image.Image) -> tuple[tuple[_Target, ...], tuple[str, ...]]:
        """Return the boxes inside the image with their regions, and sentences on the others."""
        targets: list[_Target] = []
        faults = list(planned.faults)
        for number, given in enumerate(planned.boxes, start=1):
            box = cut_box(given.box, image.size)
            if box is None:
                corner = ", ".join(f"{edge:g}" for edge in given.box)
                size = "{} x {}".format(*image.size)
                faults.append(f"the box of {given.place}, ({corner}), is outside the image of {size} pixels")
            else:
                targets.append(_Target(number, given, box, region_for(box, self._recipe)))
        return tuple(targets), tuple(faults)


def _write_mask(file: Path, person: ShownPerson, size: Size) -> None:
    height, width = person.mask_HW.shape
    whole_HW = np.zeros((size[1], size[0]), dtype=np.uint8)
    whole_HW[person.row : person.row + height, person.column : person.column + width][person.mask_HW] = 255
    write_png(file, Image.fromarray(whole_HW))


def _claimed(request: PredictRequest) -> Path:
    """Create the directories of the output and return the file of the results. Raises UserError."""
    output = request.output
    if inside := next((place for place in request.images if _is_within(output, place)), None):
        raise UserError(f"--output {output} is in {inside}, whose images its pictures would become: give another")
    try:
        if not request.force and output.is_dir() and any(output.iterdir()):
            raise UserError(f"{output} exists and is not empty: give another --output, or --force to replace files")
        for folder in (OVERLAYS, *([MASKS] if request.with_masks else [])):
            (output / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {output} cannot be made ({error.strerror}): give another directory") from error
    return output / RESULTS


def _is_within(output: Path, place: Path) -> bool:
    return place.is_dir() and output.resolve().is_relative_to(place.resolve())


def _stems(images: Sequence[ImageBoxes]) -> tuple[str, ...]:
    """Return a name for the files of each image: its own without suffix, with a number if another one has it."""
    taken: set[str] = set()
    stems: list[str] = []
    for image in images:
        stem = str(Path(image.name).with_suffix("")).replace("/", "__")
        numbered = chain([stem], (f"{stem}~{number}" for number in count(2)))
        free = next(name for name in numbered if name.casefold() not in taken)
        taken.add(free.casefold())
        stems.append(free)
    return tuple(stems)


def _shown(target: _Target, pasted: PastedRegion) -> ShownPerson:
    """Return a person with the score of the mask, multiplied by that of the box if there is one."""
    score = pasted.score * (1.0 if target.given.score is None else target.given.score)
    column, row, mask_HW = pasted.trimmed_mask()
    return ShownPerson(target.number, target.box, column, row, mask_HW, score)


def _entry(planned: ImageBoxes, given: NamedBox, person: ShownPerson, size: Size) -> dict[str, Any]:
    """Return a mask in COCO's result format, with the file's name, the number and the score of its box."""
    left, top, right, bottom = person.box
    return {
        "image_id": planned.image_id,
        "file_name": planned.name,
        "category_id": PERSON,
        "bbox": [round(value, 2) for value in (left, top, right - left, bottom - top)],
        "segmentation": encode_mask(person.mask_HW, person.column, person.row, size),
        "score": round(person.score, 4),
        "number": person.number,
        **({} if given.score is None else {"box_score": given.score}),
    }
