"""How soon the layer explorer shows a layer: from a click in the page to the frame that shows it, beside what it takes at least.

VGG16 at 224 (random weights) against its bare forward pass in the same kernel, in turns. 512 maps as one atlas against a bare
widget in the same page that gets them as 512 PNGs. A frame counts once it has been painted, as in bench_browser.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figures import Figure
from lab import Lab, Notebook, find_browser, start_lab
from playwright.sync_api import Browser, sync_playwright

__all__ = ["figures"]

FLAGS = ("--disable-gpu", "--disable-background-networking")
LAYERS = ("features.7", "features.14", "features.28")  # 128 x 112 x 112, 256 x 56 x 56, 512 x 14 x 14
IMAGES, REPEATS = 8, 9

# Each middle that was published: its number, the layer and the image that it is of. And the bare pass of the same network.
VGG16 = """
import time, torch
import nnwidgets as nw
from nnwidgets.engine.experiment import load_torchvision
exp = load_torchvision("vgg16")
published = []
def note(change):
    shown, image = explorer.panel, explorer.input
    if shown and image and shown["raster"] is not None:
        published.append((explorer.seq, shown["layer"], image["index"]))
def bare():
    images = exp.val.inputs([0])
    with torch.inference_mode():
        began = time.perf_counter()
        exp.model(images)
        return 1000 * (time.perf_counter() - began)
explorer = nw.LayerExplorer(exp, layer="features.7")
explorer.observe(note, "panel")
explorer
"""

# 512 maps of 56 x 56 that cost nothing to compute, and the same maps as PNGs.
MAPS = """
import io, torch
import anywidget
from PIL import Image
from torch import nn
import nnwidgets as nw
from nnwidgets import engine as E
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 512, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)).eval()
split = E.Split(torch.randint(0, 256, (20, 3, 56, 56), dtype=torch.uint8), torch.arange(20) % 10, [0.5] * 3, [0.25] * 3)
exp = nw.Experiment(net, test=split)
published = []
def note(change):
    if explorer.panel and explorer.panel["raster"] is not None:
        published.append((explorer.seq, explorer.scale))
explorer = nw.LayerExplorer(exp, layer="1")
explorer.observe(note, "panel")
explorer
"""
PNGS = '''
class Pngs(anywidget.AnyWidget):
    _esm = """
    export default { render({model, el}) {
      el.innerHTML = `<div data-nnw="pngs" data-nnw-seq="0"><button>again</button><p></p></div>`;
      const root = el.firstChild, place = root.querySelector("p");
      root.querySelector("button").addEventListener("click", () => model.send({side: Number(root.dataset.side)}));
      model.on("msg:custom", async (message, buffers) => {
        const addresses = buffers.map(buffer => URL.createObjectURL(new Blob([buffer], {type: "image/png"})));
        const images = addresses.map(src => Object.assign(new Image(28, 28), {src}));
        place.replaceChildren(...images);
        await Promise.all(images.map(image => image.decode()));
        root.dataset.nnwSeq = String(Number(root.dataset.nnwSeq) + 1);
        images.forEach(image => URL.revokeObjectURL(image.src)); });
    } };"""
    def __init__(self):
        super().__init__()
        self.on_msg(self._again)
    def _again(self, widget, message, buffers):
        maps = torch.nn.functional.adaptive_avg_pool2d(computed[:, None], message["side"])[:, 0]
        levels = (255 * (maps - maps.min()) / (maps.max() - maps.min())).round().to(torch.uint8).numpy()
        files = []
        for level in levels:
            file = io.BytesIO()
            Image.fromarray(level).save(file, "PNG")
            files.append(file.getvalue())
        self.send({}, files)
with torch.inference_mode():
    computed = net[:2](split.inputs([0]))[0]
pngs = Pngs()
pngs
'''

# Clicks, and tells when which publication was painted (the second frame after the change), until `stop` of them, or at rest.
_CLICK = """async ([root, target, seconds, stop]) => {
  const painted = [];
  const number = () => Number(root.dataset.nnwSeq ?? -1);
  let changed = performance.now();
  const watch = new MutationObserver(() => {
    const seq = number();
    changed = performance.now();
    requestAnimationFrame(() => requestAnimationFrame(() => painted.push([seq, performance.now()])));
  });
  watch.observe(root, {attributes: true, attributeFilter: ['data-nnw-seq']});
  const before = number(), began = performance.now();
  target.click();
  const rest = () => root.dataset.nnwStatus === 'idle' && number() > before && performance.now() - changed > 400;
  while (performance.now() - began < 1000 * seconds) {
    await new Promise(done => setTimeout(done, 20));
    if (stop ? painted.length >= stop : rest()) break;
  }
  await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame);
  await new Promise(done => setTimeout(done, 60));
  watch.disconnect();
  return painted.map(([seq, at]) => [seq, at - began]); }"""


class Page:
    """One notebook with an explorer."""

    def __init__(self, browser: Browser, server: Lab, name: str, cells: list[str]) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 1600})
        page = self.context.new_page()
        page.set_default_timeout(120_000)
        self.book = Notebook.open(page, server, f"{name}.ipynb", cells)
        self.book.run_all()
        self.explorer = self.book.widget("layer-explorer")
        self.rest()

    def rest(self) -> None:
        """Wait until the kernel has no work and the page shows its last publication."""
        assert self.book.python("explorer.wait(180)") is True
        self.explorer.wait_idle(after=self.book.python("explorer.seq") - 1)

    def click(self, selector: str, stop: int = 0, widget: str = "layer-explorer") -> list[tuple[int, float]]:
        """(sequence number, ms after the click) of what was painted."""
        root = self.book.widget(widget).root
        target = root.locator(selector).first.element_handle()
        found: list[list[float]] = self.book.page.evaluate(_CLICK, [root.element_handle(), target, 60, stop])
        return [(int(seq), at) for seq, at in found]

    def shown(self, selector: str, wanted: tuple[Any, ...]) -> tuple[float, float]:
        """(ms to the paint of a middle that is wanted, ms to the paint of the last publication) after a click."""
        seq = self.explorer.seq
        painted = self.click(selector)
        self.rest()
        told = self.book.python(f"[entry for entry in published if entry[0] > {seq}]")
        first = next(entry[0] for entry in told if tuple(entry[1:]) == wanted)
        return next(at for number, at in painted if number >= first), painted[-1][1]

    def close(self) -> None:
        """End the kernel and the page."""
        self.book.shut_down()
        self.context.close()


def _vgg16(browser: Browser, server: Lab) -> Iterator[Figure]:
    """Images are gone through; of each, a layer is shown for the first time, and then two others of the same image."""
    page = Page(browser, server, "vgg16", [VGG16])
    page.book.python("[bare() for _ in range(2)]")
    first: dict[str, list[tuple[float, float, float]]] = {layer: [] for layer in LAYERS}
    cached: dict[str, list[tuple[float, float]]] = {layer: [] for layer in LAYERS}
    image = 0
    for layer in LAYERS:
        page.click(f'[data-nnw-layer="{layer}"]')
        page.rest()
        for _ in range(IMAGES):
            image += 1
            bare = page.book.python("bare()")
            first[layer].append((*page.shown(".pair-buttons button:last-child", (layer, image)), bare))
            for other in LAYERS:
                if other != layer:
                    cached[other].append((page.shown(f'[data-nnw-layer="{other}"]', (other, image))[0], bare))
            page.click(f'[data-nnw-layer="{layer}"]')
            page.rest()
    page.close()
    for layer in LAYERS:
        maps, all_of_it, bare_ms = zip(*first[layer], strict=True)
        note = f"{statistics.median(maps):.0f} ms, bare {statistics.median(bare_ms):.0f} ms"
        name = f"VGG16 at 224, another image: click to the maps of {layer} painted / bare forward"
        yield Figure(name, tuple(a / b for a, b in zip(maps, bare_ms, strict=True)), ("<=", 1.5), note=note)
        name = f"VGG16 at 224, another image: click to unit, image and answers painted too ({layer}) / bare forward"
        yield Figure(name, tuple(a / b for a, b in zip(all_of_it, bare_ms, strict=True)))
        maps, bare_ms = zip(*cached[layer], strict=True)
        note = f"{statistics.median(maps):.0f} ms"
        name = f"VGG16 at 224, from the cached forward: click to the maps of {layer} painted / bare forward"
        yield Figure(name, tuple(a / b for a, b in zip(maps, bare_ms, strict=True)), ("<=", 0.2), note=note)


def _atlas(browser: Browser, server: Lab) -> Iterator[Figure]:
    """The two take turns."""
    page = Page(browser, server, "maps", [MAPS, PNGS])
    pngs = page.book.widget("pngs").root
    pairs: dict[int, list[tuple[float, float]]] = {28: [], 56: []}
    for turn in range(2 * (REPEATS + 1)):
        side = (28, 56)[turn % 2]
        pngs.evaluate("(root, side) => { root.dataset.side = side; }", side)
        slow = page.click("button", stop=1, widget="pngs")[-1][1]
        scale = ("tile", "layer")[turn % 2]
        fast = page.shown(f'[data-nnw-control="scale"] input[value="{scale}"]', (scale,))[0]
        if turn > 1:  # first calls pay for what later ones find ready
            pairs[side].append((slow, fast))
    page.close()
    for side, what in ((28, "averaged to 28 x 28, as the explorer's"), (56, "as they are")):
        slow_ms, fast_ms = zip(*pairs[side], strict=True)
        note = f"{statistics.median(slow_ms):.0f} ms and {statistics.median(fast_ms):.0f} ms"
        name = f"512 maps of 56 x 56: click to 512 PNGs ({what}) painted / to the explorer's atlas"
        yield Figure(name, tuple(a / b for a, b in zip(slow_ms, fast_ms, strict=True)), (">=", 10.0), note=note)


def figures() -> Iterator[Figure]:
    """First shown, from the cached forward, and against pictures one by one."""
    path = find_browser()
    if path is None:
        raise FileNotFoundError("no chromium or chrome on the PATH; set NNW_CHROMIUM to the path of one")
    with tempfile.TemporaryDirectory() as folder, start_lab(Path(folder) / "lab") as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=list(FLAGS))
        yield from _vgg16(browser, server)
        yield from _atlas(browser, server)
        browser.close()
