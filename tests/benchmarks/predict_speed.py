"""The time of a whole prediction against that of its network alone, in pairs.

    python -m tests.benchmarks.predict_speed [--config NAME] [--images N] [--pairs N] [--threads N] [--data DIR]

A prediction reads and cuts images, computes batches, pastes masks back, and writes overlays and results. The network
alone computes the same batches, which are in memory. On a busy machine compare the seconds of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch

from engine.config.load import load_config
from engine.outputs.inference.prediction import GivenBoxes, ImageResult, PredictRequest
from engine.task import Tensors
from engine.tasks.person.config import PersonConfig, SyntheticConfig
from engine.tasks.person.data.synthetic.scenes import draw_index
from engine.tasks.person.inference.predictor import PersonPredictor
from engine.tasks.person.task import PersonTask
from engine.training.inference.pipeline import Pipeline
from engine.training.inference.predict import network_of
from engine.training.inference.trained_model import TrainedModel

IMAGE_SIZE = 512
Times = tuple[float, float]
"""Seconds by the clock and of the processor."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="tiny", help="whose network, with random weights (tiny)")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of the network (torch's own number)")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--data", type=Path, help="images/ with instances_train.json (synthetic people)")
    parser.add_argument("--parts", action="store_true", help="time the parts of one image after the other too")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.data or write_people(Path(folder) / "data", arguments.images)
        boxes = GivenBoxes(root / "instances_train.json")
        images = images_of(root, arguments.images)
        output = Path(folder) / "out"
        request = PredictRequest(Path(folder), images, boxes, output, force=True, batch_size=arguments.batch_size)
        report(trained_network(arguments.config), request, arguments.pairs)
        if arguments.parts:
            report_parts(trained_network(arguments.config), request)


def report(trained: TrainedModel, request: PredictRequest, pairs: int) -> None:
    """Print the pairs, and the quotients of their times."""
    network = network_of(trained)
    batches: list[Tensors] = []

    def recording(batch: Tensors) -> Any:
        batches.append(batch)
        return network(batch)

    predict(trained, request, recording)
    masks = sum(len(batch["image_N3HW"]) for batch in batches)
    print(f"{len(request.images)} images, {masks} masks, {len(batches)} batches, {torch.get_num_threads()} threads")
    print(f"{'':6}{'prediction s':>14}{'network s':>12}{'quotient':>10}{'of processor time':>20}")
    quotients: list[Times] = []
    for number in range(1, pairs + 1):
        whole = measured(lambda: predict(trained, request, network))
        alone = measured(lambda: [network(batch).log_probs_N3HW.exp().numpy() for batch in batches])
        quotients.append((whole[0] / alone[0], whole[1] / alone[1]))
        print(f"{number:6}{whole[0]:14.3f}{alone[0]:12.3f}{quotients[-1][0]:10.2f}{quotients[-1][1]:20.2f}", flush=True)
    for place, name in enumerate(("clock", "processor")):
        values = sorted(quotient[place] for quotient in quotients)
        print(f"by the {name}: median {statistics.median(values):.2f}, {values[0]:.2f} to {values[-1]:.2f}")


def report_parts(trained: TrainedModel, request: PredictRequest) -> None:
    """Print the processor time of reading and of writing an image, without threads."""
    predictor = PersonPredictor(cast(PersonConfig, trained.config), request)
    network = network_of(trained)
    reading = writing = 0.0
    for index in range(len(predictor.names)):
        began = time.process_time()
        prepared = predictor.read(index)
        reading += time.process_time() - began
        answers = predictor.answers(network(prepared.tensors))
        began = time.process_time()
        predictor.write(index, prepared, list(answers))
        writing += time.process_time() - began
    predictor.cancel()
    count = len(predictor.names)
    print(
        f"one image: reading {1000 * reading / count:.1f} ms, writing {1000 * writing / count:.1f} ms of the processor"
    )


def predict(trained: TrainedModel, request: PredictRequest, network: Callable[[Tensors], Any]) -> None:
    """Predict all images of a request."""
    predictor = PersonPredictor(cast(PersonConfig, trained.config), request)
    Pipeline(predictor, network, batch_size=request.batch_size, on_image=stay_silent).run()
    predictor.finish()


def stay_silent(result: ImageResult, number: int, count: int) -> None:
    """Show nothing of a finished image."""


def measured(call: Callable[[], object]) -> Times:
    """Return the times of a call."""
    clock, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - clock, time.process_time() - processor


def trained_network(config_name: str) -> TrainedModel:
    """Return a network with random weights on the CPU, as `open_trained` does."""
    config = load_config(config_name)
    model = PersonTask().build_model(cast(PersonConfig, config)).eval()
    return TrainedModel(PersonTask(), config, model, Path(), 0, "trained", config.active_components())


def images_of(root: Path, count: int) -> tuple[Path, ...]:
    """Return the first images of a data set."""
    names = [entry["file_name"] for entry in json.loads((root / "instances_train.json").read_text())["images"]]
    return tuple(root / "images" / name for name in names[:count])


def write_people(root: Path, count: int) -> Path:
    """Write synthetic people as JPEG files with a COCO file of their boxes."""
    (root / "images").mkdir(parents=True)
    scenes = draw_index(SyntheticConfig(num_train_scenes=count, num_val_scenes=1, image_size=IMAGE_SIZE)).train.scenes
    images: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    for number, scene in enumerate(scenes):
        picture = scene.read()
        name = f"{number}.jpg"
        picture.image.save(root / "images" / name, quality=90)
        images.append({"id": number, "file_name": name, "width": picture.image.width, "height": picture.image.height})
        for person in picture.people:
            left, top, right, bottom = person.box
            bbox = [left, top, right - left, bottom - top]
            people.append({"id": len(people), "image_id": number, "category_id": 1, "bbox": bbox})
    categories = [{"id": 1, "name": "person"}]
    content = {"images": images, "annotations": people, "categories": categories}
    (root / "instances_train.json").write_text(json.dumps(content))
    return root


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
