"""Find the keys of a tree of pydantic sections that the code reads, by following the sections through annotated names.

A section is followed through parameters, dataclass fields, attributes of `self`, assignments and return values, as far
as annotations and plain assignments tell its type. So `state.batch_size` is not a read of `training.batch_size`.
`training.batch_size` is one if `training` is annotated as that section or assigned from `config.training`.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from tests.architecture.sources import walk

Types = frozenset[str]
NOTHING: Types = frozenset()
Function = ast.FunctionDef | ast.AsyncFunctionDef


def unread_keys(root: type[BaseModel], tree_source: str, sources: Iterable[str]) -> list[str]:
    """Return the dotted keys below `root` that none of `sources` reads; `tree_source` is the code of the sections."""
    sections = dict(_sections(root))
    program = Program(sections)
    modules = [ast.parse(source) for source in sources]
    for _ in range(4):  # an attribute's type may hang on that of another one
        for module in modules:
            program.learn(module)
    reads = {read for module in modules for read in program.reads(module)}
    heirs = _heirs(root)
    called = {read for read in reads if read[1] not in sections[read[0]]}
    reads |= _read_by_methods(sections, heirs, tree_source, called)
    reads |= {(heir, field) for kind, field in reads for heir in heirs[kind]}
    return [name for name, where in _leaves(root) if where not in reads]


def _heirs(section: type[BaseModel]) -> defaultdict[str, set[str]]:
    """Return the subclasses of each section class: a read of the base is a read of the subclass."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for base in section.__mro__:
        found[base.__name__].add(section.__name__)
    for info in section.model_fields.values():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            for name, heirs in _heirs(info.annotation).items():
                found[name] |= heirs
    return found


def _sections(section: type[BaseModel]) -> Iterator[tuple[str, dict[str, Types]]]:
    """Return each section's class name with the section classes of its fields; a leaf has none."""
    fields: dict[str, Types] = {}
    for name, info in section.model_fields.items():
        kind = info.annotation
        is_section = isinstance(kind, type) and issubclass(kind, BaseModel)
        fields[name] = frozenset({kind.__name__}) if is_section else NOTHING
        if is_section:
            yield from _sections(kind)
    yield section.__name__, fields
    for base in section.__mro__[1:]:
        if issubclass(base, BaseModel) and base is not BaseModel:
            yield from _sections(base)


def _leaves(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, tuple[str, str]]]:
    """Return the dotted name of every leaf, with the class and field that hold it."""
    for name, info in section.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, (section.__name__, name)


def _read_by_methods(
    sections: dict[str, dict[str, Types]],
    heirs: Mapping[str, set[str]],
    tree_source: str,
    called: set[tuple[str, str]],
) -> set[tuple[str, str]]:
    """Return the fields that sections read in their own called methods; `model_dump()` reads all of them."""
    found: set[tuple[str, str]] = set()
    classes = [node for node in ast.parse(tree_source).body if isinstance(node, ast.ClassDef)]
    for cls in classes:
        for method in (node for node in cls.body if isinstance(node, Function)):
            names = {node.attr for node in walk(method) if isinstance(node, ast.Attribute)}
            for kind in {cls.name, *heirs.get(cls.name, ())}:
                if (kind, method.name) in called:
                    dumped = set(sections[kind]) if "model_dump" in names else set[str]()
                    found |= {(kind, name) for name in names | dumped}
    return found


@dataclass
class Program:
    """The known names of a program: attributes of its classes, and types that its functions return."""

    sections: dict[str, dict[str, Types]]
    attributes: defaultdict[str, defaultdict[str, Types]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(frozenset))
    )
    returns: defaultdict[str, Types] = field(default_factory=lambda: defaultdict(frozenset))
    found: dict[tuple[ast.AST, tuple[type, ...]], tuple[ast.AST, ...]] = field(default_factory=dict)

    def _within(self, node: ast.AST, *kinds: type) -> tuple[ast.AST, ...]:
        """Return the nodes of some kinds below a node, which is searched once."""
        key = (node, kinds)
        if key not in self.found:
            self.found[key] = tuple(inner for inner in walk(node) if isinstance(inner, kinds))
        return self.found[key]

    def learn(self, module: ast.Module) -> None:
        """Add the fields, attributes and return types of a module."""
        for node in self._within(module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef):
            if isinstance(node, ast.ClassDef):
                self._learn_class(node)
            elif isinstance(node, Function):
                self.returns[node.name] |= annotated(node.returns)

    def _learn_class(self, cls: ast.ClassDef) -> None:
        known = self.attributes[cls.name]
        for node in cls.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                known[node.target.id] |= annotated(node.annotation)
            elif isinstance(node, Function):
                if any(isinstance(d, ast.Name) and "property" in d.id for d in node.decorator_list):
                    known[node.name] |= annotated(node.returns)
                for target, types in self._assignments(node, self._names(node, cls.name, {})):
                    if isinstance(target, ast.Attribute) and _is_self(target.value):
                        known[target.attr] |= types

    def reads(self, module: ast.Module) -> Iterator[tuple[str, str]]:
        """Return every (section class, attribute) that the module reads."""
        yield from self._reads_in(module.body, "", {})

    def _reads_in(self, body: Iterable[ast.AST], cls: str, names: dict[str, Types]) -> Iterator[tuple[str, str]]:
        for node in body:
            if isinstance(node, ast.ClassDef):
                yield from self._reads_in(node.body, node.name, {})
            elif isinstance(node, Function | ast.Lambda):
                inner = self._names(node, cls, names)
                yield from self._reads_in(ast.iter_child_nodes(node), cls, inner)
            else:
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    yield from ((kind, node.attr) for kind in self.types(node.value, names) if kind in self.sections)
                yield from self._reads_in(ast.iter_child_nodes(node), cls, names)

    def _names(self, function: Function | ast.Lambda, cls: str, outer: dict[str, Types]) -> dict[str, Types]:
        """Return the types of the names in a function: its parameters, then its assignments."""
        arguments = function.args
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        names = {**outer, **{p.arg: annotated(p.annotation) for p in parameters}}
        if cls and "self" in names:
            names["self"] = frozenset({cls})
        for target, types in self._assignments(function, names):
            if isinstance(target, ast.Name):
                names[target.id] = names.get(target.id, NOTHING) | types
        return names

    def _assignments(
        self, function: Function | ast.Lambda, names: dict[str, Types]
    ) -> Iterator[tuple[ast.expr, Types]]:
        for node in self._within(function, ast.AnnAssign, ast.NamedExpr, ast.Assign):
            match node:
                case ast.AnnAssign(target=target, annotation=annotation):
                    yield target, annotated(annotation)
                case ast.NamedExpr(target=target, value=value):
                    yield target, self.types(value, names)
                case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                    yield from ((t, self.types(v, names)) for t, v in zip(targets, values, strict=False))
                case ast.Assign(targets=targets, value=value):
                    yield from ((target, self.types(value, names)) for target in targets)
                case _:
                    pass

    def types(self, node: ast.expr, names: dict[str, Types]) -> Types:
        """Return the class names that an expression may have, as far as they are known."""
        match node:
            case ast.Name(id=name):
                return names.get(name, NOTHING)
            case ast.Attribute(value=value, attr=attr):
                owners = self.types(value, names)
                return frozenset().union(*(self._attribute(owner, attr) for owner in owners))
            case ast.Call(func=ast.Name(id=name)):
                is_class = name in self.sections or name in self.attributes
                return frozenset({name}) if is_class else self.returns[name]
            case ast.Call(func=ast.Attribute(value=value, attr="model_copy")):
                return self.types(value, names)
            case ast.Call(func=ast.Attribute(attr=attr)):
                return self.returns[attr]
            case ast.IfExp(body=body, orelse=orelse):
                return self.types(body, names) | self.types(orelse, names)
            case ast.BoolOp(values=values):
                return frozenset().union(*(self.types(value, names) for value in values))
            case ast.NamedExpr(value=value):
                return self.types(value, names)
            case _:
                return NOTHING

    def _attribute(self, owner: str, attr: str) -> Types:
        if owner in self.sections:
            return self.sections[owner].get(attr, NOTHING)
        return self.attributes[owner][attr] if owner in self.attributes else NOTHING


def annotated(node: ast.expr | None) -> Types:
    """Return the class names in an annotation, including those of a union, but not the items of a container."""
    match node:
        case ast.Name(id=name):
            return frozenset({name})
        case ast.Attribute(attr=attr):
            return frozenset({attr})
        case ast.BinOp(left=left, right=right):
            return annotated(left) | annotated(right)
        case ast.Constant(value=str(text)):
            return annotated(ast.parse(text, mode="eval").body)
        case ast.Subscript(value=ast.Name(id="Optional" | "Final" | "ClassVar"), slice=inner):
            return annotated(inner)
        case _:
            return NOTHING


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"
