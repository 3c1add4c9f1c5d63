"""Agents: every tool in one session of the SDK's own client, what a read-only server refuses, and errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cockpit.cli.arguments import parse_arguments
from cockpit.cli.dispatch import run_subcommand
from cockpit.cli.servers.agent.calls import AgentTool, Caller, StatusArguments
from cockpit.cli.servers.agent.reading import MAX_NUMBERS
from cockpit.cli.servers.agent.tools import TOOLS
from engine.errors import UserError
from engine.journal.reader import JournalReader
from engine.journal.writer import JournalWriter
from engine.protocol import events as e
from engine.protocol.words.command_syntax import COMMAND_WORDS
from tests.cli.commands.test_send import STATE, engine
from tests.recorded import ROOT

Ask = Callable[..., Any]


@pytest.fixture
def mcp() -> Any:
    """The SDK. Imported here, it does not take half a second of each process that collects tests."""
    return pytest.importorskip("mcp", reason="the extra agent is not installed")


def client_of(mcp: Any, runs_dir: Path, *, can_steer: bool) -> Any:
    """Return a client of a server in this process."""
    from cockpit.cli.servers.agent.server import build_server

    return mcp.Client(build_server(Caller(runs_dir, can_steer=can_steer), "1"))


@pytest.fixture
def steered(live: JournalWriter) -> JournalWriter:
    """A run with a state, 300 steps and some events; no command is answered yet."""
    for step in range(1, 301):
        values = (float("nan") if step == 7 else 1 / step, 2.0)
        live.record_step(step, step / 10, ("loss/total", "grad_norm/total"), values)
    live.record_event(7, e.AlertRaised("spike", "the loss jumped", at_step=7))
    for number in range(60):
        live.record_event(120, e.NoteAdded(f"note {number}"))
    live.record_state(STATE)
    live.flush()
    return live


def asking(client: Any) -> Ask:
    """Return a function that calls a tool and returns its answer; a failed call returns its sentence."""

    async def ask(tool: str, **arguments: Any) -> Any:
        result = await client.call_tool(tool, arguments)
        (content,) = result.content
        if result.is_error:
            assert "Traceback" not in content.text
            assert "\n" not in content.text
            return content.text
        assert json.loads(content.text) == result.structured_content
        return result.structured_content

    return ask


async def test_a_session_over_standard_input_and_output(
    mcp: Any, steered: JournalWriter, runs_dir: Path, tmp_path: Path
) -> None:
    words = [str(ROOT / "main.py"), "mcp", "--runs-dir", str(runs_dir), "--steer"]
    server = mcp.StdioServerParameters(command=sys.executable, args=words, cwd=tmp_path)
    client_info = mcp.types.Implementation(name="robot\x1b 7", version="1")
    with engine(steered) as arrived:
        async with mcp.Client(server, client_info=client_info, read_timeout_seconds=60) as client:
            listed = await client.list_tools()
            assert [tool.name for tool in listed.tools] == [tool.name for tool in TOOLS]
            ask = asking(client)
            (run,) = (await ask("list_runs"))["runs"]
            assert (run["run"], run["alive"], run["step"]) == ("live", True, 120)
            status = await ask("status", run="live")
            assert (status["phase"], status["lr"]) == (1, 1e-3)
            overview = (await ask("metrics"))["overview"]
            assert overview["loss/total"] | {"last": 0} == {
                **{"last": 0, "last_step": 300, "min": 0.00333333, "max": 1.0},
                **{"points": 300, "not_finite": 1},
            }
            assert (await ask("metrics", since=297))["overview"]["loss/total"]["points"] == 3
            rows = await ask("metrics", keys=["loss/total"], since=5, last=3)
            assert (rows["step"], rows["loss/total"][1]) == ([6, 7, 8], "NaN")
            assert rows["left_out"] == "left out 292 newer rows"
            newest = await ask("events", last=2)
            assert [event["text"] for event in newest["events"]] == ["note: note 58", "note: note 59"]
            assert newest["left_out"] == "left out 59 older events"
            predicted = await ask("send", command="set-lr", arguments=[1], dry_run=True)
            assert (predicted["status"], predicted["reason"]) == ("clamped", "at most x10 in one command")
            assert arrived == []
            sent = await ask("send", run="live", command="lower-lr", arguments=[0.5], reason="the loss jumped")
            assert (sent["status"], sent["event"]["after"]) == ("applied", 5e-4)
            assert sent["text"].startswith("applied at step 120: learning rate")
            assert [(request.actor, request.reason) for request in arrived] == [("agent:robot 7", "the loss jumped")]
            assert (await ask("wait", until="lr<1e-3"))["outcome"] == "holds"
            assert (await ask("wait", until="step>9e9", timeout=0.2))["outcome"] == "timed out"
            after = await ask("events", since=newest["newest_id"])
            assert [(event["kind"], event["actor"]) for event in after["events"]] == [("lr_scaled", "agent:robot 7")]
            assert "no fault was recorded" in await ask("diagnose")
            page = await client.read_resource("manual://commands")
            assert page.contents[0].text.startswith("# Commands")


async def test_answers_are_bounded_and_mistakes_are_one_sentence(
    mcp: Any, steered: JournalWriter, runs_dir: Path
) -> None:
    async with client_of(mcp, runs_dir, can_steer=False) as client:
        ask = asking(client)
        steered.record_state(replace(STATE, checkpoints=tuple(f"step-{number}.pt" for number in range(130))))
        steered.flush()
        checkpoints = (await ask("status"))["checkpoints"]
        assert (len(checkpoints), checkpoints[-1]) == (101, "left out 30 more")
        rows = await ask("metrics", keys=["loss/total", "grad_norm/total"], last=1000)
        assert len(rows["step"]) == 300 < MAX_NUMBERS
        assert rows["left_out"] == ""
        paged = await ask("events", since=0, last=10)
        assert [event["id"] for event in paged["events"]] == [*range(1, 11)]
        assert paged["newest_id"] == 10
        assert paged["left_out"] == "left out 51 newer events"
        for tool, arguments, sentence in (
            ("status", {"run": "liv"}, "there is no run 'liv' in"),
            ("status", {"run": str(steered.path.parent)}, "is a path: give a run's name"),
            ("metrics", {"key": ["a"]}, "metrics has no argument 'key': did you mean 'keys'?"),
            ("metrics", {"keys": ["loss/totl"]}, "did you mean 'loss/total'?"),
            ("metrics", {"last": 10_000}, "metrics: the argument 'last' is wrong: Input should be less than or equal"),
            ("events", {"kinds": ["alert"]}, "there is no kind of event 'alert': did you mean 'alert_raised'?"),
            ("wait", {}, "wait needs the argument 'until'"),
            ("wait", {"until": "losss<1"}, "losss"),
            ("send", {"command": "paus", "dry_run": True}, "did you mean 'pause'?"),
            ("stop", {}, "there is no tool 'stop': there are"),
        ):
            assert sentence in await ask(tool, **arguments)


async def test_a_read_only_server_only_predicts(mcp: Any, steered: JournalWriter, runs_dir: Path) -> None:
    async with client_of(mcp, runs_dir, can_steer=False) as client:
        ask = asking(client)
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert all(tool.annotations.read_only_hint for tool in tools.values())
        assert "read-only" in tools["send"].description
        assert (await ask("send", command="pause", dry_run=True))["status"] == "applied"
        assert (await ask("send", command="pause", reason="to look")).startswith("this server is read-only")
    async with client_of(mcp, runs_dir, can_steer=True) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert [name for name, tool in tools.items() if not tool.annotations.read_only_hint] == ["send"]
        assert (await asking(client)("send", command="pause")).startswith("send needs the argument reason")
    reader = JournalReader(steered.path)
    assert reader.newest_ids().command == 0
    reader.close()


async def test_an_unknown_page_is_an_error_of_the_protocol(mcp: Any, runs_dir: Path) -> None:
    async with client_of(mcp, runs_dir, can_steer=False) as client:
        with pytest.raises(mcp.MCPError, match="did you mean 'commands'"):
            await client.read_resource("manual://command")
        assert "manual://commands" in [page.uri for page in (await client.list_resources()).resources]


async def test_a_bug_in_a_tool_reaches_the_log_and_not_the_client(
    mcp: Any, runs_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(arguments: StatusArguments, caller: Caller) -> dict[str, Any]:
        raise KeyError("secret")

    tools = (AgentTool("status", "Status", "", StatusArguments, broken),)
    monkeypatch.setattr("cockpit.cli.servers.agent.server.TOOLS", tools)
    async with client_of(mcp, runs_dir, can_steer=False) as client:
        assert await asking(client)("status") == "status failed by an error of the server (KeyError), see its log"
    assert "secret" in caplog.text


def test_the_description_of_send_lists_every_command() -> None:
    (send,) = (tool for tool in TOOLS if tool.name == "send")
    assert all(f"- {name}" in send.description for name in COMMAND_WORDS)
    assert all(tool.arguments.model_json_schema()["additionalProperties"] is False for tool in TOOLS)


@pytest.mark.usefixtures("mcp")
def test_the_actor_is_an_agent_whatever_the_client_says() -> None:
    from cockpit.cli.servers.agent.server import actor_of

    assert actor_of("") == "agent"
    assert actor_of("guardian\n") == "agent:guardian"
    assert len(actor_of("x" * 1000)) < 100


def test_without_the_extra_one_sentence_says_what_to_install(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cockpit.cli.servers.extras.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package mcp: pip install 'training-cockpit\[agent\]'"):
        run_subcommand(parse_arguments(["mcp", "--runs-dir", str(runs_dir)]))
