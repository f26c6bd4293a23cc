"""`gui-agent data preferences`: what people chose and what they rejected, for preference training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gui_agent.cli.config import option
from gui_agent.cli.folders import make_folder, store_folder
from gui_agent.errors import ConfigError, DataError
from gui_agent.formats.registry import get_format
from gui_agent.observation import Screenshot
from gui_agent.policy import ImageBudget, ImagePart, Part, check_image_max_pixels
from trajectories.damage import OnDamage
from trajectories.preferences import Preference, preferences
from trajectories.screenshots import write_file
from trajectories.store import TrajectoryStore

_FILE = "preferences.jsonl"


@dataclass(frozen=True, kw_only=True)
class Preferences:
    """Write the proposals that people rejected in gui-agent demo beside what was done instead.

    One line of preferences.jsonl is one pair: `prompt` and `images`, `chosen`, `rejected`, as trainers of
    direct preference optimisation for vision-language models read them (TRL's conversational format), and
    where it is from. Pictures lie beside it under their hashes.

    Examples:
        gui-agent data preferences runs/demo --format ui_s1 --output runs/preferences
        gui-agent data preferences runs/demo --format mobile_use --image-factor 32 --output runs/preferences

    Attributes:
        data: trajectory store to read, or a folder that holds one.
        output: folder to create; a file of preferences in it is not overwritten.
        format: prompt format of the model that is to learn.
        image_factor: patch size times merge size of that model, 28 for Qwen2.5-VL, 32 for Qwen3-VL.
        image_max_pixels: pixels of the largest screenshot that it is shown, after resizing; 0 is the bound of
            16,384 tokens that these models have by themselves.
        on_damage: raise stops at the first damaged episode; skip leaves it out and lists it.
    """

    data: Path = option(positional=True)
    output: Path
    format: str = "ui_s1"
    image_factor: int = 28
    image_max_pixels: int = 0
    on_damage: OnDamage = OnDamage.RAISE

    def __post_init__(self) -> None:
        if self.image_factor < 1:
            raise ConfigError(f"image_factor is {self.image_factor}; expected 1 or more, such as 28 or 32")
        check_image_max_pixels(self.image_max_pixels)

    def run(self) -> int:
        """Write all pairs, and say how many.

        Raises:
            DataError: the store is damaged (only with on_damage="raise"), or holds no rejected proposal.
            ConfigError: there is no store, the format has no word for what a person did, or there is such a
                file already.
        """
        file = self.output / _FILE
        if file.exists():
            raise ConfigError(f"{file} exists; move it away, or choose another output")
        store = self._store()
        images: dict[str, Screenshot] = {}
        lines = [json.dumps(_row(pair, images), ensure_ascii=False) + "\n" for pair in self._found(store)]
        make_folder(self.output, "output")
        for name, screenshot in images.items():
            path = self.output / name
            path.parent.mkdir(exist_ok=True)
            write_file(path, screenshot.data)
        write_file(file, "".join(lines).encode())
        print(f"{len(lines)} preferences, {len(images)} pictures in {file}")
        for damage in store.damage:
            print(f"left out: {damage.message}")
        return 0

    def dry_run(self) -> int:
        """Count without writing."""
        print(f"would write {len(self._found(self._store()))} preferences to {self.output / _FILE}")
        return 0

    def _store(self) -> TrajectoryStore:
        return TrajectoryStore.open(store_folder(self.data), on_damage=self.on_damage)

    def _found(self, store: TrajectoryStore) -> list[Preference]:
        budget = ImageBudget.of_factor(self.image_factor).limited(self.image_max_pixels)
        prompt_format = get_format(self.format, image_budget=budget)
        found = [pair for record in store.records() for pair in preferences(record, prompt_format, budget)]
        if not found:
            raise DataError(
                f"{self.data}: no step holds a proposal that somebody rejected; gui-agent demo records them "
                "when an action is edited or rejected"
            )
        return found


def _row(pair: Preference, images: dict[str, Screenshot]) -> dict[str, Any]:
    shown: list[str] = []

    def content(part: Part) -> dict[str, str]:
        if not isinstance(part, ImagePart):
            return {"type": "text", "text": part.text}
        kind = part.screenshot.media_type.rpartition("/")[2]
        name = f"images/{part.screenshot.sha256}.{kind}"
        images[name] = part.screenshot
        shown.append(name)
        return {"type": "image"}

    prompt = [
        {"role": message.role.value, "content": [content(part) for part in message.parts]}
        for message in pair.prompt
    ]
    return {
        "prompt": prompt,
        "images": shown,
        "chosen": _answer(pair.chosen),
        "rejected": _answer(pair.rejected),
        "episode_id": pair.episode_id,
        "step": pair.step,
    }


def _answer(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": [{"type": "text", "text": text}]}]
