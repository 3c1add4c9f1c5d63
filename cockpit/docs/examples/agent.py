"""An agent without a model: it trains a run through its phases unattended, by the tools of `main.py mcp`.

Start a run, then: python agent.py RUN
"""

import asyncio
import sys
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.types import Implementation

SERVER = StdioServerParameters(command=sys.executable, args=["main.py", "mcp", "--steer"])
ITSELF = Implementation(name="night-watch", version="1")  # the journal records agent:night-watch
MAX_SKIPPED = 20


class Agent:
    def __init__(self, client: Client, run: str, seconds: float) -> None:
        self.client, self.run, self.seconds = client, run, seconds
        self.skipped = 0

    async def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, {"run": self.run, **arguments})
        if result.is_error:
            raise RuntimeError(result.content[0].text)
        return result.structured_content

    async def act(self, command: str, *arguments: str | float, reason: str) -> str:
        outcome = await self.ask("send", command=command, arguments=[*arguments], reason=reason)
        print(f"{command}: {outcome['text']}")
        return outcome["status"]

    async def wait(self, until: str) -> None:
        while (await self.ask("wait", until=until, timeout=self.seconds))["outcome"] == "timed out":
            pass

    async def enter_phases(self, last: int) -> int:
        """Promote whenever the gate is ready, and halve the learning rate after a step that was not finite."""
        while (status := await self.ask("status"))["phase"] < last:
            phase, skipped = status["phase"], status["skipped_steps"]
            if not status["alive"] or skipped > MAX_SKIPPED:
                raise RuntimeError(f"{status['state']} with {skipped} skipped steps: a person has to look")
            if skipped > self.skipped:
                self.skipped = skipped
                await self.act("lower-lr", 0.5, reason=f"{skipped} steps were not finite")
            elif (await self.ask("send", command="promote", dry_run=True))["status"] == "applied":
                await self.act("promote", reason=f"the gate of phase {phase} is ready, score {status['score']}")
            await self.ask("wait", until=f"phase>{phase} or nan>{self.skipped}", timeout=self.seconds)
        return status["step"]

    async def fine_tune(self, until_step: int) -> None:
        while await self.act("set-lr", 1e-6, reason="fine-tune the last phase") == "clamped":
            pass  # one command lowers it by a factor of 10 at most
        await self.wait(f"step>={until_step} or nan>{self.skipped}")
        await self.act("stop", reason="fine-tuned")
        await self.wait("activity==finished")


async def attend(
    run: str,
    server: StdioServerParameters = SERVER,
    last_phase: int = 4,
    seconds: float = 30.0,
    tune_steps: int = 500,
) -> dict[str, Any]:
    async with Client(server, client_info=ITSELF) as client:
        agent = Agent(client, run, seconds)
        step = await agent.enter_phases(last_phase)
        await agent.fine_tune(step + tune_steps)
        return await agent.ask("status")


if __name__ == "__main__":
    end = asyncio.run(attend(sys.argv[1]))
    print(f"{end['run']}: {end['state']} in phase {end['phase']} at step {end['step']}, best score {end['best_score']}")
