"""Stand-ins for unused modules give way to the real ones when a package wants more of them."""

import subprocess
import sys
from importlib import import_module

import pytest

from cockpit.terminal import lean_imports as module
from cockpit.terminal.lean_imports import lean_imports
from tests.conftest import ROOT


def test_a_name_that_the_stand_in_lacks_comes_from_the_real_module(tmp_path, monkeypatch):
    (tmp_path / "rarely_used.py").write_text("often = 'real'\nrarely = 'real'\n")
    (tmp_path / "wants_more.py").write_text("from rarely_used import often, rarely\n")
    (tmp_path / "wants_little.py").write_text("from rarely_used import often\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "_STAND_INS", {"rarely_used": {"often": "stand-in"}})
    for name in ("rarely_used", "wants_more", "wants_little"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    with lean_imports():
        assert import_module("wants_little").often == "stand-in"
        more = import_module("wants_more")
    assert (more.often, more.rarely) == ("stand-in", "real")
    assert import_module("rarely_used").often == "real"


@pytest.mark.parametrize("keeps_encryption", [True, False])
def test_asyncio_has_encrypted_connections_where_data_may_need_them(keeps_encryption: bool):
    program = (
        "from cockpit.terminal.lean_imports import lean_imports\n"
        f"with lean_imports(keeps_encryption={keeps_encryption}):\n"
        "    import asyncio.sslproto\n"
        "print(asyncio.sslproto.ssl is not None)"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str(keeps_encryption)
