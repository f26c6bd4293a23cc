"""Fixtures shared by all tests: tiny models, built once, and an application behind an address."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette

# Tiny matrices gain nothing from threads, and threads that spin slow every other process down.
for _name, _value in {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}.items():
    os.environ.setdefault(_name, _value)

TINY_CORPUS = (
    "You operate a phone. Answer with one action.",
    "tap the red button",
    "tap the blue icon",
    "open Settings and turn on Wi-Fi",
    "History: 1. tapped Settings 2. scrolled down",
    '<tool_call>\n{"name": "mobile_use", "arguments": {"action": "click", "coordinate": [28, 60]}}\n'
    "</tool_call>",
)


def _build(family: str, folder: Path) -> Path:
    from trainers.tiny_model import TinyModelConfig, build_tiny_model

    config = TinyModelConfig(
        family=family,  # type: ignore[arg-type]
        hidden_size=64,
        num_layers=2,
        mlp_size=128,
        vision_hidden_size=32,
        vision_heads=2,
        vision_mlp_size=64,
        bpe_vocab_size=350,
        number_tokens=100,
        macro_tokens=('{"name": "mobile_use", "arguments": {"action": "click", "coordinate": [',),
    )
    return build_tiny_model(config, TINY_CORPUS, folder, seed=0)


@pytest.fixture(scope="session")
def tiny_model_dir_qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen3-VL checkpoint folder with random weights."""
    return _build("qwen3_vl", tmp_path_factory.mktemp("tiny") / "qwen3_vl")


@pytest.fixture(scope="session")
def tiny_model_dir_qwen2_5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2.5-VL checkpoint folder with random weights."""
    return _build("qwen2_5_vl", tmp_path_factory.mktemp("tiny") / "qwen2_5_vl")


@pytest.fixture(scope="session", params=["qwen2_5_vl", "qwen3_vl"])
def tiny_model_dir(request: pytest.FixtureRequest) -> Path:
    """Each family's checkpoint folder in turn."""
    name = "tiny_model_dir_qwen3" if request.param == "qwen3_vl" else "tiny_model_dir_qwen2_5"
    folder: Path = request.getfixturevalue(name)
    return folder


@asynccontextmanager
async def _served(app: Starlette) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            await running


@pytest.fixture
def served() -> Callable[[Starlette], AbstractAsyncContextManager[str]]:
    """Serves an application in this loop, and says at which address."""
    return _served
