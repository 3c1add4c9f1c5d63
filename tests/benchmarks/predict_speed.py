"""The time of a whole prediction against that of its network alone, in pairs.

    python -m tests.benchmarks.predict_speed [--config NAME] [--images N] [--pairs N] [--threads N] [--data DIR]

A prediction reads and cuts images, computes batches, pastes masks back, and writes overlays and results. The network
alone computes the same samples, which are in memory, in both of the ways that a processor offers: `divided` as torch
does, all threads on one batch after the other, and `parallel` as the prediction does, each thread on batches of its
own. On a busy machine compare the seconds of the processor.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
from engine.training.device import thread_count
from engine.training.inference.predict import network_of, run_pipeline
from engine.training.inference.trained_model import TrainedModel, open_trained

IMAGE_SIZE = 512
KINDS = ("clock, divided", "clock, parallel", "processor, divided", "processor, parallel")
Times = tuple[float, float]
"""Seconds by the clock and of the processor."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="tiny", help="whose network, with random weights (tiny)")
    parser.add_argument("--checkpoint", type=Path, help="a trained network in place of these")
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
        trained = open_trained(arguments.checkpoint) if arguments.checkpoint else trained_network(arguments.config)
        report(trained, request, arguments.pairs)
        if arguments.parts:
            report_parts(trained, request)


def report(trained: TrainedModel, request: PredictRequest, pairs: int) -> None:
    """Print the pairs, and the quotients of their times."""
    network, threads = network_of(trained), torch.get_num_threads()
    samples = all_samples(trained, request)
    batches: list[Tensors] = [{"image_N3HW": part} for part in samples.split(request.batch_size)]
    parts: list[Tensors] = [{"image_N3HW": part} for part in samples.split(math.ceil(request.batch_size / threads))]

    def compute(batch: Tensors) -> None:
        network(batch).log_probs_N3HW.exp().numpy()

    def in_parallel() -> None:
        with thread_count(1), ThreadPoolExecutor(threads) as crew:
            list(crew.map(compute, parts))

    print(f"{len(request.images)} images, {len(samples)} masks, {threads} threads")
    print(f"{'':6}{'prediction s':>14}{'divided s':>12}{'parallel s':>12}{'quotients':>14}{'of processor time':>20}")
    quotients: dict[str, list[float]] = {}
    for number in range(1, pairs + 1):
        whole = measured(lambda: predict(trained, request))
        divided, parallel = measured(lambda: [compute(batch) for batch in batches]), measured(in_parallel)
        found = [whole[place] / alone[place] for place in (0, 1) for alone in (divided, parallel)]
        for name, value in zip(KINDS, found, strict=True):
            quotients.setdefault(name, []).append(value)
        times = f"{number:6}{whole[0]:14.3f}{divided[0]:12.3f}{parallel[0]:12.3f}"
        print(times + "{:8.2f}{:6.2f}{:14.2f}{:6.2f}".format(*found), flush=True)
    for name, values in quotients.items():
        print(f"by the {name}: median {statistics.median(values):.2f}, {min(values):.2f} to {max(values):.2f}")


def all_samples(trained: TrainedModel, request: PredictRequest) -> torch.Tensor:
    """Return the regions of all images of a request (N, 3, H, W)."""
    predictor = PersonPredictor(cast(PersonConfig, trained.config), request)
    regions = [predictor.read(index).tensors["image_N3HW"] for index in range(len(predictor.names))]
    predictor.cancel()
    return torch.cat(regions)


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


def predict(trained: TrainedModel, request: PredictRequest) -> None:
    """Predict all images of a request."""
    predictor = PersonPredictor(cast(PersonConfig, trained.config), request)
    run_pipeline(trained, predictor, request.batch_size, stay_silent)
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
    main()
