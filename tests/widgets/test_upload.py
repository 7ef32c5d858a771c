"""A picture that somebody gives (FAULTS.md rows 24 to 26 and 28): whatever it is, a picture or a FileError in words."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.errors import FileError
from nnwidgets.widgets._upload import LARGEST_FILE, decoded, drawn


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def colourful(width: int = 9, height: int = 7) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def png_of(width: int, height: int, depth: int = 8, kind: int = 0, data: bytes | None = None) -> bytes:
    """A PNG by hand: any size, of zeros that compress to nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    if data is None:
        packer = zlib.compressobj(9)
        row = bytes(1 + -(-width * depth // 8))
        data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


# --- rows 24 and 25: too large ----------------------------------------------------------------------------------------


BOMB = """
import sys, time
from pathlib import Path
from nnwidgets.engine.errors import FileError
from nnwidgets.widgets._upload import decoded
data = sys.stdin.buffer.read()
start = time.monotonic()
try:
    decoded(data, "bomb.png")
except FileError as error:
    print(error)
seconds = time.monotonic() - start
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(seconds, int(peak.split()[1]) / 1000)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_row_25_a_png_of_100_megapixels_is_refused_in_two_seconds_and_200_mb() -> None:
    bomb = png_of(10_000, 10_000, depth=1)
    assert len(bomb) < 20_000
    ran = subprocess.run([sys.executable, "-c", BOMB], input=bomb, capture_output=True, timeout=60, cwd=Path(__file__).parents[2])
    assert ran.returncode == 0, ran.stderr.decode()
    words, figures = ran.stdout.decode().splitlines()
    seconds, megabytes = map(float, figures.split())
    assert "far more pixels, expected at most 4 million" in words
    assert seconds < 2 and megabytes < 200


@pytest.mark.parametrize(("width", "height"), [(2001, 2000), (4_000_001, 1), (9000, 9000), (100_000, 100_000), (2**31 - 1, 2)])
def test_sizes_are_read_from_the_header_alone(width: int, height: int) -> None:
    with pytest.raises(FileError, match="pixels, expected at most 4 million"):
        decoded(png_of(width, height, data=b""), "wide.png")


def test_four_million_pixels_are_still_taken() -> None:
    assert decoded(png_of(2000, 2000, depth=1), "large.png").shape == (2000, 2000)


def test_a_gif_whose_frame_is_larger_than_its_screen_is_measured_by_its_frame() -> None:
    frame = b"," + struct.pack("<HHHH", 0, 0, 9000, 9000) + b"\0\x02\x02\x4c\x01\0;"
    gif = b"GIF89a" + struct.pack("<HH", 1, 1) + b"\x80\0\0\0\0\0\xff\xff\xff" + frame
    with pytest.raises(FileError, match="9000 x 9000 pixels"):
        decoded(gif, "frame.gif")


def test_row_28_a_file_over_10_mb_is_refused_in_words() -> None:
    with pytest.raises(FileError, match=r"big\.png: got 10\.0 MB, expected at most 10 MB; make it smaller"):
        decoded(bytes(LARGEST_FILE + 1), "big.png")


def test_a_text_bomb_inside_a_png_is_no_way_around() -> None:
    """100 MB of zeros in a compressed comment: Pillow's own limit holds."""
    body = b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    plain = png_of(4, 4)
    with pytest.raises(FileError, match="not a picture that can be read"):
        decoded(plain[:33] + chunk + plain[33:], "text.png")


# --- damaged ----------------------------------------------------------------------------------------------------------

FILES = {
    "PNG": {},
    "JPEG": {"quality": 80},
    "GIF": {},
    "WEBP": {"lossless": True},
    "BMP": {},
}


def told(data: bytes) -> bool:
    """True where a picture came out; a FileError in words is the only other way."""
    try:
        pixels = decoded(data, "x")
    except FileError as error:
        assert str(error).startswith("x: ")
        return False
    assert pixels.dtype == np.uint8 and pixels.ndim in (2, 3) and pixels.size > 0
    return True


@pytest.mark.parametrize("kind", FILES)
def test_row_24_every_truncation_is_a_file_error_or_a_picture(kind: str) -> None:
    data = saved(colourful(), kind, **FILES[kind])
    assert told(data)
    step = max(1, len(data) // 150)
    found = [told(data[:length]) for length in range(0, len(data), step)]
    assert not any(found[: len(found) // 10])


@pytest.mark.parametrize("kind", FILES)
def test_row_24_flipped_bytes_are_a_file_error_or_a_picture(kind: str) -> None:
    data = saved(colourful(), kind, **FILES[kind])
    draw = np.random.default_rng(1)
    found = []
    for _ in range(300):
        broken = bytearray(data)
        for place in draw.integers(0, len(data), draw.integers(1, 4)):
            broken[place] ^= int(draw.integers(1, 256))
        found.append(told(bytes(broken)))
    assert not all(found)


# --- something else by the name of a picture --------------------------------------------------------------------------


class Canary:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("the pickle was loaded",))


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("picture.png", bytes(1000))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Canary()),
        b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><rect width="9" height="9"/></svg>',
        b"<!doctype html><img src=x onerror=alert(1)>",
        archive(),
        saved(colourful(), "TIFF"),
        saved(colourful(), "PDF"),
        saved(colourful(), "ICO"),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"",
        b"\0" * 100,
    ],
    ids=["pickle", "svg", "html", "zip", "tiff", "pdf", "ico", "eps", "empty", "zeros"],
)
def test_rows_21_and_26_what_is_no_picture_of_the_five_kinds_is_refused(data: bytes) -> None:
    with pytest.raises(FileError, match=r"photo\.png: not a picture .* expected one of bmp, gif, jpeg, png, webp"):
        decoded(data, "photo.png")


# --- modes ------------------------------------------------------------------------------------------------------------


def of_mode(mode: str) -> Image.Image:
    pixels = np.array([[0, 100], [200, 255]], np.uint8)
    clear = np.array([[255, 255], [255, 0]], np.uint8)
    if mode == "LA":
        return Image.merge("LA", [Image.fromarray(pixels), Image.fromarray(clear)])
    if mode == "RGBA":
        return Image.merge(
            "RGBA", [*(Image.fromarray(each) for each in (pixels, pixels.T, 255 - pixels)), Image.fromarray(clear)]
        )
    if mode == "I;16":
        return Image.fromarray(pixels.astype(np.uint16) * 257)
    return Image.fromarray(pixels).convert(mode)


GREY = [[0, 100], [200, 255]]


@pytest.mark.parametrize(
    ("mode", "kind", "expected"),
    [
        ("L", "PNG", GREY),
        ("L", "GIF", GREY),
        ("L", "BMP", GREY),
        ("RGB", "PNG", GREY),  # grey in a file for colours
        ("LA", "PNG", GREY),
        ("1", "PNG", None),
        ("I;16", "PNG", GREY),
        ("CMYK", "JPEG", None),
        ("RGBA", "PNG", [[[0, 0, 255], [100, 200, 155]], [[200, 100, 55], [255, 255, 255]]]),
    ],
)
def test_every_mode_gives_eight_bits_and_what_is_clear_is_white(mode: str, kind: str, expected: Any) -> None:
    pixels = decoded(saved(of_mode(mode), kind), "x")
    assert pixels.dtype == np.uint8 and pixels.shape[:2] == (2, 2) and pixels.flags.writeable
    if expected is not None:
        assert pixels.tolist() == expected
    elif mode == "1":
        assert set(pixels.flatten().tolist()) <= {0, 255} and pixels.ndim == 2
    else:
        assert pixels.ndim in (2, 3) and int(pixels[0, 0].min()) < 40 and int(pixels[1, 1].max()) > 215


def test_a_clear_colour_of_a_palette_becomes_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    assert decoded(saved(image, "PNG"), "x").tolist() == [[[255, 0, 0], [0, 0, 255]]]
    assert decoded(saved(image, "PNG", transparency=1), "x").tolist() == [[[255, 0, 0], [255, 255, 255]]]
    assert decoded(saved(image, "GIF", transparency=1), "x").tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_a_16_bit_picture_with_a_clear_grey_is_still_a_picture() -> None:
    pixels = decoded(saved(of_mode("I;16"), "PNG", transparency=0), "x")
    assert pixels.tolist() == GREY


def test_the_orientation_that_a_camera_notes_is_applied() -> None:
    image = Image.fromarray(np.array([[10, 20, 30]], np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6  # the row has to be turned by 90 degrees clockwise
    assert decoded(saved(image, "PNG", exif=turned), "x").tolist() == [[10], [20], [30]]


# --- drawings ---------------------------------------------------------------------------------------------------------


def test_a_drawing_is_its_bytes_row_by_row() -> None:
    assert drawn(bytes(range(6)), 3, 2).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("data", "width", "height"),
    [
        (b"", 0, 0), (b"12", 1, 1), (b"12", 2, 2), (b"12", -1, -2), (b"1", True, True), (b"12", 2.0, 1), (b"12", "2", 1),
        (b"12", None, None), (bytes(2000), 2000, 1), (b"12", [2], 1),
    ],
)  # fmt: skip
def test_a_drawing_of_other_sizes_is_refused_in_words(data: bytes, width: Any, height: Any) -> None:
    with pytest.raises(FileError, match="drawing: got"):
        drawn(data, width, height)


# --- through the widget -----------------------------------------------------------------------------------------------


@pytest.fixture
def explorer() -> Iterator[Any]:
    made = nw.LayerExplorer(nw.load_example("digits/lenet5"))
    assert made.wait(60)
    yield made
    made.close()
    made.experiment.close()


def click(widget: Any, name: str, /, *buffers: bytes, **arguments: Any) -> None:
    content = {"kind": "command", "name": name, "args": arguments}
    widget._handle_msg(
        {"content": {"data": {"method": "custom", "content": content}}, "buffers": [memoryview(b) for b in buffers]}
    )


def test_an_uploaded_picture_is_cropped_resized_made_grey_and_says_so(explorer: Any) -> None:
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:, 15:75] = (255, 0, 0)  # the square in the middle
    data = saved(Image.fromarray(pixels), "PNG")
    click(explorer, "upload", data, name="red.png", size=len(data))
    assert explorer.wait(60) and explorer.error is None
    assert explorer.input["title"] == "your image" and explorer.input["index"] == -1
    words = explorer.input["caption"]
    assert words.startswith("yours: red.png, made grey, 90 x 60 cropped and resized to 28 x 28; answered ")
    assert set(explorer.input["raster"]["data"]) == {76}  # 0.299 of 255
    inputs = torch.full((1, 1, 28, 28), 76.0)
    split = explorer.experiment.val
    fed = E.Split(inputs.to(torch.uint8), None, split.mean, split.std).inputs([0])
    assert torch.equal(explorer._work.own.inputs, fed)
    maps = explorer._work.inspection.known(explorer._work.own).maps
    assert explorer.panel["raster"]["count"] == 20 and len(maps) > 1
    click(explorer, "own_image_off")
    assert explorer.wait(60) and explorer.input["index"] == 0


def test_a_drawing_of_the_inputs_size_is_taken_as_it_is_and_another_size_is_resized(explorer: Any) -> None:
    whole = np.arange(784, dtype=np.int64).astype(np.uint8)
    click(explorer, "draw", whole.tobytes(), width=28, height=28)
    assert explorer.wait(60) and explorer.error is None
    assert explorer.input["raster"]["data"] == whole.tobytes()
    assert explorer.input["caption"].startswith("yours: drawn; answered ")
    click(explorer, "draw", bytes([255]) * 56 * 56, width=56, height=56)
    assert explorer.wait(60) and "56 x 56 cropped and resized to 28 x 28" in explorer.input["caption"]
    assert set(explorer.input["raster"]["data"]) == {255}


@pytest.mark.parametrize(
    ("name", "buffers", "arguments"),
    [
        ("upload", [], {"name": "a.png"}),
        ("upload", [b"GIF89a"], {"name": "a.gif"}),
        ("upload", [bytes(LARGEST_FILE + 1)], {"name": "<img src=x onerror=alert(1)>"}),
        ("upload", [b"x"], {"name": {"deep": [1]}, "size": "many"}),
        ("upload", [b"x"], {"unknown": 1}),
        ("draw", [], {}),
        ("draw", [b"12"], {"width": 3, "height": 1}),
        ("draw", [b"12"], {"width": "2", "height": None}),
    ],
)
def test_a_refused_picture_is_an_error_on_the_screen_and_the_widget_goes_on(
    explorer: Any, name: str, buffers: list[bytes], arguments: dict[str, Any]
) -> None:
    click(explorer, name, *buffers, **arguments)
    assert explorer.wait(60)
    assert explorer.status == "error" and explorer.error["message"]
    assert explorer.input["index"] == 0, "the image before is still there"
    explorer.clear_error()
    explorer.layer = "conv2"
    assert explorer.wait(60) and explorer.status == "idle" and explorer.panel["layer"] == "conv2"


def test_pixels_from_code_are_checked(explorer: Any) -> None:
    for wrong in (
        np.zeros((4, 4)),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
        "photo.png",
        None,
    ):
        with pytest.raises(E.InputError, match="pixels: got"):
            explorer.look_at(wrong)
    explorer.look_at(np.zeros((40, 28, 3), np.uint8))
    assert explorer.wait(60) and explorer.input["title"] == "your image"


def test_a_network_that_takes_no_images_refuses_a_picture_in_words() -> None:
    draw = torch.Generator().manual_seed(0)
    exp = E.Experiment(
        nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)),
        test=E.Split(torch.randn(20, 6, generator=draw), torch.arange(20) % 3),
    )
    widget = nw.LayerExplorer(exp)
    assert widget.wait(60) and widget.input["drawable"] is False
    data = saved(colourful(), "PNG")
    click(widget, "upload", data, name="a.png", size=len(data))
    assert "takes inputs of shape (6,)" in widget.error["message"]
    click(widget, "draw", bytes(784), width=28, height=28)
    assert "a picture of one's own needs (1, H, W) or (3, H, W)" in widget.error["message"]
    widget.close()
    exp.close()
