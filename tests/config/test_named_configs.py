"""The named configurations have the published values, and explain every key."""

from __future__ import annotations

import re

import pytest
import yaml

from engine.config.files.named_configs import CONFIGS_DIR, list_configs
from engine.config.files.yaml_source import read_settings
from engine.config.keys import config_keys
from engine.config.load import load_config
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.spec import phase_of

BASE = "rgb_hierarchical_unet_v2_attention_r64m64"
PHASE_1 = {"boundary_refinement", "boundary_aware_loss"}
PHASE_4 = PHASE_1 | {"active_contour_loss", "contour_detection", "distance_transform"}
REFINED = [f"{BASE}_refined{suffix}" for suffix in ("_stable", "_phase2", "_phase3", "_phase4")]


def test_the_configs_are_those_of_the_seed_small_and_tiny():
    suffixes = ("", "_refined", "_refined_full", "_refined_phase2", "_refined_phase3", "_refined_phase4")
    assert [c.name for c in list_configs()] == [
        *(BASE + suffix for suffix in suffixes),
        f"{BASE}_refined_stable",
        "small",
        "tiny",
    ]


def test_the_network_is_rgb_attention_roi_64_mask_64_in_the_published_widths():
    for name in (BASE, f"{BASE}_refined", f"{BASE}_refined_full", *REFINED):
        model = load_config(name).model
        assert (model.roi_size, model.mask_size, model.attention) == (64, 64, True)
        assert model.extractor_widths == (64, 128, 192, 256)
        assert (model.unet_width, model.unet_depth, model.auxiliary_width) == (96, 3, 128)


def test_the_base_has_no_refinement_and_is_the_default_of_every_key():
    assert load_config(BASE) == PersonConfig()
    assert load_config(BASE).model.refinements.active() == set()


def test_refined_is_the_recipe_that_diverged():
    """The published recipe before its values were reduced, increased or disabled."""
    config = load_config(f"{BASE}_refined")
    training = config.training
    assert training.learning_rate == 1e-5
    assert training.min_learning_rate == 1e-7
    assert training.warmup_epochs == 10
    assert training.gradient_clip == 1.0
    assert training.mixed_precision is True
    assert training.weight_decay == 1e-4
    assert (training.batch_size, training.epochs, training.optimizer) == (2, 100, "adamw")
    assert config.model.refinements.active() == PHASE_4 | {"progressive_upsampling"}


@pytest.mark.parametrize("name", REFINED)
def test_stable_and_the_phases_on_it_train_with_the_published_stable_values(name):
    """The published training parameters of the stable configuration."""
    training = load_config(name).training
    assert training.learning_rate == 5e-6
    assert training.min_learning_rate == 1e-8
    assert training.warmup_epochs == 15
    assert training.gradient_clip == 0.5
    assert training.mixed_precision is False
    assert training.weight_decay == 1e-5
    assert (training.batch_size, training.epochs, training.optimizer) == (2, 100, "adamw")


@pytest.mark.parametrize(
    ("suffix", "active", "phase"),
    [
        ("_stable", PHASE_1, 1),
        ("_phase2", PHASE_1 | {"active_contour_loss"}, 2),
        ("_phase3", PHASE_1 | {"active_contour_loss", "contour_detection"}, 3),
        ("_phase4", PHASE_4, 4),
        ("_full", PHASE_4 | {"progressive_upsampling"}, 4),
    ],
)
def test_each_phase_adds_the_published_refinements(suffix, active, phase):
    """The published progressive refinement, phases 1 to 4."""
    refinements = load_config(f"{BASE}_refined{suffix}").model.refinements
    assert refinements.active() == active
    assert phase_of(refinements.active()) == phase


def test_full_is_fine_tuned_at_1e_6_from_other_weights():
    """Published: fine-tune the fully refined model with a very low learning rate (1e-6)."""
    training = load_config(f"{BASE}_refined_full").training
    assert (training.learning_rate, training.gradient_clip, training.mixed_precision) == (1e-6, 0.5, False)
    assert "--init-from" in (CONFIGS_DIR / f"{BASE}_refined_full.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("config", list_configs(), ids=lambda config: config.name)
def test_refinement_losses_are_clamped_at_10_and_gradient_norms_judged_at_10_everywhere(config):
    """Published: losses are clamped to at most 10.0, and stable gradient norms are below 10."""
    loaded = load_config(config.name)
    assert (loaded.loss.clamp_max, loaded.gate.max_grad_norm) == (10.0, 10.0)


def test_tiny_is_phase_1_on_the_same_network_with_few_channels():
    model, base = load_config("tiny").model, load_config(BASE).model
    assert model.refinements.active() == PHASE_1
    assert (model.roi_size, model.mask_size, model.attention) == (base.roi_size, base.mask_size, base.attention)
    assert max(model.extractor_widths) < min(base.extractor_widths)
    assert len(model.extractor_widths) == len(base.extractor_widths)


# --- what the files say -----------------------------------------------------------------


@pytest.mark.parametrize("config", list_configs(), ids=lambda config: config.name)
def test_every_file_begins_with_a_line_on_what_it_is_for(config):
    assert 20 < len(config.description) <= 120
    assert config.path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("config", list_configs(), ids=lambda config: config.name)
def test_every_file_reads_the_same_to_any_yaml_reader(config):
    """Except for numbers like 1e-5, which YAML 1.1 takes for text."""
    text = config.path.read_text(encoding="utf-8")
    dotted = {".".join(path): setting.value for path, setting in read_settings(text, config.name).items()}

    def leaves(tree, prefix=""):
        for name, value in tree.items():
            yield from leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]

    plain = dict(leaves(yaml.safe_load(text)))
    assert {name: float(v) if re.fullmatch(r"\d+e-\d+", str(v)) else v for name, v in plain.items()} == dotted


def test_the_base_file_shows_every_key_with_its_meaning_before_and_its_range_behind():
    lines = (CONFIGS_DIR / f"{BASE}.yaml").read_text(encoding="utf-8").splitlines()
    settings = read_settings("\n".join(lines), BASE)
    assert [".".join(path) for path in settings] == list(config_keys(PersonConfig))
    wrong: list[str] = []
    for path, setting in settings.items():
        key = config_keys(PersonConfig)[".".join(path)]
        before, line = lines[setting.line - 2].strip(), lines[setting.line - 1]
        if before != f"# {key.meaning}" or line.partition("  # ")[2] != key.expected:
            wrong.append(f"{key.name}: expected '# {key.meaning}' above and '# {key.expected}' behind")
    assert not wrong, "\n".join(wrong)


def test_small_begins_with_the_base_and_reaches_every_phase_before_its_end():
    config = load_config("small")
    assert config.active_components() == set() and config.autopilot.enabled
    steps_with_139_images = 350 // config.training.batch_size * config.training.epochs
    assert 4 * config.gate.min_steps < (1 - config.autopilot.final_share) * steps_with_139_images
    assert (config.model.norm, config.training.averaging) == ("batch", "ema")


def test_the_augmentations_are_off_but_in_small():
    for config in list_configs():
        assert load_config(config.name).data.augmentations.any_on() == (config.name == "small")
