"""The image that the layer explorer looks at, in a real JupyterLab: of the sample, from a file, drawn by hand."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from exploring import START, at_rest, begin, picture_cells, tab_to
from lab import Notebook, Widget
from PIL import Image
from playwright.sync_api import Page, WebSocket, expect

ANSWERS = "[round(row['dense'], 6) for row in explorer.answers['rows']]"
MARGINS = """model, val = explorer.experiment.model, explorer.experiment.val
margins = E.evaluate(model, val).margins"""


@pytest.fixture
def sent(page: Page) -> list[int]:
    """Bytes of each message that the page sends to the server."""
    sizes: list[int] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: sizes.append(len(frame)))

    page.on("websocket", listen)
    return sizes


@pytest.fixture
def book(sent: list[int], notebook: Callable[..., Notebook]) -> Notebook:
    """A notebook whose first cell shows the explorer of LeNet-5."""
    return notebook(START)


@pytest.fixture
def widget(book: Notebook) -> Widget:
    """The explorer at rest."""
    return begin(book)


def upload(widget: Widget, name: str, data: bytes, kind: str = "image/png") -> None:
    """Choose a file as a hand does."""
    with widget.page.expect_file_chooser() as chooser:
        widget.action("upload").click()
    chooser.value.set_files({"name": name, "mimeType": kind, "buffer": data})


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def title(widget: Widget) -> str:
    return widget.root.locator(".input-card .title").inner_text()


def verdict(widget: Widget) -> str:
    return widget.root.locator("[data-nnw-verdict]").inner_text()


def test_images_in_order_of_a_class_and_the_worst_first(book: Notebook, widget: Widget) -> None:
    """By number, by the button beside it, by class, by margin; the maps are those of that image."""
    book.execute(MARGINS)
    widget.set("image_index", 7)
    widget.input("image_index").press("Enter")
    at_rest(book, widget)
    widget.root.get_by_role("button", name="Next image").click()
    at_rest(book, widget)
    assert book.python("explorer.image_index") == 8
    assert title(widget) == book.python("f'image 8: {int(val.labels[8])}'")
    widget.set("channel", 4)
    widget.input("channel").press("Enter")
    at_rest(book, widget)
    assert widget.raw("maximum") == book.python("float(E.feature_maps(model, val.inputs([8]), 'conv1')[0, 4].max())")
    pixels = np.array(book.python("val.images[8, 0].tolist()"))
    assert np.abs(picture_cells(widget, "input", (28, 28)) - pixels[..., None]).max() <= 1
    widget.set("pick", "class")
    at_rest(book, widget)
    widget.set("picked_class", 3)
    at_rest(book, widget)
    chosen = book.python("[int(i) for i in (val.labels == 3).nonzero()[:, 0]][explorer.image_index]")
    assert title(widget) == f"image {chosen}: 3"
    widget.set("pick", "worst")
    at_rest(book, widget)
    widget.set("image_index", 0)
    widget.input("image_index").press("Enter")
    at_rest(book, widget)
    assert title(widget).startswith(f"image {book.python('int(margins.argmin())')}:")
    assert "wrong" in verdict(widget)
    widget.set("sample", "test")
    at_rest(book, widget)
    assert book.python("explorer.input['caption']").startswith("of S_test")
    assert (book.errors, book.left) == ([], [])


def test_a_png_of_ones_own_is_answered_as_the_image_that_it_was_made_of(book: Notebook, widget: Widget) -> None:
    """Grey, of the right size: the same pixels, the same answer. In colour and larger: made to fit, and said so."""
    book.execute(MARGINS)
    pixels = np.array(book.python("val.images[5, 0].tolist()"), np.uint8)
    book.execute("explorer.image_index = 5")
    at_rest(book, widget)
    as_sample = book.python(ANSWERS)
    book.execute("explorer.image_index = 6")
    at_rest(book, widget)
    assert book.python(ANSWERS) != as_sample
    upload(widget, "mine.png", png(pixels))
    expect(widget.root.locator(".input-card .title")).to_have_text("your image")
    at_rest(book, widget)
    assert book.python(ANSWERS) == as_sample
    assert (picture_cells(widget, "input", (28, 28)) == pixels[..., None]).all()
    large = np.repeat(np.repeat(pixels, 12, 0), 15, 1)
    upload(widget, "large.png", png(np.stack([large, large // 2, large // 3], -1)))
    expect(widget.root.locator(".input-card")).to_contain_text("420 x 336")
    at_rest(book, widget)
    assert "made grey" in widget.root.locator(".input-card").inner_text()
    widget.action("own_image_off").click()
    at_rest(book, widget)
    assert title(widget).startswith("image 6:")
    assert (book.errors, book.left) == ([], [])


def test_what_cannot_be_shown_is_said_and_the_widget_lives(book: Notebook, widget: Widget, sent: list[int]) -> None:
    """Too large a file is refused before it is sent; no picture, half a picture and 100 megapixels are refused by the kernel."""
    before = title(widget)
    told = widget.root.locator("[data-nnw-refused]")
    sent.clear()
    upload(widget, "heavy.png", bytes(11_000_000))
    expect(told).to_contain_text("heavy.png has 11.0 MB; at most 10.0 MB can be sent")
    upload(widget, "notes.txt", b"words", "text/plain")
    expect(told).to_contain_text("notes.txt is no image")
    assert sum(sent) < 1_000_000, "the file was sent all the same"
    whole = png(np.random.default_rng(0).integers(0, 255, (50, 50), np.uint8))
    upload(widget, "half.png", whole[: len(whole) // 2])
    alert = widget.root.locator("[data-nnw-error]")
    expect(alert).to_contain_text("half.png: not a picture that can be read")
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 100_000
    upload(widget, "bomb.png", buffer.getvalue())
    expect(alert).to_contain_text("expected at most 4 million pixels")
    widget.action("dismiss").first.click()
    expect(alert).to_have_count(0)
    assert title(widget) == before
    widget.root.get_by_role("button", name="Next image").click()
    at_rest(book, widget)
    assert title(widget).startswith("image 1:")
    assert book.left == []


def test_a_digit_drawn_with_the_mouse(book: Notebook, widget: Widget) -> None:
    """A stroke downwards is a one; it goes in as it was drawn."""
    page = book.page
    widget.action("draw").click()
    box = widget.root.locator("[data-nnw-draw] canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    for share in np.linspace(0.2, 0.8, 12):
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + share * box["height"])
    page.mouse.up()
    widget.action("draw_use").click()
    expect(widget.root.locator(".input-card .title")).to_have_text("your image")
    at_rest(book, widget)
    drawn = picture_cells(widget, "input", (28, 28))[..., 0]
    assert drawn[14, 13:15].min() > 200 and drawn[:, :8].max() == 0 and drawn[:3].max() == 0
    assert verdict(widget) == "1"
    assert widget.root.locator("[data-nnw-draw]").count() == 0
    assert (book.errors, book.left) == ([], [])


def test_a_digit_drawn_with_the_keyboard_alone(book: Notebook, widget: Widget) -> None:
    """Arrows move the pencil, Shift draws; Enter takes it; the focus comes back to the button; no cell was made."""
    page, keys = book.page, book.page.keyboard
    cells = page.evaluate("() => window.nnwPanel.content.widgets.length")
    widget.action("upload").focus()
    tab_to(page, '[data-nnw-action="draw"]')
    keys.press("Enter")
    tab_to(page, "[data-nnw-draw]", "Shift+Tab")
    for key in ["ArrowUp"] * 8 + ["Shift+ArrowDown"] * 17:
        keys.press(key)
    keys.press("Enter")
    expect(widget.root.locator(".input-card .title")).to_have_text("your image")
    at_rest(book, widget)
    assert verdict(widget) == "1"
    assert page.evaluate("() => document.activeElement.dataset.nnwAction") == "draw"
    tab_to(page, '[data-nnw-action="own_image_off"]')
    keys.press("Enter")
    at_rest(book, widget)
    assert title(widget).startswith("image 0:")
    assert page.evaluate("() => window.nnwPanel.content.widgets.length") == cells
    assert (book.errors, book.left) == ([], [])
