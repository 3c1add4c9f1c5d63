"""How long a large COCO file takes to read and how much memory, against `json.load` of the same file in the same run.

    python -m tests.benchmarks.coco_reading [NUM_PEOPLE] [--repeats N]

Each reading is a process of its own (Linux: its peak of memory is asked of /proc). Medians are printed; on a busy
machine compare the seconds of the processor.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.tasks.person.data.builders import gradient

PEOPLE_PER_IMAGE = 5
CORNERS = (20, 50)

_MEASURED = """
import re, sys, time
from pathlib import Path
began = time.perf_counter(), time.process_time()
{body}
seconds = time.perf_counter() - began[0], time.process_time() - began[1]
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(*seconds, peak / 1024)
"""
READERS = {
    "json.load": "import json; json.load(open(Path(sys.argv[1]) / 'annotations/instances_train2017.json', 'rb'))",
    "data inspect": (
        "from engine.tasks.person.data.readers.reports.inspect import inspect_dataset\n"
        "inspect_dataset(Path(sys.argv[1]))"
    ),
    "index": "from engine.tasks.person.data.readers.index import index_dataset; index_dataset(Path(sys.argv[1]))",
}


def main() -> None:
    """Write the data, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("num_people", type=int, nargs="?", default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = write_data(Path(folder), arguments.num_people)
        print(f"{size / 1e6:.0f} MB of JSON with {arguments.num_people:,} people")
        print(f"{'':14}{'seconds':>9}{'of CPU':>9}{'peak MB':>9}")
        for name, body in READERS.items():
            runs = [_measure(body, Path(folder)) for _ in range(arguments.repeats)]
            seconds, of_cpu, peak = (statistics.median(values) for values in zip(*runs, strict=True))
            print(f"{name:14}{seconds:9.2f}{of_cpu:9.2f}{peak:9.0f}")


def write_data(root: Path, num_people: int) -> int:
    """Write COCO as it ships: all people in the train split, the same few in val. Returns the bytes of the JSON."""
    rng = random.Random(0)
    (root / "annotations").mkdir()
    for split, count in (("train2017", num_people), ("val2017", 100)):
        (root / split).mkdir()
        picture = root / f"{split}.jpg"
        gradient(640, 480).save(picture)
        num_images = -(-count // PEOPLE_PER_IMAGE)
        names = [f"{split}_{number:012d}.jpg" for number in range(num_images)]
        for name in names:
            (root / split / name).hardlink_to(picture)
        images = [{"id": n, "file_name": name, "width": 640, "height": 480} for n, name in enumerate(names)]
        document = {
            "images": images,
            "categories": [{"id": 1, "name": "person"}],
            "annotations": list(_people(count, rng)),
        }
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))
    return (root / "annotations" / "instances_train2017.json").stat().st_size


def _people(count: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(count):
        left, top = rng.uniform(0, 400), rng.uniform(0, 300)
        points = [
            round(value, 2)
            for _ in range(rng.randint(*CORNERS) // 2)
            for value in (left + rng.uniform(0, 150), top + rng.uniform(0, 150))
        ]
        corners = [left, top, left + 150, top, left + 150, top + 150, left, top + 150]
        yield {
            "id": number,
            "image_id": number // PEOPLE_PER_IMAGE,
            "category_id": 1,
            "iscrowd": 0,
            "area": 22500.0,
            "bbox": [round(left, 2), round(top, 2), 150.0, 150.0],
            "segmentation": [[round(value, 2) for value in corners] + points],
        }


def _measure(body: str, folder: Path) -> tuple[float, float, float]:
    """Wall-clock seconds, seconds of the processor and the peak of memory of a process that runs `body`."""
    code = _MEASURED.format(body=body)
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    seconds, of_cpu, peak = map(float, done.stdout.split())
    return seconds, of_cpu, peak


if __name__ == "__main__":
    main()
