"""A script's syntax tree -> what is found in it: names are followed from where they are bound to where they are used."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Iterable, Sequence

from toolkit.check import findings as place
from toolkit.check import syntax
from toolkit.check.findings import Found, Text
from toolkit.check.scopes import LOCAL, UNKNOWN, Meaning, Scope, either
from toolkit.check.table import Argument, Hit, Table

# The parts of a script that run on some versions alone: what is found there is no fault of the script.
VERSION = frozenset({"__version__", "VERSION", "version", "version_info"})
GUARD = re.compile("|".join([*VERSION, "hasattr", "TYPE_CHECKING"]))
DEEPEST = 100_000  # frames: a sum of a thousand terms is a thousand expressions deep


def read(tree: ast.Module, text: Text, table: Table) -> list[Found]:
    """Return what is found in a script, in the order of its lines.

    It is read twice: functions use names that are bound after them, which the first reading collects.
    """
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, DEEPEST))
    try:
        first = Reader(tree, text, table)
        first.block(tree.body)
        second = Reader(tree, text, table, first)
        second.block(tree.body)
    finally:
        sys.setrecursionlimit(limit)
    return sorted(dict.fromkeys(second.found), key=lambda each: (each.finding.line, each.finding.column))


class Reader:
    """One reading. It walks statements in their order, branches apart, and evaluates expressions to meanings."""

    def __init__(self, tree: ast.Module, text: Text, table: Table, before: Reader | None = None) -> None:
        self.text, self.table = text, table
        self.found: list[Found] = []
        self.scope = Scope()
        self.outer = before.scope.names if before else {}  # the module's names at its end
        self.members: dict[tuple[str, str], Meaning] = before.members if before else {}  # of classes: self.model
        self.class_name = ""
        self.returned: list[Meaning] = []
        self.importing: dict[tuple[str, str], ast.Import | ast.ImportFrom] = {}  # (name, module) -> its one import
        self.patched: set[str] = set()  # names of TensorFlow that the script itself sets
        self.quiet = 0
        self.guarded: bool = before.guarded if before else any(GUARD.search(line) for line in text.lines)
        nodes = [] if before else list(ast.walk(tree))
        self.methods: frozenset[str] = before.methods if before else syntax.methods_of(nodes, derived=False)
        self.overridden: frozenset[str] = before.overridden if before else syntax.methods_of(nodes, derived=True)
        self.submodules: tuple[str, ...] = before.submodules if before else syntax.submodules_of(nodes)
        self.compiled: frozenset[str] = before.compiled if before else syntax.metrics_of(nodes)

    # --- statements ------------------------------------------------------------------------------------------------

    def block(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:  # noqa: PLR0912, PLR0915 a case for each kind of statement
        match node:
            case ast.Import():
                self.import_(node)
            case ast.ImportFrom():
                self.import_from(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.function(node)
            case ast.ClassDef():
                self.class_(node)
            case ast.Assign(targets=targets, value=value):
                meaning = self.value(value)
                if self.is_guard(value):
                    meaning = ("$version",)
                for target in targets:
                    self.bind(target, meaning, value)
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                self.value(annotation)
                self.bind(target, self.value(value) if value else UNKNOWN, value)
            case ast.AugAssign(target=target, value=value):
                self.value(value)
                self.bind(target, UNKNOWN)
            case ast.If(test=test, body=body, orelse=orelse):
                self.value(test)
                guarded = self.is_guard(test)
                self.quiet += guarded
                self.branches(body, orelse)
                self.quiet -= guarded
            case (
                ast.For(target=target, iter=iter_, body=body, orelse=orelse)
                | ast.AsyncFor(target=target, iter=iter_, body=body, orelse=orelse)
            ):
                self.value(iter_)
                self.bind(target, UNKNOWN)
                self.branches(body, [])
                self.block(orelse)
            case ast.While(test=test, body=body, orelse=orelse):
                self.value(test)
                self.branches(body, [])
                self.block(orelse)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                for item in items:
                    meaning = self.value(item.context_expr)
                    if item.optional_vars:
                        self.bind(item.optional_vars, meaning)
                self.block(body)
            case ast.Try() | ast.TryStar():
                self.try_(node)
            case ast.Return(value=value):
                if value and not (isinstance(value, ast.Constant) and value.value is None):
                    self.returned.append(self.value(value))
            case ast.Global(names=names):
                self.scope.globals |= set(names)
            case ast.Delete(targets=targets):
                for target in targets:
                    self.bind(target, UNKNOWN)
            case ast.Match(subject=subject, cases=cases):
                self.value(subject)
                for case in cases:
                    for each in ast.walk(case.pattern):
                        if isinstance(each, ast.MatchAs | ast.MatchStar) and each.name:
                            self.scope.bind(each.name, UNKNOWN)
                    self.branches(case.body, [])
            case _:
                self.children(node)

    def branches(self, body: Sequence[ast.stmt], other: Sequence[ast.stmt]) -> None:
        """Read two branches of which one runs; afterwards a name stands for what either gave it."""
        before = dict(self.scope.names)
        self.block(body)
        after = self.scope.names
        self.scope.names = before
        self.block(other)
        if syntax.ends(body):
            return
        self.scope.names = after if syntax.ends(other) else either(after, self.scope.names)

    def try_(self, node: ast.Try | ast.TryStar) -> None:
        """Read a try: of a body and its handlers only what runs is accused, where one of them works."""
        before, start = dict(self.scope.names), len(self.found)
        self.block(node.body)
        body, self.found = self.found[start:], self.found[:start]
        raising = [each for each in body if each.finding.raises]
        self.block(node.orelse)
        after = self.scope.names
        works: Scope | None = None
        fallen: list[Found] = []
        for handler in node.handlers:
            caught = syntax.caught_by(handler)
            self.scope.names = dict(before)
            if handler.type:
                self.value(handler.type)
            if handler.name:
                self.scope.bind(handler.name, UNKNOWN)
            begin = len(self.found)
            self.block(handler.body)
            inside, self.found = self.found[begin:], self.found[:begin]
            catches = caught is None or any(caught & each.errors for each in raising)
            if (
                raising
                and catches
                and not any(each.finding.raises for each in inside)
                and not syntax.gives_up(handler.body)
            ):
                works = works or Scope(self.scope.names)
            elif raising or not syntax.imports(node.body):
                fallen += inside
            if not raising and not syntax.ends(handler.body) and not syntax.imports(node.body):
                after = either(after, self.scope.names)
        if raising and works:
            self.scope.names = works.names
        else:
            self.found += body + fallen
            self.scope.names = after
        self.block(node.finalbody)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for each in [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults]:
            if each:
                self.value(each)
        inside = Scope(above=self.scope)
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        for argument in [*arguments, node.args.vararg, node.args.kwarg]:
            if argument:
                made = self.made(self.value(argument.annotation)) if argument.annotation else UNKNOWN
                inside.names[argument.arg] = made
        static = any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in node.decorator_list)
        if self.scope.is_class and arguments and not static:
            inside.names[arguments[0].arg] = self.scope.find("$self") or LOCAL
        if node.returns:
            self.value(node.returns)
        returned, self.returned = self.returned, []
        outside, self.scope = self.scope, inside
        self.block(node.body)
        self.scope, mine, self.returned = outside, self.returned, returned
        same = mine[0] if mine and all(each == mine[0] for each in mine) else UNKNOWN
        self.scope.bind(node.name, tuple(f"={each}" for each in same) or LOCAL)

    def class_(self, node: ast.ClassDef) -> None:
        kinds = [kind for base in node.bases for kind in self.made(self.value(base))]
        for keyword in node.keywords:
            self.value(keyword.value)
        for each in node.decorator_list:
            self.value(each)
        kind = kinds[0] if kinds else "$local" if node.bases == [] or not self.is_imported(node.bases) else ""
        inside = Scope(above=self.scope, is_class=True)
        inside.names["$self"] = (kind,) if kind else UNKNOWN
        outside, self.scope = self.scope, inside
        name, self.class_name = self.class_name, node.name
        self.block(node.body)
        self.scope, self.class_name = outside, name
        self.scope.bind(node.name, (f"={kind}",) if kind else UNKNOWN)

    def bind(self, target: ast.expr, meaning: Meaning, value: ast.expr | None = None) -> None:
        match target:
            case ast.Name(id=name):
                text = place.literal(value)
                self.scope.bind(name, (f"$'{text}",) if text is not None else meaning)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                values: Sequence[ast.expr | None] = (
                    value.elts
                    if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(targets)
                    else [None] * len(targets)
                )
                for each, part in zip(targets, values, strict=True):
                    self.bind(each, self.meaning(part) if part else UNKNOWN, part)
            case ast.Starred(value=inner):
                self.bind(inner, UNKNOWN)
            case ast.Attribute(value=ast.Name(id=owner), attr=attribute):
                for base in self.lookup(owner):
                    self.patched.add(f"{base}.{attribute}")
                none = isinstance(value, ast.Constant) and value.value is None
                if self.class_name and not none:
                    key = (self.class_name, attribute)
                    known = self.members.get(key, meaning)
                    self.members[key] = meaning if known == meaning else UNKNOWN
            case ast.Attribute():
                self.patched |= set(self.meaning(target))
            case ast.Subscript(value=holder, slice=ast.Constant(value=str(key))):
                if self.value(holder) == ("os.environ",):
                    self.setting(target, key, value)
            case _:
                self.children(target)

    # --- imports ---------------------------------------------------------------------------------------------------

    def import_(self, node: ast.Import) -> None:
        for alias in node.names:
            hit = self.table.find(alias.name, imported=True)
            if not hit:
                bound = alias.asname or alias.name.partition(".")[0]
                self.scope.bind(bound, (_bound(alias),))
                if len(node.names) == 1:
                    self.importing[bound, alias.name] = node
                continue
            rest = ".".join(alias.name.split(".")[hit.parts :])
            new = _joined(hit.home if alias.asname else hit.new, rest)
            text = f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else "")
            mended = None
            if new:
                mended = place.statement(new, alias.asname) if alias.asname else f"import {new}"
            edit = None
            if mended and hit.row.safe and len(node.names) == 1 and alias.asname:
                edit = place.edit(self.text, "import", node, mended)
            where = node if len(node.names) == 1 else alias
            self.accuse(where, text, mended, hit, place.IMPORT, edit)
            if alias.asname:
                self.scope.bind(alias.asname, (new,) if new else (f"!{alias.name}",))
            else:
                self.scope.bind(alias.name.partition(".")[0], (alias.name.partition(".")[0],))

    def import_from(self, node: ast.ImportFrom) -> None:
        if node.level or not node.module:
            for alias in node.names:
                if alias.name != "*":
                    self.scope.bind(alias.asname or alias.name, LOCAL)
            return
        gone = self.table.find(node.module, imported=True)
        hits = {alias: self.table.find(f"{node.module}.{alias.name}", imported=True) for alias in node.names}
        homes: list[tuple[str, str]] = []
        lost: list[ast.alias] = []
        first: Hit | None = None
        for alias, hit in hits.items():
            bound = alias.asname or alias.name
            name = f"{node.module}.{alias.name}"
            if alias.name == "*":
                self.star(node, gone)
            elif not hit:
                self.scope.bind(bound, (name,))
                homes.append((name, bound))
                if len(node.names) == 1:
                    self.importing[bound, name] = node
            else:
                home = _joined(hit.home, ".".join(name.split(".")[hit.parts :]))
                first = first or (hit if home else None)
                if home:
                    homes.append((home, bound))
                else:
                    lost.append(alias)
                self.scope.bind(bound, (home,) if home else (f"!{name}",))
        accused = [alias for alias, hit in hits.items() if hit and alias.name != "*"]
        whole = "\n".join(place.statements(homes))
        safe = not lost and all(hits[alias].row.safe for alias in accused)  # type: ignore[union-attr]
        edit = place.edit(self.text, "import", node, whole) if safe and accused else None
        if gone and first:
            self.accuse(node, self.text.of(node), whole.replace("\n", "; "), first, place.IMPORT, edit)
        for alias in lost if gone and first else accused:
            hit = hits[alias]
            assert hit
            name, bound = f"{node.module}.{alias.name}", alias.asname or alias.name
            home = _joined(hit.home, ".".join(name.split(".")[hit.parts :]))
            where = node if len(node.names) == 1 else alias
            new = place.statement(home, bound) if home else None
            self.accuse(where, place.statement(name, bound), new, hit, place.IMPORT, edit)

    def star(self, node: ast.ImportFrom, gone: Hit | None) -> None:
        """Bind what `from module import *` gives: by name what the table lists of a module, else as it is used."""
        assert node.module
        home = node.module
        if gone:
            new = _joined(gone.home, ".".join(node.module.split(".")[gone.parts :]))
            text = f"from {new} import *" if new else None
            edit = place.edit(self.text, "import", node, text) if text and gone.row.safe else None
            self.accuse(node, self.text.of(node), text, gone, place.IMPORT, edit)
            home = new or f"!{node.module}"
        if node.module.partition(".")[0] not in ("keras", "tensorflow"):
            home = ""
        for name in self.table.exports.get(home, ()):
            self.scope.bind(name, (f"{home}.{name}",))
        if home:
            self.scope.module.stars.append(home)

    # --- expressions -----------------------------------------------------------------------------------------------

    def value(self, node: ast.expr) -> Meaning:  # noqa: PLR0911, PLR0912 a case for each kind of expression
        """Return what an expression stands for, and accuse what is in it."""
        match node:
            case ast.Constant():
                return UNKNOWN
            case ast.Name():
                return self.name(node)
            case ast.Attribute():
                return self.attribute(node)
            case ast.Call():
                return self.call(node)
            case ast.NamedExpr(target=target, value=value):
                meaning = self.value(value)
                self.bind(target, meaning)
                return meaning
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.value(test)
                guarded = self.is_guard(test)
                self.quiet += guarded
                one, other = self.value(body), self.value(orelse)
                self.quiet -= guarded
                return tuple(dict.fromkeys(one + other)) if one and other else UNKNOWN
            case ast.Await(value=value) | ast.Starred(value=value):
                return self.value(value)
            case ast.Lambda(args=arguments, body=body):
                for default in [*arguments.defaults, *arguments.kw_defaults]:
                    if default:
                        self.value(default)
                names = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
                bound = [each.arg for each in [*names, arguments.vararg, arguments.kwarg] if each]
                self.within(bound, [body])
                return LOCAL
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                bound = [
                    each.id for loop in node.generators for each in ast.walk(loop.target) if isinstance(each, ast.Name)
                ]
                for loop in node.generators[:1]:
                    self.value(loop.iter)
                rest = [loop.iter for loop in node.generators[1:]] + [
                    test for loop in node.generators for test in loop.ifs
                ]
                parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
                self.within(bound, [*rest, *parts])
                return LOCAL
            case ast.Subscript(value=holder, slice=key):
                self.key(node, self.value(holder), key)
                self.value(key)
                return UNKNOWN
            case ast.Dict() | ast.List() | ast.Set() | ast.Tuple():
                self.children(node)
                return LOCAL
        self.children(node)
        return UNKNOWN

    def meaning(self, node: ast.expr) -> Meaning:
        """Return what an expression stands for, and accuse nothing."""
        kept = list(self.found)
        meaning = self.value(node)
        self.found = kept
        return meaning

    def children(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child)
            elif isinstance(child, ast.stmt):
                self.statement(child)
            else:
                self.children(child)

    def within(self, names: Iterable[str], parts: Iterable[ast.expr]) -> None:
        outside, self.scope = self.scope, Scope(dict.fromkeys(names, UNKNOWN), above=self.scope)
        for part in parts:
            self.value(part)
        self.scope = outside

    def name(self, node: ast.Name) -> Meaning:
        """Return what a name stands for, and accuse it where `import *` of a module was to give it and does not."""
        known = self.lookup(node.id)
        if known or self.is_bound(node.id):
            return known
        for module in reversed(self.scope.module.stars):
            name = f"{module}.{node.id}"
            hit = self.table.find(name)
            if hit and module[0] != "!":
                new, bound = place.spelled(hit.new, self.scope.modules(self.outer)) if hit.new else (None, False)
                edit = place.edit(self.text, "expression", node, new) if new and bound and hit.row.safe else None
                self.accuse(node, node.id, new, hit, place.NAME, edit)
                return (hit.new,) if hit.new else (f"!{name}",)
            if self.table.takes(name):
                return (name,)
        return UNKNOWN

    def is_bound(self, name: str) -> bool:
        return self.scope.find(name) is not None or name in self.outer or hasattr(builtins, name)

    def lookup(self, name: str) -> Meaning:
        scope: Scope | None = self.scope
        if self.outer and self.scope.above and name in self.outer:  # what a function finds when it is called
            while scope and scope.above:
                if name in scope.names and (scope is self.scope or not scope.is_class):
                    return scope.names[name]
                scope = scope.above
            return self.outer[name]
        return self.scope.find(name) or UNKNOWN

    def attribute(self, node: ast.Attribute) -> Meaning:
        """Follow a chain of attributes from what it begins with, and accuse the part of it that a row is about."""
        chain: list[ast.Attribute] = [node]
        while isinstance(chain[-1].value, ast.Attribute):
            chain.append(chain[-1].value)
        chain.reverse()
        root = chain[0].value
        known = self.value(root)
        if isinstance(root, ast.Name) and root.id in ("self", "cls") and self.class_name:
            member = self.members.get((self.class_name, chain[0].attr))
            if member and chain[1:]:
                return self.along(chain[1:], member, chain[0])
            if member:
                return member
            if chain[1:] and "@Model" not in known:
                self.distinctive(chain, root)
                return UNKNOWN
        return self.along(chain, known, root)

    def along(self, chain: list[ast.Attribute], known: Meaning, root: ast.expr) -> Meaning:
        if not known:
            self.distinctive(chain, root)
            return UNKNOWN
        results: list[str] = []
        accused: list[tuple[Hit, int, str]] = []
        for base in known:
            if base[0] in "=$":
                continue
            name = ".".join([base, *(each.attr for each in chain)])
            name = self.typed(name)
            extra = name.count(".") - len(chain)
            hit = self.table.find(name)
            if hit and self.excused(hit, name, base):
                hit = None
            if not hit:
                results.append(name)
                continue
            accused.append((hit, hit.parts - 1 - extra - 1, base))
            rest = ".".join(name.split(".")[hit.parts :])
            results.append(_joined(hit.new, rest) or f"!{name}")
        if accused and len(accused) == len(known):
            hit, index, base = accused[0]
            if 0 <= index < len(chain):
                self.accuse_attribute(chain[index], hit, base, root, chain)
        return tuple(results) if len(results) == len(known) else UNKNOWN

    def typed(self, name: str) -> str:
        """Return a name with what is known of a model's own attributes. Sample: @Model.optimizer.lr -> @Optimizer.lr."""
        for attribute, kind in self.table.attributes.items():
            if name == attribute or name.startswith(attribute + "."):
                return kind + name.removeprefix(attribute)
        return name

    def excused(self, hit: Hit, name: str, base: str) -> bool:
        """Return whether a name is there all the same: set by the script, or by an import of what is below it."""
        if base[0] == "!" or any(name == each or name.startswith(each + ".") for each in self.patched):
            return True
        if hit.row.attribute and any(each.startswith(hit.row.old) for each in self.submodules):
            return True
        return name[0] == "@" and name.split(".")[1] in self.overridden

    def accuse_attribute(
        self, node: ast.Attribute, hit: Hit, base: str, root: ast.expr, chain: list[ast.Attribute]
    ) -> None:
        if hit.new is None:
            self.accuse(node, self.text.of(node), None, hit, place.ATTRIBUTE)
            return
        if hit.new[0] == "@":
            holder = node.value
            new, bound = f"{self.text.of(holder)}.{hit.new.partition('.')[2]}", True
        else:
            # By the name that is there already, where that will do.
            mine = {root.id: base} if isinstance(root, ast.Name) else {}
            new, bound = place.spelled(hit.new, mine)
            if not bound:
                new, bound = place.spelled(hit.new, self.scope.modules(self.outer))
        safe = bound and hit.row.safe and hit.row.positional is None
        edit = place.edit(self.text, "expression", node, new) if safe else None
        if hit.row.whole and isinstance(root, ast.Name):  # the import of it all instead of each use
            statement = self.importing.get((root.id, base))
            if statement and hit.new.startswith(f"tensorflow.{base}."):
                edit = place.edit(self.text, "import", statement, place.statement(f"tensorflow.{base}", root.id))
        self.accuse(node, self.text.of(node), new, hit, place.ATTRIBUTE, edit)

    def distinctive(self, chain: list[ast.Attribute], root: ast.expr) -> None:
        """Accuse a method that few but Keras have, of something whose name says that it is a model."""
        last = chain[-1]
        holder = last.value
        called = holder.attr if isinstance(holder, ast.Attribute) else holder.id if isinstance(holder, ast.Name) else ""
        if not called or last.attr in self.methods or not self.uses_keras():
            return
        for kind in self.table.types:
            hit = self.table.find(f"{kind}.{last.attr}")
            if hit and hit.row.receiver and hit.row.receiver.search(called):
                self.accuse_attribute(last, hit, kind, root, chain)
                return

    def uses_keras(self) -> bool:
        names = self.outer or self.scope.module.names
        return any(each.partition(".")[0] in ("keras", "tensorflow") for meaning in names.values() for each in meaning)

    def call(self, node: ast.Call) -> Meaning:
        before = len(self.found)
        function = self.value(node.func)
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            self.value(argument)
        names = [each.removeprefix("!") for each in function]
        if names and not any(each[0] in "=$" for each in names):
            rows = [self.table.takes(each) for each in names]
            for row in rows[0]:
                if all(row in others for others in rows):
                    self.argument(node, row)
        self.renamed_call(node, function, before)
        return self.made(tuple(names))

    def renamed_call(self, node: ast.Call, known: Meaning, before: int) -> None:
        """Give the edit of a method whose arguments may have another order, where those of this call have not."""
        if not (known and isinstance(node.func, ast.Attribute)):
            return
        start, end = self.text.start(node.func), self.text.end(node.func)
        for number, each in enumerate(self.found[before:], before):
            hit = self.table.find(f"@Model.{node.func.attr}")
            where = (each.finding.line, each.finding.column - 1)
            if hit and hit.row.positional and where == start and each.edit is None and each.finding.new:
                if len(node.args) > hit.row.positional or any(isinstance(one, ast.Starred) for one in node.args):
                    continue
                edit = place.Edit("expression", start, end, each.finding.new)
                self.found[number] = Found(each.finding, each.errors, edit)

    def argument(self, node: ast.Call, row: Argument) -> None:
        given = {keyword.arg: keyword for keyword in node.keywords if keyword.arg}
        if (
            row.unless_argument in given
            or (row.with_argument and not syntax.is_true(given.get(row.with_argument)))
            or (row.unless_said and any(row.unless_said in line for line in self.text.lines))
            or (row.compiled and not self.is_compiled(row.compiled))
        ):
            return
        keyword = given.get(row.argument) if row.keyword else None
        by_place = row.position is not None and len(node.args) > row.position
        if not keyword and not by_place:
            return
        value = keyword.value if keyword else node.args[row.position or 0]
        where: ast.keyword | ast.expr = keyword or value
        if row.value:
            for part, text in self.texts(value):
                if row.value.fullmatch(text):
                    new = place.changed(row, text)
                    said = self.text.of(part) if isinstance(part, ast.Name) else repr(text)
                    shown = f"{row.argument}={said}" if keyword and part is value else said
                    mended = new and (f"{row.argument}={new!r}" if keyword and part is value else repr(new))
                    mended = row.shown or mended
                    self.accuse_argument(where if part is value else part, shown, mended, row, node, keyword)
            return
        if row.computed and self.texts(value):
            return
        if not keyword:
            if all(isinstance(each, ast.Constant) and isinstance(each.value, int) for each in node.args[:3]):
                rows, columns = (self.text.of(each) for each in node.args[1:3])
                self.accuse_argument(node.args[1], f"{rows}, {columns}", f"({rows}, {columns})", row, node, None)
            return
        shown = self.text.of(keyword)
        given_value = self.text.of(keyword.value)
        mended = f"{row.new}={given_value}" if row.new else row.shown and row.shown.format(value=given_value)
        if row.new in given:
            mended = None
        self.accuse_argument(where, shown, mended, row, node, keyword)

    def texts(self, node: ast.expr) -> list[tuple[ast.expr, str]]:
        """Return the texts of an argument with the nodes of them: one, which a name may stand for, or those of a list."""
        if isinstance(node, ast.Name):
            known = self.lookup(node.id)
            return [(node, known[0][2:])] if len(known) == 1 and known[0].startswith("$'") else []
        nodes = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
        return [(each, value) for each in nodes if (value := place.literal(each)) is not None]

    def accuse_argument(
        self,
        where: ast.keyword | ast.expr,
        old: str,
        new: str | None,
        row: Argument,
        node: ast.Call,
        keyword: ast.keyword | None,
    ) -> None:
        edit = None
        if row.safe and keyword and where is keyword:
            start, end = self.text.start(keyword), self.text.end(keyword)
            if row.new and new:
                edit = place.Edit("keyword", start, end, row.new)
            elif not row.new and not row.value_new:
                edit = place.Edit("argument", start, end, "")
        if self.quiet:
            return
        self.found.append(place.found(self.text, where, old, new, row.kind, row.raises, row.why, place.ARGUMENT, edit))

    def key(self, node: ast.Subscript, holder: Meaning, key: ast.expr) -> None:
        if self.quiet or not isinstance(key, ast.Constant):
            return
        for row in self.table.keys:
            if row.key == key.value and holder == (row.of,) and self.is_compiled(row.compiled):
                old = self.text.of(node)
                new = f"{self.text.of(node.value)}[{row.new!r}]"
                edit = place.edit(self.text, "expression", node, new)
                self.found.append(place.found(self.text, node, old, new, "renamed", True, row.why, place.KEY, edit))

    def is_compiled(self, metric: str) -> bool:
        """Return whether this metric is all that the script's models are compiled with, of those that read alike."""
        return metric in self.compiled and not self.compiled & {"acc", "?"}

    def setting(self, target: ast.Subscript, key: str, value: ast.expr | None) -> None:
        text = place.literal(value)
        for row in self.table.settings:
            if not self.quiet and row.name == key and text is not None and row.value.fullmatch(text):
                old = f"{self.text.of(target)} = {text!r}"
                self.found.append(place.found(self.text, target, old, None, "removed", True, row.why, place.IMPORT))

    def made(self, meaning: Meaning) -> Meaning:
        """Return what a call of something gives."""
        kinds = [each[1:] if each[0] == "=" else self.table.result(each) for each in meaning]
        return tuple(kind for kind in kinds if kind) if all(kinds) else UNKNOWN

    def is_imported(self, bases: Sequence[ast.expr]) -> bool:
        return any(each and each[0][0] not in "=$" for base in bases if (each := self.meaning(base)))

    def is_guard(self, test: ast.expr) -> bool:
        """Return whether a test is about the version or about what is there."""
        for node in ast.walk(test) if self.guarded else ():
            match node:
                case ast.Attribute(attr=name) if name in VERSION:
                    return True
                case ast.Name(id="hasattr" | "TYPE_CHECKING"):
                    return True
                case ast.Name(id=name) if self.lookup(name) == ("$version",):
                    return True
        return False

    def accuse(
        self,
        node: ast.expr | ast.stmt | ast.alias,
        old: str,
        new: str | None,
        hit: Hit,
        errors: frozenset[str],
        edit: place.Edit | None = None,
    ) -> None:
        if not self.quiet:
            row = hit.row
            self.found.append(place.found(self.text, node, old, new, hit.kind, row.raises, row.why, errors, edit))


def _joined(place_: str | None, rest: str) -> str | None:
    return f"{place_}.{rest}" if place_ and rest else place_


def _bound(alias: ast.alias) -> str:
    """Return what `import a.b.c` binds: a, or with a name for it all of it."""
    return alias.name if alias.asname else alias.name.partition(".")[0]
