"""A picture that does not decode is an error that names its origin, never an empty frame."""

import pytest
from PIL import Image

from gui_agent.errors import ImageDecodeError
from gui_agent.observation import Box, Screenshot


def picture(width_px: int = 20, height_px: int = 30) -> Screenshot:
    image = Image.effect_noise((width_px, height_px), 80).convert("RGB")
    return Screenshot.from_image(image)


def test_bytes_keep_their_size_and_pixels() -> None:
    shot = picture()
    again = Screenshot.from_bytes(shot.data)
    assert (again.width_px, again.height_px) == (20, 30)
    assert again.sha256 == shot.sha256
    assert again.image().tobytes() == shot.image().tobytes()
    assert again.media_type == "image/png"


@pytest.mark.parametrize("keep", [0, 4, 60, -200])
def test_a_truncated_picture_is_refused(keep: int) -> None:
    data = picture().data[:keep]
    with pytest.raises(ImageDecodeError, match="step 3 of run"):
        Screenshot.from_bytes(data, origin="step 3 of run")


def test_a_box_excludes_its_right_and_bottom_edge() -> None:
    box = Box(left=10, top=20, right=30, bottom=40)
    assert box.contains(10, 20)
    assert not box.contains(30, 39)
    assert box.center == (20, 30)
    assert box.area_px == 400
    assert Box(left=5, top=5, right=1, bottom=9).area_px == 0
