"""Where a model is computed, and in which numbers, if nobody says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from gui_agent.errors import ConfigError

DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
AUTO: Final = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A device, and the number format of the weights on it.

    Attributes:
        device: as torch names it, such as `cpu` or `cuda:0`.
        dtype: a name in `DTYPES`.
    """

    device: str
    dtype: str


def place(device: str, dtype: str) -> Placement:
    """What a setting of device and dtype comes down to on this computer.

    Args:
        device: as torch names it; empty takes the one that trainings get from accelerate in one process:
            CUDA, else Apple's GPU, else the CPU.
        dtype: a name in `DTYPES`; `auto` is bfloat16 on CUDA devices that compute in it, else float32.

    Raises:
        ConfigError: the dtype is unknown, or there is no such device.
    """
    if dtype not in (AUTO, *DTYPES):
        raise ConfigError(f"dtype is {dtype!r}; expected one of {', '.join((AUTO, *DTYPES))}")
    device = device or _best_device()
    _check_device(device)
    if dtype == AUTO:
        dtype = "bfloat16" if _computes_in_bfloat16(device) else "float32"
    return Placement(device=device, dtype=dtype)


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _computes_in_bfloat16(device: str) -> bool:
    if torch.device(device).type != "cuda":
        return False
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _check_device(device: str) -> None:
    """A device that torch knows and this computer has."""
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device is {device!r}; expected cpu, cuda, cuda:0 or mps") from error
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device is {device!r}, but torch sees {torch.cuda.device_count()} CUDA devices; use cpu, or "
            "install a driver and a torch that fit (gui-agent env says what is there)"
        )
    if wanted.type in ("cpu", "cuda"):
        return
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ConfigError(
            f"device is {device!r}, which torch does not reach on this computer; use cpu (gui-agent env says "
            "what is there)"
        ) from error
