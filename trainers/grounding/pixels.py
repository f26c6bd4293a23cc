"""The screens of a grounding run, small enough to keep thousands of them in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gui_agent.observation import Screenshot
from gui_agent.policies.transformers_model import ImageFeatures, VisionLanguageModel


class ScreenPixels:
    """Screens as the image processor cuts them into patches, kept as bytes.

    Every picture goes through the model's own image encoder once. Of its float32 patches, which repeat
    the picture for each frame of a temporal patch, one frame is kept, in the bytes it was made from.
    """

    def __init__(self, model: VisionLanguageModel, screenshots: Sequence[Screenshot]) -> None:
        """Encode the screenshots for `model`.

        Raises:
            ImageDecodeError: a screenshot is damaged.
        """
        self._model = model
        processor: Any = model.processor.image_processor
        self._patch_px = int(processor.patch_size)
        self._frames = int(processor.temporal_patch_size)
        self._mean = torch.tensor(processor.image_mean).view(-1, 1, 1)
        self._std = torch.tensor(processor.image_std).view(-1, 1, 1)
        self.grids: list[tuple[int, int, int]] = []
        self._bytes: list[torch.Tensor] = []
        for screenshot in screenshots:
            encoded = model.images.encode(screenshot)
            self.grids.append(encoded.grid)
            self._bytes.append(self._to_bytes(encoded.patches_PD))

    def __len__(self) -> int:
        return len(self.grids)

    def patches(self, indices: Sequence[int]) -> torch.Tensor:
        """Float32 patches of the screens, one below the other, as the image encoder makes them."""
        pixels = torch.cat([self._bytes[index] for index in indices]).float() / 255
        normal = (pixels - self._mean) / self._std
        return normal.unsqueeze(2).expand(-1, -1, self._frames, -1, -1).flatten(1)

    def features(self, indices: Sequence[int]) -> list[ImageFeatures]:
        """What the vision tower makes of the screens; gradients flow if they are enabled."""
        visual = self._model.network.model.visual
        grids = torch.tensor([self.grids[index] for index in indices], device=self._model.device)
        patches = self.patches(indices).to(device=self._model.device, dtype=visual.dtype)
        output = visual(patches, grid_thw=grids, return_dict=True)
        sizes = (grids.prod(-1) // self._model.merge_size**2).tolist()
        deepstack = [layer.split(sizes) for layer in getattr(output, "deepstack_features", None) or ()]
        return [
            ImageFeatures(embeddings_ND=embeddings, deepstack_ND=tuple(layer[i] for layer in deepstack))
            for i, embeddings in enumerate(output.pooler_output.split(sizes))
        ]

    @torch.no_grad()
    def all_features(self, *, chunk: int = 64) -> list[ImageFeatures]:
        """Features of every screen, without gradients."""
        found: list[ImageFeatures] = []
        for start in range(0, len(self), chunk):
            for one in self.features(range(start, min(len(self), start + chunk))):
                # A copy, or each small piece would keep its whole chunk alive.
                found.append(
                    ImageFeatures(
                        embeddings_ND=one.embeddings_ND.clone(),
                        deepstack_ND=tuple(layer.clone() for layer in one.deepstack_ND),
                    )
                )
        return found

    def num_image_tokens(self, index: int) -> int:
        """Placeholders that a screen takes in a prompt."""
        time, height, width = self.grids[index]
        return time * height * width // self._model.merge_size**2

    def _to_bytes(self, patches_PD: torch.Tensor) -> torch.Tensor:
        side = self._patch_px
        frame = patches_PD.view(len(patches_PD), -1, self._frames, side, side)[:, :, 0]
        return ((frame * self._std + self._mean) * 255).round().to(torch.uint8)
