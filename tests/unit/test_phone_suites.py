from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import islice

import pytest

from devices.phone.accessibility import accessibility_dump
from devices.phone.apps.calculator import value_of
from devices.phone.apps.notes import NOTES
from devices.phone.display import PHONE_DISPLAY, QUICKSTART_DISPLAY
from devices.phone.icons import icon_mask, known_icons
from devices.phone.labelled import labelled_screens
from devices.phone.state import LAUNCHER
from devices.phone.suites import phone_suite, suite_names
from devices.phone.tasks.oracle import expert_action, num_expert_actions
from devices.phone.transition import layout_of, perform
from devices.registry import resolve_devices, resolve_suite
from gui_agent.errors import ConfigError


def test_quickstart_is_small_enough_for_a_tiny_model() -> None:
    suite = phone_suite("quickstart")
    labels, goals, lengths = set(), set(), set()
    for screen in labelled_screens(suite, 800, 0):
        targets = [element for element in screen.elements if element.clickable]
        assert len(targets) <= 7
        for element in targets:
            assert element.box.right - element.box.left >= 40
            assert element.box.bottom - element.box.top >= 26
        for element in screen.elements:
            labels.update(element.name.split())
            assert element.name == element.name.lower()
            assert len(element.name.split()) <= 2
    for template in suite.templates:
        for seed in range(40):
            task = suite.task(template, seed)
            goals.update(task.goal.split())
            lengths.add(num_expert_actions(task.plan, task.plan.start, suite.display))
    assert len(labels) <= 46
    assert len(labels | goals) <= 60
    assert lengths == {1, 2, 3, 4}


def test_long_tasks_have_many_steps_over_several_apps_in_the_words_of_the_quickstart() -> None:
    suite, quickstart = phone_suite("long"), phone_suite("quickstart")
    known = {
        word
        for template in quickstart.templates
        for seed in range(40)
        for word in quickstart.task(template, seed).goal.split()
    }
    lengths, words, several_apps = [], set(), 0
    for template in suite.templates:
        for seed in range(6):
            task = suite.task(template, seed)
            words.update(task.goal.split())
            state, apps, length = task.plan.start, set(), 0
            while not task.plan.done(state):
                expert = expert_action(task.plan, state, suite.display)
                assert expert is not None
                state, length = perform(state, expert.action, suite.display).state, length + 1
                apps.add(state.foreground_app)
            lengths.append(length)
            several_apps += len(apps - {LAUNCHER}) > 1
    assert suite.display == quickstart.display
    assert words - known <= {"then"}
    assert sum(5 <= length <= 12 for length in lengths) / len(lengths) >= 0.8
    assert max(lengths) == 12
    assert several_apps / len(lengths) >= 0.7


def test_a_lost_note_cannot_be_made_good() -> None:
    task = phone_suite("long").task("delete_then_music", 3)
    other = next(title for title in NOTES.get(task.plan.start).titles if title not in task.goal.split())
    left = tuple(note for note in NOTES.get(task.plan.start).notes if note.title != other)
    assert (
        num_expert_actions(task.plan, NOTES.change(task.plan.start, notes=left), QUICKSTART_DISPLAY) is None
    )


@pytest.mark.parametrize("name", ["quickstart", "phone"])
def test_every_app_appears_among_the_labelled_screens_and_labels_do_not_overlap(name: str) -> None:
    suite = phone_suite(name)
    seen: set[str] = set()
    for screen in labelled_screens(suite, 400, 0):
        seen.update(element.name for element in screen.elements)
        assert (screen.screenshot.width_px, screen.screenshot.height_px) == (
            suite.display.width_px,
            suite.display.height_px,
        )
        for element in screen.elements:
            box = element.box
            assert 0 <= box.left < box.right <= suite.display.width_px
            assert 0 <= box.top < box.bottom <= suite.display.height_px
    assert {"settings", "contacts", "chats", "notes", "clock", "music", "call", "delete", "ok"} <= seen


def test_labelled_screens_depend_on_the_seed_alone() -> None:
    suite = phone_suite("quickstart")
    first = list(labelled_screens(suite, 12, 5))
    assert first == list(islice(labelled_screens(suite, 40, 5), 12))
    assert first != list(labelled_screens(suite, 12, 6))
    assert list(labelled_screens(suite, 0, 5)) == []


def test_equal_seeds_make_equal_tasks_and_seeds_differ() -> None:
    for name in suite_names():
        suite = phone_suite(name)
        for template in suite.templates:
            first, again = suite.task(template, 1), suite.task(template, 1)
            assert first.plan.start == again.plan.start
            assert (first.goal, first.max_steps) == (again.goal, again.max_steps)
            assert first.plan.start != suite.task(template, 2).plan.start
            assert first.task_id.split("/")[:1] == ["phone"]


def test_there_are_enough_templates() -> None:
    assert len(phone_suite("quickstart").templates) >= 8
    assert len(phone_suite("long").templates) >= 8
    assert len(phone_suite("phone").templates) >= 30
    assert set(phone_suite("multi_app").templates) <= set(phone_suite("phone").templates)


def test_unknown_names_are_answered_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'quickstart'"):
        phone_suite("quikstart")
    with pytest.raises(ConfigError, match="did you mean 'open_app'"):
        phone_suite("quickstart").task("open_apps", 0)
    with pytest.raises(ConfigError, match="did you mean 'phone'"):
        resolve_suite("phon/quickstart")
    with pytest.raises(ConfigError, match="no number"):
        resolve_devices("phone:none", phone_suite())


def test_registry_finds_suites_and_devices() -> None:
    suite = resolve_suite("phone/quickstart")
    assert suite.suite == "phone/quickstart"
    assert resolve_devices("phone:3", suite).capacity == 3
    assert resolve_devices("phone", resolve_suite("phone/phone")).capacity == 1


def test_accessibility_dump_is_xml_with_bounds_that_can_be_tapped() -> None:
    plan = phone_suite("phone").task("set_switch", 0).plan
    shown = layout_of(plan.start, PHONE_DISPLAY)
    root = ElementTree.fromstring(accessibility_dump(shown, package="launcher"))
    nodes = {node.get("text"): node for node in root.iter("node")}
    assert nodes["settings"].get("clickable") == "true"
    left, top, right, bottom = (
        int(number)
        for pair in nodes["settings"].get("bounds", "")[1:-1].split("][")
        for number in pair.split(",")
    )
    found = shown.at((left + right) // 2, (top + bottom) // 2)
    assert found is not None
    assert found.name == "settings"


def test_icons_differ_from_each_other() -> None:
    masks = {icon_mask(name, 24).tobytes() for name in known_icons()}
    assert len(masks) == len(known_icons())
    assert all(any(mask) for mask in masks)


@pytest.mark.parametrize(
    ("keyed", "value"),
    [("12+30", "42"), ("9-12", "-3"), ("7x8", "56"), ("2+3x4", "20"), ("7x", "error"), ("+", "error")],
)
def test_calculator(keyed: str, value: str) -> None:
    assert value_of(keyed) == value
