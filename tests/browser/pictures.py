"""Take the pictures of the documentation from a real JupyterLab.

``python tests/browser/pictures.py`` writes notebooks/images/*.png.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from lab import Lab, Notebook, Widget, find_browser, start_lab
from PIL import Image
from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).resolve().parents[2] / "notebooks" / "images"
LARGEST = 300_000  # bytes; above it five bits a colour have to do: at most 4 of 255 off
START = "import nnwidgets as nw\nlab = nw.CompressionLab(nw.load_example('digits/resnet20'))\nlab"
EXPLORER = "import nnwidgets as nw\nlab = nw.LayerExplorer(nw.load_example('shapes'), layer='(relu)#1')\nlab"


def rest(book: Notebook, widget: Widget) -> None:
    """Wait for the kernel's work and for the page to show it."""
    assert book.python("lab.wait(300)") is True
    widget.wait_idle(after=book.python("lab.view['seq'] if isinstance(lab.view, dict) else lab.seq") - 1)


def picture(book: Notebook, widget: Widget, name: str, width: int = 1280) -> None:
    """The whole widget in a window of this width."""
    book.page.set_viewport_size({"width": width, "height": 2600 if width < 800 else 1250})
    book.page.wait_for_timeout(600)
    tall = int(widget.root.evaluate("e => e.offsetHeight")) + 300  # what is outside of the window would be left out
    if tall > 1250:
        book.page.set_viewport_size({"width": width, "height": tall})
        book.page.wait_for_timeout(300)
    widget.root.scroll_into_view_if_needed()
    path = FOLDER / f"{name}.png"
    widget.root.screenshot(path=str(path))
    if path.stat().st_size > LARGEST:
        with Image.open(path) as taken:
            coarse = taken.convert("RGB").point(lambda level: round(round(level * 31 / 255) * 255 / 31))
        coarse.save(path, optimize=True)


def compression(page: Page, lab: Lab) -> None:
    """The compression lab: light, dark, 600 px, running, fine-tuning and an error."""
    book = Notebook.open(page, lab, "pictures.ipynb", [START])
    book.run_all()
    widget = book.widget("compression-lab")
    rest(book, widget)
    for amount in (0.2, 0.4, 0.5, 0.6, 0.7, 0.8):
        book.execute(f"lab.sparsity = {amount}")
        rest(book, widget)
    book.execute("lab.epochs = 1")
    widget.action("fine_tune").click()
    widget.action("cancel").wait_for()
    page.wait_for_timeout(6000)
    picture(book, widget, "fine_tuning")
    rest(book, widget)
    book.execute("lab.selected_layer = 'layer2.0.conv1'; lab.weight_bits = 4")
    page.wait_for_timeout(250)
    picture(book, widget, "running")
    rest(book, widget)
    picture(book, widget, "light")
    book.theme("dark")
    picture(book, widget, "dark")
    book.theme("light")
    picture(book, widget, "narrow", width=600)
    book.execute("import torch\ntorch.nn.init.constant_(lab.experiment.model.fc.weight, float('nan'))")
    book.execute("lab.sparsity = 0.82")
    widget.wait_status("error")
    picture(book, widget, "error")


def explorer(page: Page, lab: Lab) -> None:
    """The layer explorer on shapes: maps in both themes and at 600 px, filters, outputs, Deconvnet, the strongest images."""
    page.set_viewport_size({"width": 1280, "height": 1250})
    book = Notebook.open(page, lab, "explorer.ipynb", [EXPLORER])
    book.run_all()
    widget = book.widget("layer-explorer")
    rest(book, widget)
    book.execute("lab.image_index, lab.channel = 71, 12")
    rest(book, widget)
    picture(book, widget, "explorer_maps")
    book.theme("dark")
    picture(book, widget, "explorer_maps_dark")
    book.theme("light")
    picture(book, widget, "explorer_narrow", width=600)
    for view, layer, channel in (
        ("filters", "conv1", 5),
        ("histogram", "(relu)#5", 40),
        ("deconvnet", "(relu)#4", 40),
        ("top9", "(relu)#4", 40),
    ):
        book.execute(f"lab.layer, lab.channel, lab.view = {layer!r}, {channel}, {view!r}")
        rest(book, widget)
        picture(book, widget, f"explorer_{view}")
    book.execute("lab.layer, lab.view = '(relu)#5', 'maps'\nfor channel in (1, 2, 7, 40): lab.switch_off(channel=channel)")
    rest(book, widget)
    picture(book, widget, "explorer_off")
    book.shut_down()


def photos(page: Page, lab: Lab) -> None:
    """EfficientNet-Lite0 on a photograph, with the extra ``pretrained``: maps of the first layer, a filter, and Deconvnet."""
    page.set_viewport_size({"width": 1280, "height": 1250})
    book = Notebook.open(page, lab, "photos.ipynb", [EXPLORER.replace("'shapes'), layer='(relu)#1'", "'photos')")])
    book.run_all()
    widget = book.widget("layer-explorer")
    rest(book, widget)
    book.execute("lab.image_index, lab.channel = 1, 7")
    for view, layer in (("maps", "stem.act"), ("deconvnet", "blocks.10.expand.act")):
        book.execute(f"lab.layer, lab.view = {layer!r}, {view!r}")
        rest(book, widget)
        picture(book, widget, f"explorer_photo_{view}")
    book.shut_down()


def main() -> None:
    """All pictures, or those of the widgets that are named: ``python tests/browser/pictures.py explorer``."""
    FOLDER.mkdir(exist_ok=True)
    wanted = sys.argv[1:] or ["compression", "explorer", "photos"]
    with tempfile.TemporaryDirectory() as folder, start_lab(Path(folder)) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), headless=True, args=["--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1250})
        for each in (compression, explorer, photos):
            if each.__name__ in wanted:
                each(page, lab)
        browser.close()


if __name__ == "__main__":
    main()
