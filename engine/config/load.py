"""Load named configurations: YAML files that extend each other, with overrides, and clear error messages."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Final

from engine.config.files.named_configs import CONFIGS_DIR, find_file, read_text, shown_path
from engine.config.files.yaml_source import COMMAND_LINE, Setting, read_settings, read_value
from engine.config.files.yaml_text import Resolved
from engine.config.keys import config_keys, config_sections, shown
from engine.config.sections import DataConfig, Section
from engine.config.task.task_class import config_class
from engine.config.task.task_path import absolute_task
from engine.config.tree import RunConfig
from engine.config.validate import Kind, Settings, check_keys, validated
from engine.errors import UserError

_EXTENDS: Final = ("extends",)
_TASK: Final = ("task",)


def load_config(name_or_path: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the named configuration in configs/, or that of a YAML file, with `key=value` overrides.

    An empty name means the defaults of the task in the overrides. Raises UserError for an unknown configuration,
    invalid YAML, an unknown key, a wrong type, a value out of range, and a cycle of `extends`.
    """
    return resolve_config(name_or_path, overrides).config


def resolve_config(name_or_path: str, overrides: Sequence[str] = ()) -> Resolved:
    """Return the configuration like `load_config`, with the origin of each value."""
    has_file = bool(name_or_path) or not any(override.startswith("task=") for override in overrides)
    settings = _read_chain(find_file(name_or_path, Path(), COMMAND_LINE), ()) if has_file else {}
    kind = _kind(settings, overrides)
    check_keys(settings, kind)
    for override in overrides:
        _lay_over(settings, _parse_override(override, kind))
    config = validated(settings, kind)
    origins = {name: "default" for name in config_keys(kind)}
    return Resolved(config, origins | {".".join(path): setting.where for path, setting in settings.items()})


def usual_config(name_or_path: str, config: RunConfig) -> RunConfig:
    """Return the configuration in configs/ that the named one extends, or is; the defaults if there is none.

    Raises UserError like `load_config`.
    """
    while name_or_path:
        path = find_file(name_or_path, Path(), COMMAND_LINE)
        if path.parent.resolve() == CONFIGS_DIR:
            return read_resolved(path)
        parent = read_settings(read_text(path, shown_path(path)), shown_path(path)).get(_EXTENDS)
        name_or_path = "" if parent is None else str(find_file(str(parent.value), path.parent, parent.where))
    return type(config)()


def _kind(settings: Settings, overrides: Sequence[str] = ()) -> Kind:
    """Return the configuration class of the task in the settings. An override has priority."""
    asked = [text for name, _, text in (override.partition("=") for override in overrides) if name.strip() == "task"]
    named = settings.get(_TASK)
    value = asked[-1] if asked else "" if named is None else named.value
    if not isinstance(value, str):
        raise UserError(f"{named.where if named else COMMAND_LINE}: task must be text, not {shown(value)}")
    return config_class(absolute_task(value))


def read_resolved(path: Path) -> RunConfig:
    """Return the resolved configuration in a run's directory. Raises UserError like `load_config`."""
    settings = _read_chain(path, ())
    kind = _kind(settings)
    check_keys(settings, kind)
    return validated(settings, kind)


def config_from_text(text: str, source: str) -> RunConfig:
    """Return the configuration of resolved YAML, such as a checkpoint holds; errors name it by `source`.

    Raises UserError like `load_config`.
    """
    settings = _as_of_then(read_settings(text, source), source)
    kind = _kind(settings)
    check_keys(settings, kind)
    return validated(settings, kind)


def load_for_resume(name_or_path: str, overrides: Sequence[str], former: Path) -> RunConfig:
    """Return a configuration like `load_config` that keeps the task and data of the one in `former`.

    A task or data named on the command line or in the new configuration have priority. Raises UserError, also if no
    data are named and `former` is missing.
    """
    if not _names_task(_read_chain(find_file(name_or_path, Path(), COMMAND_LINE), ()), overrides) and former.is_file():
        overrides = (*_task_of(former), *overrides)
    resolved = resolve_config(name_or_path, overrides)
    config = resolved.config
    named = {key for key, origin in resolved.origins.items() if origin == COMMAND_LINE}
    if config.data.path or "data.path" in named:
        return config
    if not former.is_file():
        raise UserError(f"{former} is missing, so the data of the run are unknown: give --data")
    return config.model_copy(update={"data": _same_data(config.data, read_resolved(former).data, named)})


def _names_task(settings: Settings, overrides: Sequence[str]) -> bool:
    return _TASK in settings or any(override.partition("=")[0].strip() == "task" for override in overrides)


def _task_of(former: Path) -> tuple[str, ...]:
    """Return an override with the task of a resolved configuration; an empty tuple for the default task."""
    named = _read_chain(former, ()).get(_TASK)
    return (f"task={named.value}",) if named is not None and named.value else ()


def _same_data(data: DataConfig, former: DataConfig, named: Set[str]) -> DataConfig:
    """Return `data` with the data source of `former`, except for the keys in `named`."""
    kept: dict[str, object] = {}
    for name in data.WHICH:
        value, key = getattr(former, name), f"data.{name}"
        if isinstance(value, Section):
            here = {inner: held for inner, held in getattr(data, name) if f"{key}.{inner}" in named}
            kept[name] = value.model_copy(update=here)
        elif key not in named:
            kept[name] = value
    return data.model_copy(update=kept)


def _read_chain(path: Path, below: tuple[Path, ...]) -> Settings:
    """Return a file's settings, merged over those of the files that it extends.

    `below` are the files that extend this one.
    """
    source = shown_path(path)
    settings = read_settings(read_text(path, source), source)
    _find_task(settings, path.parent)
    if path.parent != CONFIGS_DIR:
        settings = _as_of_then(settings, source)
    parent = settings.pop(_EXTENDS, None)
    if parent is None:
        return settings
    if not isinstance(parent.value, str):
        raise UserError(f"{parent.where}: extends takes the name of one config, not {shown(parent.value)}")
    chain = (*below, path.resolve())
    target = find_file(parent.value, path.parent, parent.where)
    if target.resolve() in chain:
        raise UserError(f"{parent.where}: extends goes in a circle, {_circle(chain, target)}")
    inherited = _read_chain(target, chain)
    _lay_over(inherited, settings)
    return inherited


def _find_task(settings: Settings, folder: Path) -> None:
    """Make the path of a task's file absolute. Like `extends`, it is relative to the `folder` of the configuration."""
    named = settings.get(_TASK)
    if named is not None and isinstance(named.value, str):
        settings[_TASK] = Setting(absolute_task(named.value, folder), named.where)


def _as_of_then(settings: Settings, source: str) -> Settings:
    """Add the former values of keys that did not exist when a run's configuration was resolved."""
    is_resolved = all(path in settings for path in (("data", "path"), ("data", "num_workers"), ("training", "seed")))
    former = _kind(settings).FORMER if is_resolved else {}
    for key, value in former.items():
        settings.setdefault(tuple(key.split(".")), Setting(value, source))
    return settings


def _circle(chain: tuple[Path, ...], target: Path) -> str:
    loop = (*chain[chain.index(target.resolve()) :], target)
    return " -> ".join(link.stem for link in loop)


def _lay_over(settings: Settings, upper: Settings) -> None:
    """Merge the settings of `upper` into `settings`, the newest last."""
    for path, setting in upper.items():
        settings.pop(path, None)
        settings[path] = setting


def _parse_override(override: str, kind: Kind) -> Settings:
    """Return the settings of one `key=value`. Values of text keys are unchanged, others are parsed as YAML."""
    name, equals, text = override.partition("=")
    name = name.strip()
    if not equals:
        raise UserError(f"{COMMAND_LINE}: {shown(override)} sets nothing; write KEY=VALUE, like training.epochs=5")
    path = tuple(name.split("."))
    key = config_keys(kind).get(name)
    if key is not None and key.is_text:
        return {path: Setting(absolute_task(text) if path == _TASK else text, COMMAND_LINE)}
    if key is None and not (name and name in config_sections(kind)):
        check_keys({path: Setting(text, COMMAND_LINE)}, kind)
    settings = read_value(text, path)
    check_keys(settings, kind)
    return settings
