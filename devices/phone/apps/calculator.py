"""Calculator: two whole numbers and an operation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.phone.apps.app import App
from devices.phone.state import AppData, Page, PhoneState
from devices.phone.view import Button, Buttons, Effect, Text, Tone, View

OPERATIONS: Final = ("+", "-", "x")
_ROWS: Final = (("7", "8", "9", "x"), ("4", "5", "6", "-"), ("1", "2", "3", "+"), ("clear", "0", "="))
_MAX_LENGTH: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class CalculatorData:
    """What has been keyed in since the last result, and the result shown ("" for none)."""

    keyed: str = ""
    result: str = ""


CALCULATOR: Final = AppData("calculator", CalculatorData)


def value_of(keyed: str) -> str:
    """The value of a keyed expression, from left to right; "error" if it is incomplete."""
    total, operation, digits = 0, "+", ""
    for letter in (*keyed, "="):
        if letter.isdecimal():
            digits += letter
            continue
        if not digits:
            return "error"
        number, digits = int(digits), ""
        total = total + number if operation == "+" else total - number if operation == "-" else total * number
        operation = letter
    return str(total)


def _press(key: str) -> Effect:
    def effect(state: PhoneState) -> PhoneState:
        data = CALCULATOR.get(state)
        match key:
            case "clear":
                return CALCULATOR.change(state, keyed="", result="")
            case "=":
                return CALCULATOR.change(state, result=value_of(data.keyed)) if data.keyed else state
            case _ if data.result:
                return CALCULATOR.change(state, keyed=key, result="")
            case _:
                return CALCULATOR.change(state, keyed=(data.keyed + key)[:_MAX_LENGTH])

    return effect


def _tone(key: str) -> Tone:
    return Tone.PRIMARY if key == "=" else Tone.DANGER if key == "clear" else Tone.PLAIN


def _view(state: PhoneState, page: Page) -> View:
    data = CALCULATOR.get(state)
    keys = tuple(
        Buttons(items=tuple(Button(name=key, tone=_tone(key), tap=_press(key)) for key in row))
        for row in _ROWS
    )
    shown = f"{data.keyed}={data.result}" if data.result else data.keyed or "0"
    return View(title="calculator", nodes=(Text(text=shown, large=True), *keys))


APP: Final = App(name="calculator", icon="calculator", color="orange", data=CalculatorData, view=_view)
