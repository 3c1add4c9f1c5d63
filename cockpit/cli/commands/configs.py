"""`main.py configs`: list the named configs, or print one in full with the origin of every value."""

from __future__ import annotations

from argparse import Namespace

from engine.config.files.named_configs import NamedConfig, list_configs
from engine.config.files.yaml_text import show_config
from engine.config.load import resolve_config


def run_configs(args: Namespace) -> int:
    """List the configs, or print the one that `args.show` names (a name or a YAML file), resolved; return 0.

    Raises UserError if the config does not exist or contains a mistake.
    """
    if args.show:
        print(show_config(resolve_config(args.show)), end="")
        return 0
    for line in config_lines(list_configs()):
        print(line)
    return 0


def config_lines(configs: tuple[NamedConfig, ...]) -> list[str]:
    """Return one line for each config: its name and the first comment of its file."""
    width = max((len(config.name) for config in configs), default=0)
    return [f"{config.name:<{width}}  {config.description}".rstrip() for config in configs]
