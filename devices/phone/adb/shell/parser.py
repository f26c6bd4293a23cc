"""A line of shell text as a tree of commands.

The subset of mksh that automation sends to phones: quoting, variables, `$(…)`, pipes, `;`, `&`, `&&`,
`||`, `!`, redirections, groups, subshells, `if`, `for` and `while`. Not covered: functions, arrays,
arithmetic, here-documents, `case`, job control.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from devices.phone.adb.shell.tree import (
    For,
    Group,
    If,
    Item,
    Literal,
    Node,
    Pipeline,
    Redirect,
    Script,
    Simple,
    Substitution,
    Variable,
    While,
    Word,
)
from gui_agent.errors import DataError


class ShellSyntaxError(DataError):
    """The text is no command line; the message is the shell's own."""


_OPERATORS: Final = (
    "&&", "||", ";;", "&>", ">>", ">&", "<&", ">|", "<<", ";", "&", "|", "<", ">", "(", ")", "\n",
)  # fmt: skip
_REDIRECTIONS: Final = frozenset({">", ">>", "<", ">&", "<&", "&>", ">|"})
_RESERVED: Final = frozenset(
    {"then", "do", "done", "fi", "else", "elif", "}", "if", "for", "while", "until", "{", "!", "in"}
)
_NAME_START: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NAME: Final = _NAME_START | frozenset("0123456789")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "a": "\a", "e": "\033"}
_MAX_NESTING: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    """A word, an operator, or the end (operator "")."""

    operator: str | None = None
    word: Word = ()
    descriptor: int | None = None

    @property
    def plain(self) -> str:
        """The word if it is one unquoted literal, else ""."""
        if len(self.word) == 1 and isinstance(self.word[0], Literal) and not self.word[0].quoted:
            return self.word[0].text
        return ""


def parse(text: str) -> Script:
    """Read a script.

    Raises:
        ShellSyntaxError: it has no meaning, or uses what this shell has not.
    """
    return _Parser(text).whole()


class _Lexer:
    """Characters to tokens, one at a time."""

    def __init__(self, text: str, nesting: int) -> None:
        if nesting > _MAX_NESTING:
            raise ShellSyntaxError("syntax error: nested too deeply")
        self.text = text
        self.at = 0
        self.nesting = nesting

    def token(self) -> _Token:
        self._skip_blanks()
        if self.at >= len(self.text):
            return _Token(operator="")
        descriptor = self._descriptor()
        for operator in _OPERATORS:
            if self.text.startswith(operator, self.at):
                if operator == "<<":
                    raise ShellSyntaxError("syntax error: here documents are not supported")
                self.at += len(operator)
                return _Token(operator=operator, descriptor=descriptor)
        return _Token(word=self._word())

    def _skip_blanks(self) -> None:
        while self.at < len(self.text):
            if self.text[self.at] in " \t\r":
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            elif self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return

    def _descriptor(self) -> int | None:
        """A digit directly in front of a redirection belongs to it."""
        if self.text[self.at].isdecimal() and self.text[self.at + 1 : self.at + 2] in ("<", ">"):
            self.at += 1
            return int(self.text[self.at - 1])
        return None

    def _word(self) -> Word:
        parts: list[Literal | Variable | Substitution] = []
        plain = ""
        while self.at < len(self.text) and self.text[self.at] not in " \t\r\n;&|<>()":
            character = self.text[self.at]
            if character not in "\\'\"$`":
                plain += character
                self.at += 1
                continue
            if plain:
                parts.append(Literal(text=plain, quoted=False))
                plain = ""
            parts += self._special(character)
        if plain:
            parts.append(Literal(text=plain, quoted=False))
        return tuple(parts)

    def _special(self, character: str) -> list[Literal | Variable | Substitution]:
        if character == "\\":
            self.at += 2
            return [Literal(text=self.text[self.at - 1 : self.at], quoted=True)]
        if character == "'":
            return [Literal(text=self._until("'", self.at + 1), quoted=True)]
        if character == '"':
            return self._double_quoted()
        if self.text.startswith("$'", self.at):
            return [Literal(text=self._escaped(), quoted=True)]
        return [self._expansion(quoted=False)]

    def _until(self, end: str, start: int) -> str:
        found = self.text.find(end, start)
        if found < 0:
            raise ShellSyntaxError("no closing quote")
        self.at = found + len(end)
        return self.text[start:found]

    def _escaped(self) -> str:
        self.at += 2
        letters = ""
        while self.at < len(self.text):
            character = self.text[self.at]
            self.at += 1
            if character == "'":
                return letters
            if character == "\\" and self.at < len(self.text):
                letters += _ESCAPES.get(self.text[self.at], "\\" + self.text[self.at])
                self.at += 1
            else:
                letters += character
        raise ShellSyntaxError("no closing quote")

    def _double_quoted(self) -> list[Literal | Variable | Substitution]:
        self.at += 1
        parts: list[Literal | Variable | Substitution] = []
        letters = ""
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == '"':
                self.at += 1
                return [*parts, Literal(text=letters, quoted=True)]
            if character == "\\" and self.text[self.at + 1 : self.at + 2] in ("$", "`", '"', "\\", "\n"):
                letters += "" if self.text[self.at + 1] == "\n" else self.text[self.at + 1]
                self.at += 2
            elif character in "$`":
                parts += [Literal(text=letters, quoted=True), self._expansion(quoted=True)]
                letters = ""
            else:
                letters += character
                self.at += 1
        raise ShellSyntaxError("no closing quote")

    def _expansion(self, *, quoted: bool) -> Literal | Variable | Substitution:
        if self.text[self.at] == "`":
            script = _Parser(self._until("`", self.at + 1), self.nesting + 1).whole()
            return Substitution(script=script, quoted=quoted)
        if self.text.startswith("$((", self.at):
            raise ShellSyntaxError("syntax error: arithmetic is not supported")
        if self.text.startswith("$(", self.at):
            return self._substitution(quoted=quoted)
        if self.text.startswith("${", self.at):
            name, colon, default = self._until("}", self.at + 2).partition(":-")
            return Variable(name=name, quoted=quoted, default=default if colon else None)
        following = self.text[self.at + 1 : self.at + 2]
        if following and following in "?$#@*0123456789!":
            self.at += 2
            return Variable(name=following, quoted=quoted)
        end = self.at + 1
        while end < len(self.text) and self.text[end] in _NAME:
            end += 1
        name, self.at = self.text[self.at + 1 : end], end
        return Variable(name=name, quoted=quoted) if name else Literal(text="$", quoted=True)

    def _substitution(self, *, quoted: bool) -> Substitution:
        inner = _Parser(self.text, self.nesting + 1, start=self.at + 2)
        script = inner.script(stop=(")",))
        self.at = inner.end_of(")")
        return Substitution(script=script, quoted=quoted)


class _Parser:
    """Tokens to a tree, by recursive descent with one token of lookahead."""

    def __init__(self, text: str, nesting: int = 0, start: int = 0) -> None:
        self.lexer = _Lexer(text, nesting)
        self.lexer.at = start
        self.depth = nesting
        self.next = self.lexer.token()

    def advance(self) -> _Token:
        token, self.next = self.next, self.lexer.token()
        return token

    def end_of(self, operator: str) -> int:
        """Where the operator that comes next ends in the text."""
        if self.next.operator != operator:
            self.unexpected()
        return self.lexer.at

    def unexpected(self) -> None:
        token = self.next
        name = "EOF" if token.operator == "" else token.operator or token.plain or "word"
        raise ShellSyntaxError(f"syntax error: unexpected '{'newline' if name == chr(10) else name}'")

    def expect(self, word: str) -> None:
        if self.next.plain != word:
            self.unexpected()
        self.advance()

    def whole(self) -> Script:
        script = self.script(stop=())
        if self.next.operator != "":
            self.unexpected()
        return script

    def skip_newlines(self) -> None:
        while self.next.operator == "\n":
            self.advance()

    def script(self, stop: Sequence[str]) -> Script:
        """Pipelines up to a reserved word or operator of `stop`, or the end."""
        items: list[Item] = []
        condition = ";"
        while True:
            self.skip_newlines()
            if self.next.operator == "" or self.next.operator in stop or self.next.plain in stop:
                if condition != ";":
                    self.unexpected()
                return Script(items=tuple(items))
            items.append(Item(condition=condition, pipeline=self.pipeline()))
            condition = ";"
            if self.next.operator in ("&&", "||"):
                condition = self.advance().operator or ""
            elif self.next.operator in (";", "&", "\n"):
                self.advance()
                condition = ";"
            elif self.next.operator != "" and self.next.operator not in stop:
                self.unexpected()

    def pipeline(self) -> Pipeline:
        negated = self.next.plain == "!"
        if negated:
            self.advance()
        commands = [self.command()]
        while self.next.operator == "|":
            self.advance()
            self.skip_newlines()
            commands.append(self.command())
        return Pipeline(commands=tuple(commands), negated=negated)

    def command(self) -> Node:
        self.depth += 1
        if self.depth > _MAX_NESTING:
            raise ShellSyntaxError("syntax error: nested too deeply")
        try:
            return self._command()
        finally:
            self.depth -= 1

    def _command(self) -> Node:
        if self.next.operator == "(":
            self.advance()
            body = self.script(stop=(")",))
            self.end_of(")")
            self.advance()
            return Group(body=body, subshell=True, redirects=self.redirects())
        match self.next.plain:
            case "{":
                body = self.block("{", "}")
                return Group(body=body, subshell=False, redirects=self.redirects())
            case "if":
                return self.condition()
            case "for":
                return self.loop_over_words()
            case "while" | "until" as kind:
                self.advance()
                condition = self.script(stop=("do",))
                body = self.block("do", "done")
                return While(
                    condition=condition, body=body, until=kind == "until", redirects=self.redirects()
                )
            case _:
                return self.simple()

    def block(self, first: str, last: str) -> Script:
        self.expect(first)
        body = self.script(stop=(last,))
        self.expect(last)
        return body

    def condition(self) -> If:
        branches: list[tuple[Script, Script]] = []
        while self.next.plain in ("if", "elif"):
            self.advance()
            asked = self.script(stop=("then",))
            self.expect("then")
            branches.append((asked, self.script(stop=("elif", "else", "fi"))))
        otherwise = None
        if self.next.plain == "else":
            self.advance()
            otherwise = self.script(stop=("fi",))
        self.expect("fi")
        return If(branches=tuple(branches), otherwise=otherwise, redirects=self.redirects())

    def loop_over_words(self) -> For:
        self.advance()
        name = self.advance().plain
        self.expect("in")
        words: list[Word] = []
        while self.next.operator is None:
            words.append(self.advance().word)
        if self.next.operator in (";", "\n"):
            self.advance()
        self.skip_newlines()
        body = self.block("do", "done")
        return For(name=name, words=tuple(words), body=body, redirects=self.redirects())

    def redirects(self) -> tuple[Redirect, ...]:
        found: list[Redirect] = []
        while self.next.operator in _REDIRECTIONS:
            found.append(self.redirect())
        return tuple(found)

    def redirect(self) -> Redirect:
        token = self.advance()
        if self.next.operator is not None:
            self.unexpected()
        operator = token.operator or ""
        default = 0 if operator[0] == "<" else 1
        descriptor = default if token.descriptor is None else token.descriptor
        return Redirect(descriptor=descriptor, operator=operator, target=self.advance().word)

    def simple(self) -> Simple:
        if self.next.operator is not None and self.next.operator not in _REDIRECTIONS:
            self.unexpected()
        if self.next.plain in _RESERVED - {"in"}:
            self.unexpected()
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while True:
            if self.next.operator in _REDIRECTIONS:
                redirects.append(self.redirect())
            elif self.next.operator is not None:
                return Simple(assignments=tuple(assignments), words=tuple(words), redirects=tuple(redirects))
            elif not words and (assignment := _assignment(self.next.word)):
                assignments.append(assignment)
                self.advance()
            else:
                words.append(self.advance().word)


def _assignment(word: Word) -> tuple[str, Word] | None:
    """`name=value` if the word is one."""
    first = word[0] if word else None
    if not isinstance(first, Literal) or first.quoted:
        return None
    name, equals, value = first.text.partition("=")
    if not equals or not name or name[0] not in _NAME_START or not set(name) <= _NAME:
        return None
    rest = (Literal(text=value, quoted=False),) if value else ()
    return name, (*rest, *word[1:])
