"""What page and server may say to each other, and how a screen travels."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gui_agent.actions import Click, TypeText
from gui_agent.demo.commands import COMMANDS, Act, Edit, Mode, SetMode
from gui_agent.demo.events import ErrorEvent
from gui_agent.demo.frames import HEADER, MAX_UNSEEN, Frame, decode_frame, encode_frame
from gui_agent.demo.protocol import MAX_TEXT_LENGTH, ProtocolError, event_to_json, request_from_json
from gui_agent.demo.screen import ScreenFeed
from gui_agent.observation import Observation, Screenshot


def test_commands_are_read_with_their_actions() -> None:
    text = '{"type": "edit", "id": 3, "proposal": 4, "action": {"type": "click", "x": 1, "y": 2}}'
    request = request_from_json(text)
    assert (request.id, request.command) == (3, Edit(proposal=4, action=Click(x=1, y=2)))
    assert request_from_json('{"type": "mode", "mode": "approve"}').command == SetMode(mode=Mode.APPROVE)
    typed = {"type": "act", "action": {"type": "type", "text": "; rm -rf /"}, "secret": True}
    assert request_from_json(json.dumps(typed)).command == Act(
        action=TypeText(text="; rm -rf /"), secret=True
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be JSON"),
        ("[]", "JSON object"),
        ("[" * 100_000, "must be JSON"),
        ('{"type": "fly"}', "unknown command 'fly'"),
        ('{"type": ["run"]}', "unknown command"),
        ('{"type": "run", "id": true}', "id must be a whole number"),
        ('{"type": "run", "goals": "x"}', "no field 'goals'"),
        ('{"type": "run", "goal": 3}', "must be of type str"),
        ('{"type": "run", "fresh": "yes"}', "must be of type bool"),
        ('{"type": "undo", "steps": true}', "must be of type int"),
        ('{"type": "act"}', "needs the field 'action'"),
        ('{"type": "act", "action": "click"}', "must be an action"),
        ('{"type": "act", "action": {"type": "click"}}', "missing"),
        ('{"type": "act", "action": {"type": "click", "x": 1.5, "y": 2}}', "whole number of pixels"),
        ('{"type": "act", "action": {"type": "click", "x": NaN, "y": 2}}', "whole number of pixels"),
        ('{"type": "act", "action": {"type": "scroll", "direction": 5}}', "Direction"),
        ('{"type": "mode", "mode": {}}', "expected auto or approve"),
        ('{"type": "export", "episodes": [1]}', "list of texts"),
        ('{"type": "run", "goal": "half \\ud83d"}', "half of a character"),
        ('{"type": "act", "action": {"type": "type", "text": "\\udc00"}}', "half of a character"),
        (json.dumps({"type": "hint", "text": "x" * (MAX_TEXT_LENGTH + 1)}), "characters"),
        (
            json.dumps({"type": "act", "action": {"type": "type", "text": "x" * 5000}}),
            "characters",
        ),
    ],
)
def test_what_is_no_command_is_told(text: str, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        request_from_json(text)


def test_an_error_names_the_command_it_answers() -> None:
    with pytest.raises(ProtocolError) as caught:
        request_from_json('{"type": "fly", "id": 9}')
    assert (caught.value.id, caught.value.code) == (9, "unknown_command")
    sent = json.loads(event_to_json(ErrorEvent(code="not_now", text="</script>", id=9)))
    assert sent == {"type": "error", "code": "not_now", "text": "</script>", "id": 9}


def test_every_command_stands_in_the_docs() -> None:
    words = (Path(__file__).parents[2] / "docs" / "demo.md").read_text(encoding="utf-8")
    missing = [name for name in COMMANDS if f"`{name}`" not in words]
    assert not missing


def noise(width_px: int, height_px: int) -> Screenshot:
    pixels = np.random.default_rng(0).integers(0, 255, (height_px, width_px, 3), dtype=np.uint8)
    return Screenshot.from_image(Image.fromarray(pixels))


def test_a_large_screen_is_compressed_but_keeps_its_pixels() -> None:
    small, large = noise(20, 10), noise(400, 700)
    for shown, kind in ((small, "image/png"), (large, "image/jpeg")):
        message = encode_frame(Frame(number=7, screenshot=shown, captured_s=12.5))
        assert HEADER.unpack_from(message)[3:6] == (7, shown.width_px, shown.height_px)
        found = decode_frame(message)
        assert (found.number, found.captured_s, found.screenshot.media_type) == (7, 12.5, kind)
    assert decode_frame(encode_frame(Frame(number=1, screenshot=small, captured_s=0.0))).screenshot == small
    with pytest.raises(ValueError, match="no frame"):
        decode_frame(b"\x02" + bytes(30))


def observation(colour: str) -> Observation:
    return Observation(screenshot=Screenshot.from_image(Image.new("RGB", (8, 8), colour)))


async def test_only_another_screen_is_a_new_frame() -> None:
    feed = ScreenFeed()
    waiting = asyncio.ensure_future(feed.newer_than(1))
    assert feed.show(observation("red")).number == 1
    assert feed.show(observation("red")).number == 1
    await asyncio.sleep(0)
    assert not waiting.done()
    assert feed.show(observation("blue")).number == 2
    assert (await waiting).number == 2
    assert feed.sha256_of(1) != feed.sha256_of(2)
    assert feed.sha256_of(3) is None
    assert not feed.has_turned(1)
    feed.show(Observation(screenshot=Screenshot.from_image(Image.new("RGB", (16, 8)))))
    assert feed.has_turned(1)
    assert not feed.has_turned(3)


async def test_a_slow_page_gets_the_newest_frame_and_nothing_queues() -> None:
    from gui_agent.demo.clients import Client

    feed, client = ScreenFeed(), Client(1, encode_frame)
    messages = client.messages(feed)

    async def sent() -> int:
        message: Any = await anext(messages)
        return decode_frame(message).number

    for colour in ("red", "blue"):
        feed.show(observation(colour))
        assert await sent() == feed.show(observation(colour)).number
    assert MAX_UNSEEN == 2
    waiting = asyncio.ensure_future(sent())
    for colour in ("green", "white", "black"):
        feed.show(observation(colour))
        client.poke()
        await asyncio.sleep(0)
    assert not waiting.done()  # two are under way
    client.seen(1)
    assert await waiting == 5
