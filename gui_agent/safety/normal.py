"""Text made comparable: what looks alike to a person is equal here.

Case, accents, full-width and styled letters, zero-width and bidirectional characters, letters of other
scripts that look Latin, digits and signs that stand for letters inside a word, and l e t t e r s set apart
are all undone. It is cheap and knows the common tricks, not all of them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_LOOKALIKES: Final = str.maketrans(
    # Cyrillic, Greek, Armenian and others, lower case: letters that most fonts draw like Latin ones.
    "авеёкмнорсстухіјѕԁԛԝһӏґзɡɑıαβεηικνορτυχγωոսհցօəꜱʀɪɴ",
    "abeekmhopcctyxijsdqwhlr3gaiabenikvoptuxywnuhgoesrin",
)
_SIGNS: Final = str.maketrans("01$@", "olsa")
_SIGN_RUN: Final = re.compile(r"(?<=[a-z])[01$@]+(?=[a-z])")
_SET_APART: Final = re.compile(r"(?<!\w)\w(?:[ ._*·-]\w){3,}(?!\w)")
_SEPARATORS: Final = re.compile(r"[ ._*·-]")
_BLANKS: Final = re.compile(r"\s+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NOT_A_WORD: Final = re.compile(r"[\W_]+")
_PASSES: Final = 8


def normal(text: str) -> str:
    """The comparable form of a text; it is its own comparable form."""
    for _ in range(_PASSES):  # one pass may lay bare what another one undoes
        later = _once(text)
        if later == text:
            break
        text = later
    return text


def identifier_words(identifier: str) -> str:
    """The words of a name in a program, comparable: `btnBuyNow` and `btn_buy-now` are "btn buy now"."""
    return normal(_NOT_A_WORD.sub(" ", normal(_CAMEL.sub(" ", identifier))))


def _once(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    kept = "".join(filter(None, map(_kept, decomposed)))
    text = unicodedata.normalize("NFKC", kept).casefold().translate(_LOOKALIKES)
    text = _SIGN_RUN.sub(lambda run: run[0].translate(_SIGNS), text)
    text = _SET_APART.sub(lambda run: _SEPARATORS.sub("", run[0]), _BLANKS.sub(" ", text))
    return text.strip()


def _kept(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Mn", "Me", "Cf"):  # accents, enclosing marks, zero-width and direction signs
        return ""
    if category in ("Cc", "Zl", "Zp", "Zs"):
        return " "
    return character
