"""The terminal of a screen: a closed one is noticed at any moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ON_A_TERMINAL_THAT_CLOSES = """
import os, pty, sys, time
from pathlib import Path
from cockpit.terminal.safe_stream import SafeStream
from cockpit.terminal.terminal import Terminal

master, slave = pty.openpty()
answers = os.dup(1)
os.dup2(slave, 0)
os.dup2(slave, 1)
os.close(slave)
with Terminal(Path(sys.argv[1])) as terminal:
    stream = SafeStream(terminal.stream)
    said = [terminal.is_gone()]
    stream.write("a picture")
    stream.flush()
    os.close(master)
    while not terminal.is_gone():  # the guard inherits the other end here, and closes it
        time.sleep(0.01)
    stream.write("a picture")
    stream.flush()
    said += [stream.broken, terminal.is_gone()]
    terminal.leave_to_log()
    said.append(terminal.is_gone())
os.write(answers, repr(said).encode())
"""


def test_a_closed_terminal_is_gone_also_after_a_write_to_it_has_failed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ON_A_TERMINAL_THAT_CLOSES, str(tmp_path / "log")]
    environment = {**os.environ, "TERM": "xterm"}
    ended = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        timeout=60,
        start_new_session=True,
        check=True,
    )
    assert ended.stdout == b"[False, True, True, True]"
