"""A region's crop shows the whole region, at bin centres, without aliasing and without a darkened border."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from engine.tasks.person.data.crop import crop_region
from engine.tasks.person.data.regions import Sides
from tests.tasks.person.data.builders import gradient


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, size=(height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def as_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("size", [(64, 64), (200, 130), (333, 500), (40, 24)])
def test_a_crop_of_the_whole_image_is_an_independent_antialiased_resize(size: tuple[int, int]) -> None:
    image = noise(*size)
    expected = F.interpolate(as_tensor(image), size=(32, 32), mode="bilinear", antialias=True, align_corners=False)
    crop = crop_region(image, (0.0, 0.0, float(size[0]), float(size[1])), 32)
    assert (crop - expected[0]).abs().max() < 0.01


@pytest.mark.parametrize("region", [(20.0, 10.0, 84.0, 74.0), (20.3, 10.7, 60.9, 99.2), (50.5, 40.5, 70.25, 55.0)])
@pytest.mark.parametrize("sides", [16, (16, 12), (8, 32)])
def test_a_crop_samples_at_bin_centres(region: tuple[float, float, float, float], sides: Sides) -> None:
    y, x = np.mgrid[0:120, 0:120]
    ramps = np.stack([2 * x, 2 * y, x + y], axis=-1).astype(np.uint8)
    crop = crop_region(Image.fromarray(ramps), region, sides) * 255
    height, width = crop.shape[1:]
    assert (height, width) == (sides if isinstance(sides, tuple) else (sides, sides))
    columns = region[0] + (torch.arange(width) + 0.5) / width * (region[2] - region[0]) - 0.5
    rows = region[1] + (torch.arange(height) + 0.5) / height * (region[3] - region[1]) - 0.5
    assert (crop[0] - 2 * columns[None]).abs().max() < 1.1
    assert (crop[1] - 2 * rows[:, None]).abs().max() < 1.1


@pytest.mark.parametrize(
    "region",
    [(0.0, 0.0, 90.0, 70.0), (-30.0, -20.0, 60.0, 50.0), (-200.0, -200.0, 300.0, 300.0), (80.2, 60.1, 140.0, 110.0)],
)
def test_an_image_of_ones_stays_ones_up_to_and_beyond_the_border(region: tuple[float, float, float, float]) -> None:
    crop = crop_region(Image.new("RGB", (90, 70), (255, 255, 255)), region, 32)
    assert crop.shape == (3, 32, 32)
    assert (crop == 1).all()


def test_beyond_the_border_its_pixels_are_repeated() -> None:
    image = gradient(32, 32)
    crop = crop_region(image, (-16.0, 0.0, 16.0, 32.0), 32)
    pixels = as_tensor(image)[0]
    assert torch.equal(crop[:, :, 16:], pixels[:, :, :16])
    assert torch.equal(crop[:, :, :16], pixels[:, :, :1].expand(3, 32, 16))


def test_a_region_beside_the_image_shows_its_border() -> None:
    crop = crop_region(Image.new("RGB", (10, 10), (51, 102, 153)), (30.0, -40.0, 50.0, -20.0), 16)
    assert torch.allclose(crop, torch.tensor([0.2, 0.4, 0.6]).view(3, 1, 1).expand(3, 16, 16))


def test_a_checkerboard_averages_out_instead_of_aliasing() -> None:
    y, x = np.mgrid[0:256, 0:256]
    board = np.repeat((((x + y) % 2) * 255)[..., None], 3, axis=-1).astype(np.uint8)
    crop = crop_region(Image.fromarray(board), (1.0, 1.0, 253.0, 253.0), 16)
    assert (crop - 0.5).abs().max() < 0.02


def test_a_one_pixel_image_can_be_cropped() -> None:
    assert torch.allclose(
        crop_region(Image.new("RGB", (1, 1), (51, 51, 51)), (-3.0, -3.0, 4.0, 4.0), 16), torch.tensor(0.2)
    )
