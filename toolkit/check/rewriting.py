"""A script with the edits that are safe to make, by libcst: formatting and comments stay as they are."""

from __future__ import annotations

import ast
import difflib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider

from toolkit.check import decoded, files, script
from toolkit.check.findings import Edit, What
from toolkit.check.table import for_target
from toolkit.model import CheckTarget

Comma = cst.Comma | cst.MaybeSentinel


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A script as it is and as it would be."""

    path: Path
    before: bytes
    after: bytes

    @property
    def diff(self) -> str:
        """The unified diff of the two."""
        one, other = (decoded(each).splitlines(keepends=True) for each in (self.before, self.after))
        lines = difflib.unified_diff(one, other, str(self.path), str(self.path))
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def rewrites(paths: Iterable[Path], target: CheckTarget) -> tuple[tuple[Rewrite, ...], tuple[Path, ...]]:
    """Return the scripts that change, and the notebooks, which are left as they are."""
    rows = for_target(target)
    changed: list[Rewrite] = []
    notebooks: list[Path] = []
    for file in files(paths):
        if file.suffix == ".ipynb":
            notebooks.append(file)
            continue
        before = file.read_bytes()
        try:
            edits = [each.edit for each in script(before, rows) if each.edit]
        except (SyntaxError, ValueError, RecursionError):
            continue
        after = rewritten(before, edits) if edits else before
        if after != before:
            changed.append(Rewrite(file, before, after))
    return tuple(changed), tuple(notebooks)


def rewritten(source: bytes, edits: Iterable[Edit]) -> bytes:
    """Return a script with edits made; as it is where it would no longer be Python."""
    wrapper = MetadataWrapper(cst.parse_module(source))
    changed = wrapper.visit(_Editor(list(dict.fromkeys(edits)))).bytes
    try:
        ast.parse(changed)
    except SyntaxError:
        return source
    return changed


def write(rewrite: Rewrite) -> None:
    """Put a script in its place, whole or not at all, with the mode that it has."""
    place = rewrite.path.resolve()  # a link stays one
    with tempfile.NamedTemporaryFile(dir=place.parent, prefix=f".{place.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(rewrite.after)
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(place.stat().st_mode & 0o7777)
            temporary.replace(place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


class _Editor(cst.CSTTransformer):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, edits: list[Edit]) -> None:
        super().__init__()
        self.edits = {(each.what, each.start, each.end): each for each in edits}

    def on(self, what: What, node: cst.CSTNode) -> Edit | None:
        where = self.get_metadata(PositionProvider, node)
        assert isinstance(where, CodeRange)
        start, end = (where.start.line, where.start.column), (where.end.line, where.end.column)
        return self.edits.get((what, start, end))

    def expression(self, old: cst.BaseExpression, new: cst.BaseExpression) -> cst.BaseExpression:
        edit = self.on("expression", old)
        if not edit:
            return new
        put = cst.parse_expression(edit.text)
        if isinstance(new, cst.Subscript) and isinstance(put, cst.Subscript):
            return new.with_changes(slice=put.slice)
        return put.with_changes(lpar=new.lpar, rpar=new.rpar)

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.BaseExpression:  # noqa: N802 libcst's name
        return self.expression(original_node, updated_node)

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:  # noqa: N802
        return self.expression(original_node, updated_node)

    def leave_Subscript(self, original_node: cst.Subscript, updated_node: cst.Subscript) -> cst.BaseExpression:  # noqa: N802
        return self.expression(original_node, updated_node)

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:  # noqa: N802
        arguments: list[cst.Arg] = []
        for old, new in zip(original_node.args, updated_node.args, strict=True):
            edit = self.on("keyword", old)
            if edit:
                arguments.append(new.with_changes(keyword=cst.Name(edit.text)))
            elif not self.on("argument", old) or _is_commented(new):  # a comment is not thrown away
                arguments.append(new)
        last = updated_node.args[-1] if updated_node.args else None
        if arguments and last and arguments[-1] is not last and len(arguments) < len(updated_node.args):
            # What comes after the last argument stays: a comma, a line's end, or nothing.
            arguments[-1] = arguments[-1].with_changes(
                comma=_closing(arguments[-1].comma, last.comma), whitespace_after_arg=last.whitespace_after_arg
            )
        return updated_node.with_changes(args=arguments)

    def leave_SimpleStatementLine(  # noqa: N802
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine | cst.FlattenSentinel[cst.BaseStatement]:
        parts: list[list[cst.BaseSmallStatement]] = []
        for old, new in zip(original_node.body, updated_node.body, strict=True):
            edit = self.on("import", old)
            parts.append(_imports(edit.text, new) if edit else [new])
        if all(len(each) == 1 for each in parts):
            return updated_node.with_changes(body=[each[0] for each in parts])
        if len(parts) > 1:
            return updated_node  # several statements on one line, of which one would be two
        first, *rest = parts[0]
        lines = [cst.SimpleStatementLine([each]) for each in rest]
        last = lines[-1].with_changes(trailing_whitespace=updated_node.trailing_whitespace)
        head = updated_node.with_changes(body=[first], trailing_whitespace=cst.TrailingWhitespace())
        return cst.FlattenSentinel([head, *lines[:-1], last])


def _imports(text: str, node: cst.BaseSmallStatement) -> list[cst.BaseSmallStatement]:
    """Return the statements that a text is, with the names, comments and line breaks of what they stand for."""
    made: list[cst.BaseSmallStatement] = []
    for line in text.split("\n"):
        statement = cst.parse_statement(line)
        assert isinstance(statement, cst.SimpleStatementLine)
        made += statement.body
    only = made[0] if len(made) == 1 else None
    if isinstance(only, cst.ImportFrom) and isinstance(node, cst.ImportFrom) and _names(only) == _names(node):
        return [node.with_changes(module=only.module)]
    return [node] if _is_commented(node) else made


def _names(node: cst.ImportFrom) -> list[tuple[str, str | None]] | None:
    if isinstance(node.names, cst.ImportStar):
        return []
    return [(each.evaluated_name, each.evaluated_alias) for each in node.names]


def _closing(comma: Comma, last: Comma) -> Comma:
    """Return the comma after what becomes the last argument: that of the last one, with the comment that stands there."""
    if not (isinstance(comma, cst.Comma) and _is_commented(comma)):
        return last
    space, after = comma.whitespace_after, last.whitespace_after if isinstance(last, cst.Comma) else None
    if isinstance(space, cst.ParenthesizedWhitespace) and isinstance(after, cst.ParenthesizedWhitespace):
        return comma.with_changes(whitespace_after=after.with_changes(first_line=space.first_line))
    return comma


def _is_commented(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Comment) or any(_is_commented(child) for child in node.children)
