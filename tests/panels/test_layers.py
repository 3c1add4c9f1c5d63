"""The layers panel: a tree that opens to single parameters, with numbers, marks, orders, and pins for the charts."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest

from cockpit.charts.chart_specs import charts_for, charts_of, label_of
from cockpit.session.session import Session
from cockpit.ui.panels.layers.columns import percent, shortened
from cockpit.ui.panels.layers.panel import LayersPanel
from cockpit.ui.panels.layers.tree import LayerTree
from cockpit.ui.panels.layers.view import NOTHING
from cockpit.ui.panels.toolkit.symbols import signs_for
from engine.journal.reader import JournalReader
from engine.journal.task_meta import layer_metric
from engine.protocol.task_spec import NO_SPEC
from tests.panels.stage import Stage
from tests.recorded_layers import EVERY, record_layers
from tests.recorded_run import RecordedRun

Open = Callable[..., Session]


@pytest.fixture
def measured(told: RecordedRun) -> RecordedRun:
    """A run whose layers were measured."""
    record_layers(told.journal, 400)
    told.flush()
    return told


def test_a_tree_is_in_the_order_of_the_network_and_opens_module_by_module() -> None:
    tree = LayerTree(("b.w", "a.x.w", "a.w"), ("b", "a", "a.x", "a.relu"))
    assert [node.path for node in tree.nodes] == ["b", "b.w", "a", "a.x", "a.x.w", "a.w", "a.relu"]
    assert tree.order == [0, 1, 2]
    assert [tree.nodes[n].path for n in tree.shown(frozenset({"a"}), ())] == ["b", "a", "a.x", "a.w", "a.relu"]
    assert [tree.nodes[n].path for n in tree.shown(frozenset(), ("x", "w"))] == ["a", "a.x", "a.x.w"]
    assert [(node.first, node.last) for node in tree.nodes if node.path in ("a", "a.x", "b")] == [
        (0, 1),
        (1, 3),
        (1, 2),
    ]


def test_a_share_that_is_nearly_all_or_nothing_says_so() -> None:
    assert [percent(share) for share in (0.0, 0.002, 0.46, 0.996, 0.99999, 1.0)] == [
        *("0 %", "0.2 %", "46 %", "99.6 %", "100 %", "100 %")
    ]


@pytest.mark.parametrize("size", [(60, 18), (80, 24), (200, 50)])
async def test_the_tree_opens_to_single_parameters(
    measured: RecordedRun, open_session: Open, size: tuple[int, int]
) -> None:
    stage = Stage(LayersPanel(), open_session())
    async with stage.run_test(size=size) as pilot:
        await pilot.pause()
        lines = stage.shown.splitlines()
        assert lines[0].startswith(f" step 351, every {EVERY}  8 parameters, 2 marked")
        assert "▶gradient" in lines[1] and ("weights" in lines[1]) is (size[0] > 76)
        assert lines[2].startswith(" ▸ backbone") and lines[3].startswith(" ▸ decoder")
        await pilot.press("escape", "right", "right", "right")
        assert "   ▾ conv" in stage.shown and "       weight" in stage.shown
        await pilot.press("left", "left", "left")
        assert stage.shown.splitlines()[2].startswith(" ▸ backbone")
        await pilot.press("+")
        assert stage.shown.count("   weight ") >= 2
        await pilot.press("-")
        assert "  weight " not in "\n".join(stage.shown.splitlines()[2:7])


async def test_a_module_has_the_numbers_of_its_parameters_together(measured: RecordedRun, open_session: Open) -> None:
    session = open_session()
    panel = LayersPanel()
    async with Stage(panel, session).run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        view = panel.view
        assert view.numbers is not None and view.window is not None
        at = {node.path: number for number, node in enumerate(view.tree.nodes)}
        parts = [view.numbers.newest("grad_norm", at[f"backbone.conv.{name}"]) for name in ("weight", "bias")]
        assert view.numbers.newest("grad_norm", at["backbone.conv"]) == pytest.approx(math.hypot(*parts))
        sizes, zeros = (
            (36, 4),
            [view.numbers.newest("grad_zeros", at[f"backbone.conv.{n}"]) for n in ("weight", "bias")],
        )
        mean = (sizes[0] * zeros[0] + sizes[1] * zeros[1]) / 40
        assert view.numbers.newest("grad_zeros", at["backbone.conv"]) == pytest.approx(mean)
        assert np.isnan(view.numbers.newest("grad_norm", at["frozen.weight"]))


async def test_dead_and_exploding_layers_are_marked_in_words(measured: RecordedRun, open_session: Open) -> None:
    stage = Stage(panel := LayersPanel(), open_session())
    async with stage.run_test(size=(160, 40)) as pilot:
        await pilot.press("escape", "+")
        marked = [line for line in stage.shown.splitlines()[2:] if "▲" in line]
        assert any("exploding" in line and "weight" in line for line in marked)
        assert any("dead" in line and "relu" in line for line in marked)
        assert panel.view.num_marked == 2
        assert not any("▲" in line for line in stage.shown.splitlines() if line.lstrip().startswith("bias"))


async def test_rows_are_ordered_by_the_chosen_number_and_filtered(measured: RecordedRun, open_session: Open) -> None:
    stage = Stage(panel := LayersPanel(), open_session())
    async with stage.run_test(size=(120, 40)) as pilot:
        await pilot.press("escape", "s")
        values = [panel.view.numbers.newest("grad_norm", n) for n in panel.view.rows]  # pyright: ignore[reportOptionalMemberAccess]
        assert values == sorted(values, reverse=True) and len(values) == 7, "the frozen parameter has no gradient"
        assert "decoder.conv.weight" in stage.shown.splitlines()[2]
        assert "largest gradient first" in stage.shown and panel.listing.cursor == 0
        await pilot.press("m", "m", "m", "m")
        assert panel.view.tree.nodes[panel.view.rows[0]].path == "decoder.relu"
        await pilot.press("s", "s", "slash", *"relu", "enter")
        assert [panel.view.tree.nodes[n].path for n in panel.view.rows] == [
            *("backbone", "backbone.relu", "decoder", "decoder.relu")
        ]
        assert "relu" in stage.shown and "conv" not in stage.shown
        await pilot.press("escape")
        assert "head" in stage.shown


async def test_enter_pins_a_curve_that_the_charts_then_have(measured: RecordedRun, open_session: Open) -> None:
    session = open_session()
    stage = Stage(LayersPanel(), session)
    metric, group = layer_metric("backbone.conv.weight", "grad_norm"), layer_metric("backbone", "update_ratio")
    async with stage.run_test(size=(120, 40)) as pilot:
        await pilot.press("escape", "right", "down", "right", "down", "enter")
        assert session.layers.pinned == (metric,)
        await pilot.press("home", "m", "m", "enter", "m", "m", "enter")
        assert session.layers.pinned == (metric, group), "a module without an output has no share of zeros"
        assert session.poll().steps
        assert "●" in stage.shown
        steps, values = session.history.rows(metric, 0, 10_000)
        _, ratios = session.history.rows(group, 0, 10_000)
        with closing(JournalReader(session.run_dir)) as reader:
            recorded = reader.series((metric,))
        assert steps.tolist() == recorded.steps.tolist() == list(range(1, 400, EVERY))
        assert values.tolist() == recorded.values[metric].tolist()
        assert np.isfinite(ratios).all() and ratios.size == steps.size
        titles = [spec.title for spec in charts_of(session.history.names, charts_for(NO_SPEC))]
        assert titles[1] == "Pinned layers"
        await pilot.press("m", "m", "m", "enter")
        assert session.layers.pinned == (metric,)
        assert session.poll().steps and group not in session.history.names


async def test_a_run_without_measurements_says_what_sets_them(told: RecordedRun, open_session: Open) -> None:
    stage = Stage(LayersPanel(), open_session())
    async with stage.run_test(size=(80, 24)) as pilot:
        await pilot.press("escape", "right", "enter", "s", "s", "s", "m", "plus", "left")
        assert stage.shown.splitlines()[0].startswith(f" {NOTHING}")
        record_layers(told.journal, 400)
        told.flush()
        told.train(401)
        stage.look()
        await pilot.pause()
        assert "8 parameters" in stage.shown, "the first measurement is shown"


async def test_ascii_has_no_other_characters(measured: RecordedRun, open_session: Open) -> None:
    stage = Stage(LayersPanel(marker="ascii"), open_session())
    async with stage.run_test(size=(80, 24)) as pilot:
        await pilot.press("escape", "right", "down", "enter")
        rows = "\n".join(stage.shown.splitlines()[:8])
        assert rows.isascii(), rows
        assert "!expl" in rows and "- backbone" in rows and "+ decoder" in rows and ">gradient" in rows


def test_a_long_path_has_initials_that_still_tell_layers_apart() -> None:
    path, signs = "blocks.layers.{}.self_attn.in_proj_weight", signs_for("braille")
    assert [shortened(path.format(number), 22, signs) for number in (0, 11)] == [
        "b.l.0.s.in_proj_weight",
        "…l.11.s.in_proj_weight",
    ]
    assert shortened(path.format(0), 32, signs) == "b.l.0.self_attn.in_proj_weight"
    assert shortened(path.format(0), 60, signs) == path.format(0)
    assert shortened("a_very_long_name_without_a_module", 8, signs) == "a_very_long_name_without_a_module"


async def test_long_paths_are_shortened_in_a_narrow_table(measured: RecordedRun, open_session: Open) -> None:
    stage = Stage(LayersPanel(), open_session())
    async with stage.run_test(size=(60, 18)) as pilot:
        await pilot.press("escape", "s")
        assert any(line.startswith("   b.") and ".weight " in line for line in stage.shown.splitlines())


async def test_a_click_opens_a_module_or_chooses_a_number(measured: RecordedRun, open_session: Open) -> None:
    stage = Stage(panel := LayersPanel(), open_session())
    async with stage.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.click(offset=stage.find("decoder"))
        assert "relu" in stage.shown and panel.view.node(panel.listing.cursor).path == "decoder"  # pyright: ignore[reportOptionalMemberAccess]
        await pilot.click(offset=stage.find("update"))
        assert panel.view.measure == "update_ratio"


def test_the_legend_names_the_layer_and_the_number_only_if_they_differ() -> None:
    norms = (layer_metric("a.w", "grad_norm"), layer_metric("b.w", "grad_norm"))
    assert [label_of(name, norms) for name in norms] == ["a.w", "b.w"]
    mixed = (norms[0], layer_metric("a.w", "update_ratio"))
    assert [label_of(name, mixed) for name in mixed] == ["a.w grad norm", "a.w update ratio"]


async def test_h_asks_for_the_histograms_of_the_layer_under_the_cursor(
    measured: RecordedRun, open_session: Open
) -> None:
    stage = Stage(LayersPanel(), open_session())
    async with stage.run_test(size=(100, 24)) as pilot:
        await pilot.pause()
        panel = stage.panel
        assert isinstance(panel, LayersPanel)
        panel.listing.focus()
        await pilot.press("h")
        await pilot.pause()
        node = panel.view.node(panel.listing.cursor)
        assert node is not None and stage.asked == [("histogram", node.path)]
