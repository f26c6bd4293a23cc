"""`gui-agent serve`: a model behind an OpenAI-compatible HTTP endpoint."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gui_agent.addresses import is_loopback, listen
from gui_agent.cli.config import option
from gui_agent.errors import ConfigError
from gui_agent.model_settings import ModelSettings
from gui_agent.policies.transformers_roles import RoleFolder
from gui_agent.policy import Policy, check_image_max_pixels


def as_flags(settings: ModelSettings) -> str:
    """What a client's command line says, which knows of a served model its name and its picture limit."""
    said = {name: value for name, value in settings.decided().items() if name != "image_max_pixels"}
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in said.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Serve:
    """Serve a model over an OpenAI-compatible HTTP endpoint.

    Offers /v1/chat/completions, /v1/models and /health. Equal requests with equal seeds give equal
    tokens. It is reachable from this computer only, unless told otherwise and given a key.

    Attributes:
        model: folder of a Qwen2.5-VL or Qwen3-VL checkpoint, or its name on the hub; or a folder with the
            adapters of a planner and an actor, which are then served under these names.
        adapters: LoRA adapters to serve, each under its own name: `planner=runs/a/planner`.
        name: name of the model in requests; the folder's name when empty.
        host: address to listen on.
        port: port to listen on; 0 takes any that is free.
        image_max_pixels: pixels of the largest screenshot that the model is shown, after resizing; 0 shows it
            what it was trained with. A screen of 1080x2400 is 3,354 tokens of Qwen2.5-VL at its own bound,
            1,272 at 1003520.
        device: where the weights live, such as cpu or cuda:0; empty takes a GPU if there is one.
        dtype: number format of the weights; auto is bfloat16 on CUDA devices that compute in it, else
            float32.
        max_batch_rows: samples computed at a time.
        api_key_env: environment variable that holds the key which requests must bring.

    Examples:
        gui-agent serve --model runs/quickstart/semi_online/model --port 8000
        GUI_AGENT_API_KEY=... gui-agent serve --model M --host 0.0.0.0 --api-key-env GUI_AGENT_API_KEY
    """

    model: Path = option(positional=True)
    adapters: dict[str, Path] = field(default_factory=dict)
    name: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    image_max_pixels: int = 0
    device: str = ""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_batch_rows: int = 64
    api_key_env: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port}; expected 0 to 65535")
        check_image_max_pixels(self.image_max_pixels)

    def served_names(self) -> tuple[str, ...]:
        """What requests call the model, or its adapters."""
        roles = RoleFolder.read(self.model)
        adapters = tuple(self.adapters) or (tuple(roles.adapters) if roles else ())
        return adapters or (self.name or self.model.resolve().name,)

    def dry_run(self) -> int:
        """Check the key, the address and the checkpoint's configuration; load no weights."""
        self._api_key()
        listen(self.host, self.port).close()
        from gui_agent.policies.transformers_loading import load_config

        roles = RoleFolder.read(self.model)
        load_config(roles.base_model if roles else self._location())
        print(f"would serve {', '.join(self.served_names())} on {self.host}:{self.port}")
        return 0

    def run(self) -> int:
        """Load the model and serve until interrupted."""
        api_key = self._api_key()
        listener = listen(self.host, self.port)
        try:
            return self._serve(listener, api_key)
        finally:
            listener.close()

    def _serve(self, listener: socket.socket, api_key: str | None) -> int:
        import uvicorn

        from gui_agent.policies.server import create_app
        from gui_agent.policies.transformers_placement import place

        trained, placement = ModelSettings.read(self.model), place(self.device, self.dtype)
        app = create_app(self.load_policy(), models=self.served_names(), api_key=api_key, trained=trained)
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"serving {', '.join(self.served_names())} on http://{shown}:{port}/v1", flush=True)
        print(f"computed on {placement.device} in {placement.dtype}", flush=True)
        if trained is not None:
            print(f"ask it as it was trained: {as_flags(trained)}", flush=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        server.run(sockets=[listener])
        return 0

    def _location(self) -> str | Path:
        """The folder, or the name on the hub if there is no such folder."""
        return self.model if self.model.exists() else str(self.model)

    def load_policy(self) -> Policy:
        """Load the model and its adapters.

        Raises:
            ConfigError: there is no such model or adapter.
        """
        # Imported here: the command's help needs no torch.
        from gui_agent.policies.transformers_loading import load_adapter, load_model
        from gui_agent.policies.transformers_policy import TransformersPolicy

        model = load_model(
            self._location(), dtype=self.dtype, device=self.device, image_max_pixels=self.image_max_pixels
        )
        for adapter, folder in self.adapters.items():
            load_adapter(model, folder, adapter=adapter, trainable=False)
        return TransformersPolicy(
            model,
            # Requests of strangers have no common order: whatever waits is served.
            deterministic=False,
            max_batch_rows=self.max_batch_rows,
            adapter_of_role={adapter: adapter for adapter in model.adapters},
        )

    def _api_key(self) -> str | None:
        if self.api_key_env:
            key = os.environ.get(self.api_key_env)
            if not key:
                raise ConfigError(
                    f"the environment variable {self.api_key_env} is not set; put the key into it"
                )
            return key
        if not is_loopback(self.host):
            raise ConfigError(
                f"host {self.host} can be reached from other computers; set --api-key-env to the name of an "
                "environment variable with a key, or listen on 127.0.0.1"
            )
        return None
