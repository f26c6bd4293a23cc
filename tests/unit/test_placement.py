"""Where a model is computed if nobody says, and that stages of experiments are computed alike everywhere."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from gui_agent.cli.agents import AgentOptions
from gui_agent.cli.commands import Command
from gui_agent.cli.config import load_command, to_yaml
from gui_agent.cli.experiment import computed_alike
from gui_agent.errors import ConfigError
from gui_agent.policies.transformers_placement import AUTO, Placement, place

EVAL = {"suite": "phone/quickstart", "agent.model": "m"}
GROUNDING = {"output_dir": "g"}


def a_gpu_is_there(monkeypatch: pytest.MonkeyPatch, *, bfloat16: bool) -> None:
    """As torch speaks of a computer with one CUDA device."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16)


def test_a_model_goes_where_trainings_go() -> None:
    assert torch.device(place("", AUTO).device).type == Accelerator().device.type


def test_a_gpu_is_taken_and_its_number_format(monkeypatch: pytest.MonkeyPatch) -> None:
    a_gpu_is_there(monkeypatch, bfloat16=True)
    assert place("", AUTO) == Placement(device="cuda", dtype="bfloat16")
    assert place("cuda:0", AUTO) == Placement(device="cuda:0", dtype="bfloat16")
    assert place("", "float32") == Placement(device="cuda", dtype="float32")
    assert place("cpu", AUTO) == Placement(device="cpu", dtype="float32")
    with pytest.raises(ConfigError, match="torch sees 1 CUDA devices"):
        place("cuda:1", AUTO)


def test_a_gpu_without_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    a_gpu_is_there(monkeypatch, bfloat16=False)
    assert place("", AUTO) == Placement(device="cuda", dtype="float32")


@pytest.mark.parametrize(
    ("device", "dtype", "message"),
    [
        ("", "int4", "expected one of auto"),
        ("tpu9", "auto", "tpu9"),
        ("xpu", "auto", "torch does not reach on this computer"),
    ],
)
def test_what_is_nowhere_is_refused(device: str, dtype: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        place(device, dtype)


def test_reports_name_the_device_that_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    a_gpu_is_there(monkeypatch, bfloat16=True)
    found = AgentOptions(model="m").placed()
    assert (found.device, found.dtype) == ("cuda", "bfloat16")
    served = AgentOptions(model="m", endpoint="http://127.0.0.1:8000/v1")
    assert served.placed() == served


def test_stages_say_the_same_on_every_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    a_gpu_is_there(monkeypatch, bfloat16=True)
    evaluation: Any = computed_alike(load_command("eval run", overrides=EVAL))
    assert (evaluation.agent.device, evaluation.agent.dtype) == ("cpu", "float32")
    grounding = computed_alike(load_command("train grounding", overrides=GROUNDING))
    assert "device: cpu\n" in to_yaml("train grounding", grounding)
    training: Command = load_command("train online", overrides={"suite": "phone/quickstart", "model": "m"})
    assert computed_alike(training) is training


def test_a_recipe_may_place_its_stages() -> None:
    chosen = {"agent.device": "cuda:1", "agent.dtype": "bfloat16"}
    evaluation: Any = load_command("eval run", overrides=EVAL | chosen)
    assert computed_alike(evaluation) == evaluation
    half: Any = replace(evaluation, agent=replace(evaluation.agent, dtype="auto"))
    placed: Any = computed_alike(half)
    assert (placed.agent.device, placed.agent.dtype) == ("cuda:1", "float32")
