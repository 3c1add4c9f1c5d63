"""`main.py configs`: the named configs in a line each, and one of them in full with the origin of every value."""

from __future__ import annotations

from argparse import Namespace

from engine.config.load import NamedConfig, list_configs, resolve_config, show_config


def run_configs(args: Namespace) -> int:
    """List the configs, or print the one that `args.show` names (a name or a YAML file), resolved. The exit code is 0.

    Raises UserError where there is no such config, or it holds a mistake.
    """
    if args.show:
        print(show_config(resolve_config(args.show)), end="")
        return 0
    for line in config_lines(list_configs()):
        print(line)
    return 0


def config_lines(configs: tuple[NamedConfig, ...]) -> list[str]:
    """One line for each config: its name, then what its file says of it first."""
    width = max((len(config.name) for config in configs), default=0)
    return [f"{config.name:<{width}}  {config.description}".rstrip() for config in configs]
