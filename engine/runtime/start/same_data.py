"""Compare the data of a resumed run with those of its last start, to say that they have changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from typing import Final, cast

from engine.journal.reader import JournalReader
from engine.protocol import events as e
from engine.protocol.codec import Json
from engine.runtime.recorder import RunRecorder
from engine.runtime.start.bootstrap import RunRequest
from engine.task import Splits, fingerprint_of

DATA_META: Final = "data"
"""Key of the journal's meta table for the number of samples and the fingerprint of each split."""

_FORM: Final = re.compile(r"\d+:")
"""The begin of a fingerprint that names its form by a number."""

_REMEDY: Final = "stop the run, put the former data back, and resume it again; or go on with these"


def remember_data(request: RunRequest, splits: Splits, said: Sequence[e.Event], recorder: RunRecorder) -> None:
    """Write the identity of the data to the journal. Raise an alert if a resumed run had others under the same name."""
    found: dict[str, Json] = {
        name: [len(samples), fingerprint_of(samples)]
        for name, samples in (("train", splits.train), ("val", splits.val))
    }
    is_named = any(isinstance(event, e.ConfigChanged) and event.key.startswith("data.") for event in said)
    if request.resume and not is_named:
        recorder.journal.flush()
        if difference := _difference(_former(request), found):
            recorder.record_event(e.AlertRaised("changed data", difference, _REMEDY))
    recorder.journal.set_meta(DATA_META, found)


def _former(request: RunRequest) -> dict[str, Json]:
    """Return the data of the last start; of an older journal only the numbers of samples."""
    with closing(JournalReader(request.directory)) as reader:
        stored = reader.meta(DATA_META)
        began = reader.events(kinds=("run_started",)) if stored is None else []
    if isinstance(stored, dict):
        return cast(dict[str, Json], stored)
    started = [entry.event for entry in began if isinstance(entry.event, e.RunStarted)]
    return {"train": [started[-1].num_train_samples, ""], "val": [started[-1].num_val_samples, ""]} if started else {}


def _difference(former: dict[str, Json], found: dict[str, Json]) -> str:
    """Return the sentence about a split that has changed; an empty string if none has, or it is unknown."""
    for name, now in found.items():
        then = former.get(name)
        if not (isinstance(then, list) and isinstance(now, list)):
            continue
        if then[0] != now[0]:
            return (
                f"the {name} split has {now[0]} samples, {then[0]} at the last start: its data have changed, and the "
                "samples come in another order"
            )
        if _is_other(str(then[1]), str(now[1])):
            what = f"names, boxes, outlines or files of the {name} split"
            return f"{what} are not those of the last start: its data have changed"
    return ""


def _is_other(then: str, now: str) -> bool:
    """Return whether two fingerprints differ. Those of two forms, such as of an earlier version, say nothing."""
    forms = [_FORM.match(text) for text in (then, now)]
    is_one_form = len({form[0] if form else "" for form in forms}) == 1
    return bool(then and now) and is_one_form and then != now
