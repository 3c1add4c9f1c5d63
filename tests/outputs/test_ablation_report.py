"""The culprit of an ablation, from numbers alone."""

from __future__ import annotations

import math

from engine.outputs.ablation_report import FINITE, NOT_FINITE, Variant, blame, ranked

NAN = math.nan
NOUN = "refinement"


def variant(without: str, bad: int = 0, loss: float = 1.0, norm: float = 1.0, batch: str = "") -> Variant:
    return Variant(without, 20, bad, loss, norm / 2, norm, batch)


def test_the_one_without_which_no_step_breaks_is_to_blame() -> None:
    control, guilty, other = variant("", 20, NAN, NAN), variant("b", 0), variant("a", 20, NAN, NAN)
    assert blame(control, (other, guilty), NOUN) == (
        ("b",), "b is to blame: with all on 20 of 20 steps were not finite, without it none",
    )  # fmt: skip
    assert [v.without for v in ranked(control, (other, guilty))] == ["b", "a"]


def test_two_that_do_it_together_are_both_named() -> None:
    names, words = blame(variant("", 5), (variant("a"), variant("b"), variant("c", 5)), NOUN)
    assert names == ("a", "b") and "together" in words


def test_one_that_only_eases_it_is_said_to() -> None:
    names, words = blame(variant("", 9), (variant("a", 9), variant("b", 2)), NOUN)
    assert names == ("b",) and "still 2" in words


def test_where_nothing_helps_none_alone_is_to_blame() -> None:
    names, words = blame(variant("", 9), (variant("a", 9), variant("b", 12)), NOUN)
    assert names == () and "none alone" in words


def test_the_recorded_batch_counts_though_every_step_was_finite() -> None:
    control = variant("", 0, batch=NOT_FINITE)
    variants = (variant("a", batch=NOT_FINITE), variant("b", batch=FINITE))
    assert blame(control, variants, NOUN)[0] == ("b",)
    assert ranked(control, variants)[0].without == "b"


def test_a_calm_run_blames_none_and_a_restless_refinement_is_told_by_its_norm() -> None:
    assert blame(variant(""), (variant("a", norm=0.9), variant("b")), NOUN)[0] == ()
    names, words = blame(variant("", norm=30), (variant("a", norm=25), variant("b", norm=3)), NOUN)
    assert names == ("b",) and "3 instead of 30" in words
    assert [v.without for v in ranked(variant("", norm=30), (variant("a", norm=25), variant("b", norm=3)))] == [
        "b",
        "a",
    ]


def test_components_are_called_as_the_task_calls_them() -> None:
    assert blame(variant("", 3), (), "component") == ((), "no component is on, so none is to blame")
    _, words = blame(variant(""), (variant("a"),), "component")
    assert words.endswith("no component doubles the gradient norm")


def test_without_a_refinement_there_is_none_to_blame() -> None:
    assert blame(variant("", 3), (), NOUN) == ((), "no refinement is on, so none is to blame")
