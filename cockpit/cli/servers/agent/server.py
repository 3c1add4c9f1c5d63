"""The MCP server over standard input and output: tools on runs, and the manual as resources."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import anyio
from anyio import to_thread
from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from cockpit.cli.servers.agent.calls import AgentTool, Caller
from cockpit.cli.servers.agent.tools import INSTRUCTIONS, TOOLS
from cockpit.text.pages import page_names, read_page
from engine.errors import UserError, did_you_mean
from engine.protocol.codec import Json

MAX_CHARACTERS: Final = 100_000
"""Maximum length of an answer, which a model has to read."""

MAX_CALLS: Final = 16
"""Calls at the same time; most of them wait."""

_MANUAL: Final = "manual://"
_LONGEST_ACTOR: Final = 60
_LOG: Final = logging.getLogger(__name__)

Context = ServerRequestContext[Any, Any]


def serve_stdio(caller: Caller, version: str) -> None:
    """Serve until standard input is closed. Nothing but the protocol is written to standard output."""
    anyio.run(_serve, build_server(caller, version))


async def _serve(server: Server[Any]) -> None:
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def build_server(caller: Caller, version: str) -> Server[Any]:
    """Return the server; `caller` says which runs it sees and whether it may steer them."""
    tools = {tool.name: tool for tool in TOOLS}
    running = anyio.Semaphore(MAX_CALLS)

    async def list_tools(context: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(tool, can_steer=caller.can_steer) for tool in TOOLS])

    async def call_tool(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = tools.get(params.name)
        if tool is None:
            return _failed(f"there is no tool {params.name!r}: {did_you_mean(params.name, tools)}")
        cancelled = threading.Event()
        called_by = replace(caller, actor=actor_of(_client_name(context)), is_cancelled=cancelled.is_set)
        try:
            async with running:
                call = partial(_answer, tool, params.arguments or {}, called_by)
                return await to_thread.run_sync(call, abandon_on_cancel=True)
        finally:
            cancelled.set()

    async def list_resources(
        context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        return types.ListResourcesResult(resources=[_page(name) for name in page_names()])

    async def read_resource(context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        try:
            text = read_page(str(params.uri).removeprefix(_MANUAL).strip("/")).text
        except UserError as error:
            raise MCPError(types.INVALID_PARAMS, str(error)) from error
        contents = types.TextResourceContents(uri=params.uri, mime_type="text/markdown", text=text)
        return types.ReadResourceResult(contents=[contents])

    return Server(
        "training-cockpit",
        version=version,
        title="Training Cockpit",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_read_resource=read_resource,
    )


def actor_of(client: str) -> str:
    """Return the actor that the journal records for commands of the client program `client`."""
    name = "".join(letter for letter in client if letter.isprintable()).strip()[:_LONGEST_ACTOR]
    return f"agent:{name}" if name else "agent"


def _client_name(context: Context) -> str:
    params = context.session.client_params
    return "" if params is None else params.client_info.name


def _described(tool: AgentTool, *, can_steer: bool) -> types.Tool:
    """Return the tool as clients see it; a server that may not steer adds that."""
    only = "" if can_steer or not tool.changes else " This server is read-only: only dry_run works."
    is_reader = not (tool.changes and can_steer)
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description + only,
        input_schema=tool.arguments.model_json_schema(),
        annotations=types.ToolAnnotations(
            read_only_hint=is_reader, destructive_hint=not is_reader, open_world_hint=False
        ),
    )


def _page(name: str) -> types.Resource:
    page = read_page(name)
    return types.Resource(uri=f"{_MANUAL}{name}", name=name, description=page.summary, mime_type="text/markdown")


def _answer(tool: AgentTool, given: Mapping[str, object], caller: Caller) -> types.CallToolResult:
    """Call a tool and return its answer, or its error in one sentence."""
    try:
        found = tool.call(tool.read(given), caller)
        text = json.dumps(found, allow_nan=False)
    except ValidationError as error:
        return _failed(_what_is_wrong(tool, error))
    except UserError as error:
        return _failed(str(error))
    except Exception as error:  # the agent gets an answer to each call, and the server answers the next one
        _LOG.exception("the tool %s failed", tool.name)
        return _failed(f"{tool.name} failed by an error of the server ({type(error).__name__}), see its log")
    if len(text) > MAX_CHARACTERS:
        return _failed(f"the answer has {len(text)} characters, more than {MAX_CHARACTERS}: ask for fewer rows or keys")
    return _succeeded(text, found)


def _succeeded(text: str, found: dict[str, Json]) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], structured_content=found)


def _failed(sentence: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=sentence)], is_error=True)


def _what_is_wrong(tool: AgentTool, error: ValidationError) -> str:
    """Return the first mistake in the arguments in one sentence."""
    first = error.errors(include_url=False)[0]
    name = ".".join(map(str, first["loc"]))
    match first["type"]:
        case "extra_forbidden":
            return f"{tool.name} has no argument {name!r}: {did_you_mean(name, tool.arguments.model_fields)}"
        case "missing":
            return f"{tool.name} needs the argument {name!r}"
        case _:
            return f"{tool.name}: the argument {name!r} is wrong: {first['msg']}"
