"""The only door to a machine: keyed questions, each answered by a value, absent, or an error with its text.

A key is `scheme:rest`: `file:/proc/driver/nvidia/version`, `list:/sys/bus/pci/devices`, `nvml`, `docker:info`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from toolkit.model import Absent, Answer, Failed, NotAsked, Value


class Host:
    """A machine that answers questions, each asked at most once, from any thread; live and replayed machines differ
    only in `answer`."""

    def __init__(self, answer: Callable[[str], Answer]) -> None:
        self._answer = answer
        self._asking: dict[str, threading.Lock] = {}
        self.answers: dict[str, Answer] = {}  # those that have come so far, by key

    def ask(self, key: str) -> Answer:
        """Return the machine's answer to a key."""
        if key not in self.answers:
            with self._asking.setdefault(key, threading.Lock()):
                if key not in self.answers:
                    self.answers[key] = self._answer(key)
        return self.answers[key]

    def waited_for(self, prefix: str = "") -> list[str]:
        """Return the keys that are asked and not yet answered, of those that start so."""
        return sorted(key for key, lock in list(self._asking.items()) if key.startswith(prefix) and lock.locked())

    def text(self, key: str) -> str | None:
        """Return a value's text without white space around it, None where there is no value of text."""
        answer = self.ask(key)
        return answer.data.strip() if isinstance(answer, Value) and isinstance(answer.data, str) else None

    def names(self, key: str) -> list[str]:
        """Return a value's list of names, empty where there is no such value."""
        answer = self.ask(key)
        return (
            [str(name) for name in answer.data] if isinstance(answer, Value) and isinstance(answer.data, list) else []
        )


def to_json(answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Return answers as a capture holds them: {"value": …}, {"absent": true} or {"error": text}; unasked ones are left out."""
    encoded: dict[str, Any] = {}
    for key, answer in answers.items():
        match answer:
            case Value(data):
                encoded[key] = {"value": data}
            case Absent():
                encoded[key] = {"absent": True}
            case Failed(text):
                encoded[key] = {"error": text}
    return encoded


def from_json(encoded: Any) -> Answer:
    """Return one answer of a capture; anything else than the three forms is unknown."""
    match encoded:
        case {"value": data}:
            return Value(data)
        case {"absent": True}:
            return Absent()
        case {"error": str(text)}:
            return Failed(text)
    return NotAsked("the capture has no readable answer")


def frozen(host: Host, why_not: str) -> Host:
    """Return a machine that gives the answers that have come so far, fails at those that are still waited for, and says
    to any other question that it was not asked. Asked `unanswered:` it names the keys that it failed at."""
    hung = host.waited_for()
    answers = {**dict(host.answers), **{key: Failed(why_not) for key in hung}, "unanswered:": Value(hung)}
    return Host(lambda key: answers.get(key, NotAsked("it was not asked in time" if hung else "it was not asked")))
