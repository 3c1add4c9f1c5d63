"""A mistake in a task is one sentence and exit code 2 before the first step. An exception in it is exit code 1."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import main
from engine.config.load import load_config
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS, CONSOLE_LOG
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.reproduce.comparison import compare_weights
from engine.task import load_task
from engine.training.checkpoint.file import BEST
from engine.training.inference.trained_model import open_trained
from tests.faulty import entries, run, series

FILE = Path(__file__).with_name("odd_tasks.py")


FEW = ("training.epochs=2", "training.batch_size=4", "tensorboard.enabled=false")


def run_task(directory: Path, name: str, *settings: str) -> int:
    return run(directory, load_config("", (f"task={FILE}:{name}", *FEW, *settings)))


@pytest.mark.parametrize("name", ["Right", "OtherOrder", "Pictured"])
def test_a_right_task_trains_with_its_components(tmp_path: Path, name: str) -> None:
    assert run_task(tmp_path / "run", name, "components.extra=true") == 0
    raw = [series(tmp_path / "run", f"loss_raw/{term}")[1] for term in ("error", "extra")]
    assert run_task(tmp_path / "right", "Right", "components.extra=true") == 0
    assert raw == [series(tmp_path / "right", f"loss_raw/{term}")[1] for term in ("error", "extra")]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("NoMembers", "lacks open_data, build_model, forward, losses, score, metrics; a task has spec, "),
        ("NoConfig", "Config is no subclass of RunConfig"),
        ("NoSpec", "spec is no TaskSpec"),
        ("Arguments", "its class takes no arguments"),
        ("OddScore", "the score 'closenes' is not among the metrics: did you mean 'closeness'?"),
        ("OddPhase", "the phase 'two' adds the component 'extra', which the spec lacks: there is none"),
        ("OddTerm", "the term 'more' belongs to the component 'extras', which the spec lacks: did you mean 'extra'?"),
        ("TermMissing", "losses() does not return the term 'extra'"),
        ("TermPerSample", "losses() returns the term 'error' as 2 of torch.float32, not a floating-point scalar"),
        ("TermNumber", "losses() returns the term 'error' as a float, not a tensor"),
        ("LooseParameter", "the network: the parameter 'scale' is in no named child"),
        ("SharedParameter", "the network: 'body' and 'head' share the parameter '0.weight'"),
        ("NoPart", "the network: the component 'extra' has no part"),
        ("NoParameters", "the network: it has no parameters to train"),
        ("NoSums", "score() must return tensors by name"),
        ("NoMetric", "metrics() does not return 'closeness', which is in the spec"),
        ("TensorMetric", "metrics() returns 'closeness' as a Tensor: make it a float"),
        ("OtherMetric", "metrics() returns 'other' as a float32: make it a float"),
        ("NoValidation", "the validation split is empty"),
        ("SingleTerm", "the spec: terms is a Term and no tuple: write (Term(...),), with a comma"),
        ("SingleAdded", "the phase '+ extra': adds is a str and no tuple: write ('name',), with a comma"),
        ("TextTerms", "the spec: terms holds 'error', which is no Term"),
        ("OddWeight", "the term 'error' has the weight -1.0: give a number from 0 on"),
        ("OddBounds", "the metric 'closeness' has the low bound 1 and the high bound 0: exchange them"),
        ("OddKey", "a component is called 'model_config', which cannot be a key of the configuration"),
        ("ExcludesItself", "the component 'extra' excludes itself"),
        ("FirstPhaseAdds", "the first phase, 'all', adds extra, which is off at the start"),
        ("InitFails", "its __init__ raises KeyError: 'width'"),
        ("InitMixesTypes", "its __init__ raises TypeError: unsupported operand"),
        ("NoSplits", "open_data() returns a tuple: return Splits(train, val)"),
        ("PlainSplits", "returns the train split as a list, which has no samples by epoch: wrap it in from_dataset"),
        ("NoNetwork", "build_model() returns a tuple: return the network"),
        ("Lazy", "the network: 'body.weight' has no shape yet, as it is of a lazy module"),
        ("Frozen", "none of its parameters has requires_grad"),
        ("Sparse", "'names' has sparse gradients, which the optimizer cannot read: leave out sparse=True"),
        ("ComplexParameter", "the parameter 'extra.weight' is of torch.complex64: make it floating-point"),
        (
            "ComplexBuffer",
            "'body.angles' cannot be in a checkpoint: it holds tensors that are sparse, quantized, complex",
        ),
        ("OddErrors", "sample_errors() must return one number per sample, not the shape (2, 3)"),
        ("ListedErrors", "sample_errors() returns a list: return a tensor, a number per sample"),
        ("NoPreview", "preview() returns a dict: return Preview(sample_id, planes)"),
        ("NoPlane", "preview() returns a ndarray among the planes, which is no Plane"),
        ("OddKind", "the plane 'image' of the kind 'grey': there are rgb, classes, scalar, signed"),
        ("WidePlane", "the plane 'image' of the kind 'scalar' not as an array of uint8 with the shape (height, width)"),
        ("SamePlanes", "preview() returns two planes with the same name and kind"),
        ("OtherSize", "preview() returns planes of classes that differ in size"),
        ("NoGrid", "preview_grid() must return one picture as an array of uint8: (height, width, 3)"),
        ("TotalPart", "a child is called 'total', the name of the norm of all gradients in the journal: rename it"),
        ("MetaNetwork", "'body.weight' is on the device 'meta' and has no values"),
        ("OddTap", "tap() names the component 'extras', which the spec lacks: did you mean 'extra'?"),
        ("LossSum", "losses() returns a Tensor, not tensors by name"),
        ("Absent", "has no class 'Absent'"),
    ],
)
def test_a_mistake_is_one_sentence_before_the_first_step(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        run_task(tmp_path / "run", name)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_the_program_ends_with_2_and_leaves_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--no-ui", "--device=cpu", f"--task={FILE}:TermMissing", "--runs-dir", str(tmp_path / "runs")]
    assert main.main(words) == 2
    assert capsys.readouterr().err.startswith("error: losses() does not return the term 'extra'")
    assert not list((tmp_path / "runs").glob("*"))


@pytest.mark.parametrize(
    ("name", "line", "error"),
    [
        ("ForwardFails", "in forward", "AttributeError: 'Net' object has no attribute 'missing'"),
        ("FailsLater", "in losses", "ZeroDivisionError: a mistake in the losses"),
    ],
)
def test_an_error_of_the_task_ends_the_run_with_a_traceback(tmp_path: Path, name: str, line: str, error: str) -> None:
    assert run_task(tmp_path / "run", name) == 1
    (failed,) = entries(tmp_path / "run", e.RunFailed)
    assert failed.event == e.RunFailed(error)
    log = (tmp_path / "run" / CONSOLE_LOG).read_text()
    assert line in log and "odd_tasks.py" in log and error in log


def test_a_loss_without_a_gradient_is_one_sentence(tmp_path: Path) -> None:
    assert run_task(tmp_path / "run", "Detached") == 1
    (failed,) = entries(tmp_path / "run", e.RunFailed)
    assert "the loss of error has no gradient: losses() must compute it from" in str(failed.event)


@pytest.mark.parametrize("name", ["NumpyMetric", "DoublePrecision", "HostRandom", "Masked"])
def test_a_resumed_run_of_an_odd_task_has_the_same_bits(tmp_path: Path, name: str) -> None:
    before = torch.get_default_dtype()
    try:
        assert run_task(tmp_path / "whole", name) == 0
        config = load_config("", (f"task={FILE}:{name}", *FEW))
        assert run(tmp_path / "run", config, script=(ScriptedCommand(1, c.Stop(), 1),)) == 0
        assert run(tmp_path / "run", config, resume=True) == 0
    finally:
        torch.set_default_dtype(before)
    checkpoint, differing = compare_weights(tmp_path / "whole" / CHECKPOINTS, tmp_path / "run" / CHECKPOINTS)
    assert (checkpoint, differing) == ("step-00000004.pt", "")


def test_a_network_with_infinities_in_a_buffer_is_opened_and_inherited(tmp_path: Path) -> None:
    assert run_task(tmp_path / "run", "Masked") == 0
    best = tmp_path / "run" / CHECKPOINTS / BEST
    assert bool(torch.isinf(open_trained(best, device="cpu").model.state_dict()["body.mask"]).any())
    config = load_config("", (f"task={FILE}:Masked", *FEW, "training.max_steps=1"))
    assert run(tmp_path / "next", config, init_from=str(best)) == 0
    (inherited,) = entries(tmp_path / "next", e.WeightsInherited)
    assert inherited.event.missing == ()


def test_a_task_whose_file_is_gone_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.py:Task' cannot be loaded: \[Errno 2\] No such file") as caught:
        load_task(f"{tmp_path}/gone.py:Task")
    assert "__init__" not in str(caught.value)


def test_a_file_that_ends_the_program_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ends_the_program.py"
    file.write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(UserError, match=r"its file ends the program \(line 2\); put the code"):
        load_task(f"{file}:Task")


def test_to_try_a_task_moves_no_generator(tmp_path: Path) -> None:
    config = load_config("", (f"task={FILE}:Right", "training.max_steps=1"))
    torch.manual_seed(config.training.seed)
    load_task(config.task).build_model(config)
    after = torch.get_rng_state()
    seen: list[torch.Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "engine.runtime.start.open_run._baseline", lambda *_: seen.append(torch.get_rng_state()) or _none()
        )
        assert run(tmp_path / "run", config) == 0
    assert torch.equal(seen[0], after)


def _none() -> object:
    from engine.supervision.baseline import Baseline

    return Baseline({}, {})
