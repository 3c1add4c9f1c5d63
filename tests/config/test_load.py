"""Loading configs: inheritance, overrides, and one sentence with the place and the nearest match for every mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.config.files import named_configs
from engine.config.files.named_configs import list_configs
from engine.config.files.yaml_text import dump_config, show_config
from engine.config.keys import config_keys
from engine.config.load import load_config, load_for_resume, read_resolved, resolve_config
from engine.errors import UserError
from engine.tasks.person.config import PersonConfig

BASE = "rgb_hierarchical_unet_v2_attention_r64m64"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that writes `NAME.yaml` into the working directory, which is a fresh one."""
    monkeypatch.chdir(tmp_path)

    def _write(text: str, name: str = "mine.yaml") -> str:
        Path(name).write_text(text, encoding="utf-8")
        return name

    return _write


def complaint(name: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_config(name, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- what is loaded ---------------------------------------------------------------------


def test_a_file_that_says_nothing_has_every_default(write):
    assert load_config(write("# nothing here\n")) == PersonConfig()


def test_a_section_with_nothing_in_it_has_its_defaults(write):
    assert load_config(write("training:\n  # epochs: 5\nmodel: {}\n")) == PersonConfig()


def test_a_config_in_configs_is_found_by_name_from_any_directory(write):
    assert load_config("tiny").model.extractor_widths == (16, 24, 32, 32)


def test_values_lie_over_those_of_the_extended_config(write):
    write("training: {epochs: 7, seed: 3}\n", "base.yaml")
    config = load_config(write("extends: base.yaml\ntraining: {epochs: 9}\n"))
    assert (config.training.epochs, config.training.seed) == (9, 3)


def test_a_path_in_extends_is_relative_to_the_file_that_says_it(write, tmp_path):
    (tmp_path / "deep").mkdir()
    write("extends: other.yaml\n", "deep/mine.yaml")
    write("training: {epochs: 7}\n", "deep/other.yaml")
    assert load_config("deep/mine.yaml").training.epochs == 7


def test_a_file_may_bear_the_name_of_the_config_it_extends(write):
    config = load_config(write("extends: tiny\ntraining: {epochs: 1}\n", "tiny.yaml"))
    assert (config.training.epochs, config.model.unet_width) == (1, 16)


def test_loss_weights_that_are_not_given_keep_their_defaults(write):
    weights = load_config(write("loss: {weights: {dice: 2}}\n")).loss.weights
    assert weights == {**PersonConfig().loss.weights, "dice": 2.0}


@pytest.mark.parametrize("text", ["1e-5", "1E-5", "0.00001", "1.0e-5", ".1e-4"])
def test_scientific_notation_without_a_point_is_a_number(write, text):
    assert load_config(write(f"training:\n  learning_rate: {text}\n")).training.learning_rate == 1e-5
    assert load_config("tiny", [f"training.learning_rate={text}"]).training.learning_rate == 1e-5


def test_a_whole_number_is_taken_for_a_number(write):
    clip = load_config(write("training: {gradient_clip: 1}\n")).training.gradient_clip
    assert (clip, type(clip)) == (1.0, float)


def test_whole_numbers_are_read_in_base_ten(write):
    assert load_config(write("training: {epochs: 010}\n")).training.epochs == 10


def test_lists_become_tuples(write):
    assert load_config(write("model: {extractor_widths: [8, 16]}\n")).model.extractor_widths == (8, 16)


# --- overrides --------------------------------------------------------------------------


def test_overrides_lie_over_the_file_and_the_last_one_wins():
    config = load_config("tiny", ["training.epochs=3", "training.epochs=4", "model.extractor_widths=[8, 8]"])
    assert (config.training.epochs, config.model.extractor_widths) == (4, (8, 8))


@pytest.mark.parametrize("value", ["/data/people #1", "1e5", "true", "a: b", "", "x=y", "[a", "'", "null", " "])
def test_a_text_override_is_taken_as_it_stands(value):
    assert load_config("tiny", [f"data.path={value}"]).data.path == value


def test_an_override_may_set_several_keys_of_a_section():
    training = load_config("tiny", ["training={epochs: 3, seed: 8}"]).training
    assert (training.epochs, training.seed, training.batch_size) == (3, 8, 8)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "training.epochs",
            "command line: the text 'training.epochs' sets nothing; write KEY=VALUE, like training.epochs=5",
        ),
        ("=5", "command line: there is no key ''; a config has task, model, loss"),
        ("training.epoch=5", "command line: there is no key 'training.epoch'; did you mean 'training.epochs'?"),
        ("epochs=5", "command line: there is no key 'epochs'; did you mean 'training.epochs'?"),
        ("trainig.epochs=5", "command line: there is no key 'trainig'; did you mean 'training'?"),
        ("loss.weights.dise=5", "command line: there is no key 'loss.weights.dise'; did you mean 'loss.weights.dice'?"),
        ("training.epochs=", "command line: training.epochs must be a whole number of at least 1, not nothing"),
        ("training.epochs=0", "command line: training.epochs must be a whole number of at least 1, not 0"),
        ("training.epochs=2.5", "command line: training.epochs must be a whole number of at least 1, not 2.5"),
        ("training.epochs=[", "command line: not valid YAML"),
        ("training.epochs={a: 1}", "command line: training.epochs must be a whole number of at least 1, not a mapping"),
        ("training.epochs.a=1", "command line: training.epochs must be a whole number of at least 1, not a mapping"),
        ("training=5", "command line: training is a section, not 5; set training.learning_rate or another key in it"),
        ("training.epochs=" + "9" * 5000, "command line: "),
    ],
)
def test_a_mistaken_override_is_told(override, expected):
    assert complaint("tiny", override).startswith(expected)


# --- mistakes in files ------------------------------------------------------------------


WRONG_VALUES = [
    ("training.epochs", "ten", "the text 'ten'"),
    ("training.epochs", "-1", "-1"),
    ("training.epochs", "true", "true"),
    ("training.epochs", "'5'", "the text '5'"),
    ("training.epochs", "{a: 1}", "a mapping"),
    ("training.seed", "9999999999", "9999999999"),
    ("training.mixed_precision", "yes", "the text 'yes'"),
    ("training.mixed_precision", "1", "1"),
    ("training.optimizer", "sgd", "the text 'sgd'"),
    ("training.gradient_clip", "0", "0"),
    ("training.gradient_clip", ".inf", "inf"),
    ("training.gradient_clip", ".nan", "nan"),
    ("training.learning_rate", "5e6", "5000000.0"),
    ("limits.max_lr_factor", ".inf", "inf"),
    ("data.augment", ".nan", "nan"),
    ("data.path", "5", "5"),
    ("data.path", "", "nothing"),
    ("model.trunk_stride", "3", "3"),
    ("model.trunk_stride", "true", "true"),
    ("model.trunk_stride", "2.0", "2.0"),
    ("model.roi_size", "65", "65"),
    ("model.extractor_widths", "8", "8"),
    ("model.extractor_widths", "[8]", "[8]"),
    ("model.extractor_widths", "[8, a]", "[8, 'a']"),
    ("loss.weights.dice", "-1", "-1"),
]


@pytest.mark.parametrize(("name", "value", "quoted"), WRONG_VALUES)
def test_a_wrong_value_is_told_with_what_it_may_be(write, name, value, quoted):
    *sections, last = name.split(".")
    lines = [f"{'  ' * depth}{section}:" for depth, section in enumerate(sections)]
    text = "\n".join([*lines, f"{'  ' * len(sections)}{last}: {value}"])
    expected = f"{name} must be {config_keys(PersonConfig)[name].expected}, not {quoted}"
    assert complaint(write(text)) == f"mine.yaml:{len(sections) + 1}: {expected}"
    if not config_keys(PersonConfig)[name].is_text:
        assert complaint("tiny", f"{name}={value}") == f"command line: {expected}"


WRONG_FILES = [
    (
        "training:\n  lerning_rate: 1",
        2,
        "there is no key 'training.lerning_rate'; did you mean 'training.learning_rate'?",
    ),
    ("learning_rate: 1", 1, "there is no key 'learning_rate'; did you mean 'training.learning_rate'?"),
    ("\n\nguards: {}", 3, "there is no key 'guards'; did you mean 'guard'?"),
    ("guard:\n  zzz: 1", 2, "there is no key 'guard.zzz'; guard has max_skipped_in_a_row"),
    ("data:\n  path: 2024-01-01\n  x: 1", 3, "there is no key 'data.x'"),
    ("loss:\n  weights: 5", 2, "loss.weights is a section, not 5; set loss.weights.cross_entropy or another key in it"),
    ("training:5", 1, "a config is a mapping of sections"),
    ("- training", 1, "a config is a mapping of sections"),
    ("training:\n\tepochs: 5", 2, "YAML is not indented with tabs; use spaces"),
    ("training:\n  seed: 1\n\tepochs: 5", 3, "YAML is not indented with tabs; use spaces"),
    ("training:\n  epochs: 5: 6", 2, "not valid YAML, mapping values are not allowed here"),
    ("training: [1\n", 2, "not valid YAML"),
    ("training:\n  seed: 1\n  seed: 2", 3, "'training.seed' is given twice, first in line 2"),
    ("training: {seed: 1}\nmodel: {}\ntraining: {}", 3, "'training' is given twice, first in line 1"),
    ("training: {epochs: 1}\n---\ntraining: {}", 2, "not valid YAML"),
    ("data:\n  path: !!python/object/apply:os.getcwd []", 2, "not valid YAML, could not determine a constructor"),
    ("training:\n  epochs: !!int five", 2, "'five' is not a value of its YAML type"),
    ("training:\n  mixed_precision: !!bool maybe", 2, "'maybe' is not a value of its YAML type"),
    ("a: &a\n  b: *a", 2, "not valid YAML, aliases are not supported; repeat the value"),
    ("? [a]\n: 1", 1, "a key is a plain word, not a list or a mapping"),
    ("training:\n  epochs: \x07", 2, "character U+0007 is not allowed in YAML"),
    ("extends: 5", 1, "extends takes the name of one config, not 5"),
    ("extends:\n  - tiny", 1, "extends takes the name of one config, not ['tiny']"),
    ("\nextends: tini", 2, "there is no config 'tini' in configs/; did you mean 'tiny'?"),
    ("extends: gone.yaml", 1, "there is no config file 'gone.yaml'"),
]


@pytest.mark.parametrize(("text", "line", "expected"), WRONG_FILES)
def test_a_mistaken_file_is_told_with_its_line(write, text, line, expected):
    assert complaint(write(text)).startswith(f"mine.yaml:{line}: {expected}")


def test_a_file_nested_without_end_is_told(write):
    assert complaint(write("training: " + "[" * 20000)) == "mine.yaml: nested too deeply to be a config"


def test_the_line_is_that_of_the_file_the_value_came_from(write):
    write("\n\ntraining:\n  epochs: none\n", "base.yaml")
    assert complaint(write("extends: base.yaml\ntraining:\n  seed: 1\n")).startswith("base.yaml:4: training.epochs")


def test_an_unknown_key_of_an_extended_file_is_told_even_where_nothing_uses_it(write):
    write("training:\n  epoch: 1\n", "base.yaml")
    assert complaint(write("extends: base.yaml\n")).startswith("base.yaml:2: there is no key 'training.epoch'")


def test_extends_in_a_circle_is_told_with_the_circle(write):
    write("extends: two.yaml\n", "one.yaml")
    write("extends: one.yaml\n", "two.yaml")
    assert complaint("one.yaml") == "two.yaml:1: extends goes in a circle, one -> two -> one"


def test_a_config_that_extends_itself_is_told(write):
    assert complaint(write("extends: ./mine.yaml\n")) == "mine.yaml:1: extends goes in a circle, mine -> mine"


def test_exclusive_refinements_are_told_where_the_second_was_switched_on(write):
    write("model:\n  refinements:\n    subpixel_conv: true\n", "base.yaml")
    mine = write("extends: base.yaml\n\nmodel:\n  refinements:\n    progressive_upsampling: true\n")
    assert complaint(mine).startswith("mine.yaml:5: progressive_upsampling and subpixel_conv exclude each other")


def test_bounds_in_the_wrong_order_are_told(write):
    message = complaint(write("limits:\n  lr_min: 0.5\n"))
    assert message == "mine.yaml:2: limits.lr_min must be below limits.lr_max, but 0.5 >= 0.01"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tini", "command line: there is no config 'tini' in configs/; did you mean 'tiny'?"),
        ("stable", f"command line: there is no config 'stable' in configs/; did you mean '{BASE}_refined_stable'?"),
        ("tiny.yaml", "command line: there is no config file 'tiny.yaml'; did you mean the named config 'tiny'?"),
        (
            "no/such.yaml",
            "command line: there is no config file 'no/such.yaml'; give a YAML file or a name",
        ),
        ("a\0b/c.yaml", "command line: there is no config 'a\\x00b/c.yaml' in configs/; "),
    ],
)
def test_an_unknown_config_is_told_with_its_nearest_name(write, name, expected):
    assert complaint(name).startswith(expected)


def test_a_file_that_is_not_text_is_told(write, tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"training:\n  seed: \xff\n")
    assert complaint("mine.yaml") == "mine.yaml: not UTF-8 text at byte 18"


def test_a_byte_order_mark_is_no_part_of_the_first_key(write, tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"\xef\xbb\xbftraining: {epochs: 5}\n")
    assert load_config("mine.yaml").training.epochs == 5


def test_a_directory_in_place_of_a_run_s_config_is_told(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_resolved(tmp_path)


# --- what is written --------------------------------------------------------------------


@pytest.mark.parametrize("config", list_configs(), ids=lambda config: config.name)
def test_a_dumped_config_is_read_back_the_same(tmp_path, config):
    loaded = load_config(config.name)
    (tmp_path / "config.yaml").write_text(dump_config(loaded), encoding="utf-8")
    assert read_resolved(tmp_path / "config.yaml") == loaded


@pytest.mark.parametrize(
    "path", ["1e-5", "yes", "null", "# no", "a: b", "a \"b\" 'c'", "two\nlines", "ünï\u2028", "\x1b[31m", " "]
)
def test_any_text_survives_being_dumped(tmp_path, path):
    config = load_config("tiny", [f"data.path={path}", "training.learning_rate=1e-07"])
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    assert read_resolved(tmp_path / "config.yaml") == config


def test_a_shown_config_says_where_each_value_came_from(write):
    write("training:\n  seed: 4\n", "base.yaml")
    resolved = resolve_config(write("extends: base.yaml\nloss:\n  clamp_max: 3\n"), ["training.epochs=6"])
    lines = show_config(resolved).splitlines()
    assert "  seed: 4  # base.yaml:2" in lines
    assert "  clamp_max: 3.0  # mine.yaml:3" in lines
    assert "  epochs: 6  # command line" in lines
    assert "  batch_size: 2  # default" in lines


def test_a_shown_config_is_a_config(write):
    resolved = resolve_config("tiny", ["training.epochs=6"])
    assert load_config(write(show_config(resolved))) == resolved.config


def test_configs_are_listed_with_the_first_comment_line(tmp_path, monkeypatch):
    (tmp_path / "b.yaml").write_text("# What b is.\n# More.\n", encoding="utf-8")
    (tmp_path / "a.yaml").write_text("training: {}\n", encoding="utf-8")
    monkeypatch.setattr(named_configs, "CONFIGS_DIR", tmp_path)
    assert [(c.name, c.description) for c in list_configs()] == [("a", ""), ("b", "What b is.")]


def test_no_mangled_config_raises_anything_but_a_user_error(write):
    """Cut, doubled and garbled forms of a real config either load or are told in one sentence."""
    text = (named_configs.CONFIGS_DIR / "tiny.yaml").read_text(encoding="utf-8")
    forms = [text[:cut] for cut in range(0, len(text), 29)]
    forms += [text[:cut] + mark + text[cut:] for cut in range(0, len(text), 101) for mark in "{[:\t-&*!%@`'\"|>?,"]
    for form in forms:
        try:
            load_config(write(form))
        except UserError as error:
            assert re.match(r"mine\.yaml(:\d+)?: ", str(error)), form


def test_a_run_from_before_the_hold_out_by_hash_keeps_its_split(tmp_path: Path) -> None:
    written = dump_config(PersonConfig())
    assert 'hold_out: "by_hash"' in written
    file = tmp_path / "config.yaml"
    file.write_text("\n".join(line for line in written.splitlines() if "hold_out" not in line))
    assert read_resolved(file).data.hold_out == "in_order"
    assert load_config(str(file), ["training.epochs=9"]).data.hold_out == "in_order"
    file.write_text("data:\n  augment: 0.25\n")
    assert load_config(str(file)).data.hold_out == "by_hash"


def test_a_resume_takes_crowds_as_the_run_did_unless_told_otherwise(tmp_path: Path) -> None:
    former = tmp_path / "config.yaml"
    former.write_text(dump_config(load_config("tiny", ["data.path=somewhere", "data.use_crowds=true"])))
    assert load_for_resume("tiny", [], former).data.use_crowds
    assert not load_for_resume("tiny", ["data.use_crowds=false"], former).data.use_crowds


def test_a_score_that_the_task_does_not_measure_is_named_where_it_is_set(write):
    assert load_config("tiny", ["validation.score=miou_seed"]).validation.score == "miou_seed"
    said = "validation.score: there is no metric 'target_io'; did you mean 'target_iou'?"
    assert complaint("tiny", "validation.score=target_io") == f"command line: {said}"
    assert complaint(write("validation:\n  score: target_io\n")) == f"mine.yaml:2: {said}"
