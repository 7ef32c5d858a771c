"""What the layer explorer shows, view by view, against what the engine says of the same layer and image."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from explorer_wire import exact, pixels_of, show, small_experiment, stands_for
from torch import Tensor, nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine import inspect
from nnwidgets.engine.experiment.strongest import some_of
from nnwidgets.engine.inspect import contrast, deconvnet, feature_maps, filters, pooled, receptive_field, statistics
from nnwidgets.widgets._explorer_view import field_words, tile_side

pytestmark = pytest.mark.slow

EXAMPLES = ("digits/lenet5", "digits/resnet20", "shapes/vgg_small")


@pytest.fixture(scope="module")
def experiments() -> Iterator[dict[str, Any]]:
    made = {name: nw.load_example(name) for name in EXAMPLES}
    yield made
    for exp in made.values():
        exp.close()


@pytest.fixture
def open_explorer(experiments: dict[str, Any]) -> Iterator[Any]:
    """Gives an explorer of a bundled network by name; the experiment is as it was afterwards."""
    made: list[Any] = []

    def opened(name: str) -> Any:
        made.append(nw.LayerExplorer(experiments[name]))
        show(made[0])
        return made[0]

    yield opened
    for explorer in made:
        exp = explorer.experiment
        explorer.close()
        while exp.undo():
            pass


@pytest.fixture
def small() -> Iterator[Any]:
    explorer = nw.LayerExplorer(small_experiment())
    show(explorer)
    yield explorer
    explorer.close()
    explorer.experiment.close()


def maps_of(explorer: Any, network: Any = None, index: int | None = None) -> Tensor:
    """(C, H, W) from the engine for the row and image that are shown."""
    exp = explorer.experiment
    row = explorer._work.inspection.structure.find(explorer.layer)
    images = getattr(exp, explorer.sample).inputs([explorer.image_index if index is None else index])
    return feature_maps(exp.model if network is None else network, images, row.name, row.call)[0]


# --- maps -------------------------------------------------------------------------------------------------------------


def check_maps(explorer: Any, layer: str) -> None:
    panel = show(explorer, layer=layer)
    maps = maps_of(explorer)
    assert (panel["view"], panel["layer"]) == ("maps", layer)
    assert [tile["id"] for tile in panel["tiles"]] == list(range(min(len(maps), 512)))
    small = pooled(maps[:512], tile_side(min(len(maps), 512)))
    assert stands_for(panel["raster"], small), layer
    assert panel["raster"]["kind"] == ("diverging" if bool((maps[:512] < 0).any()) else "sequential")
    size = f"{maps.shape[1]} × {maps.shape[2]}"
    single = maps.shape[1:] == (1, 1)
    assert (size in panel["caption"]) == (not single) and ("averaged to" in panel["caption"]) == (small.shape != maps[:512].shape)
    unit = explorer.unit
    channel = min(explorer.channel, len(maps) - 1)
    assert (unit["layer"], unit["channel"]) == (layer, channel)
    assert np.allclose(exact(unit["map"]), maps[channel].numpy(), rtol=1e-5, atol=1e-6)
    place = unit["position"]["y"], unit["position"]["x"]
    strongest = float(maps[channel].max())
    raws = {name: figure["raw"] for name, figure in unit["figures"].items() if name in ("here", "maximum", "mean")}
    wanted = {} if single else {"maximum": strongest, "mean": float(maps[channel].mean())}
    assert raws == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    assert float(maps[channel][place]) == pytest.approx(strongest, rel=1e-5)


@pytest.mark.parametrize("name", ["digits/lenet5", "shapes/vgg_small"])
def test_maps_of_every_row_are_those_of_the_engine(open_explorer: Any, name: str) -> None:
    """Tiles within half a step of their bytes, the unit's numbers exactly."""
    explorer = open_explorer(name)
    explorer.image_index, explorer.channel = 3, 2
    rows = [row["id"] for row in explorer.tree if "maps" in row["views"]]
    assert len(rows) > 6
    for layer in rows:
        check_maps(explorer, layer)


@pytest.mark.parametrize(
    "layer", ["(relu)", "layer1.0.(add)", "layer1.0.(relu)#1", "layer2.0", "layer3.1.(relu)", "(mean)", "fc"]
)
def test_maps_of_functions_between_layers_of_a_resnet(open_explorer: Any, layer: str) -> None:
    """A functional ReLU, its second call, a residual sum, a container."""
    check_maps(open_explorer("digits/resnet20"), layer)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["conv1", "(relu)"])
def test_maps_of_every_row_of_a_resnet(open_explorer: Any, first: str) -> None:
    """Whether layers alone were captured before, or functions with them."""
    explorer = open_explorer("digits/resnet20")
    show(explorer, layer=first)
    for row in [row["id"] for row in explorer.tree if "maps" in row["views"]]:
        check_maps(explorer, row)


class Functions(nn.Module):
    """Means, sums and products: the very functions that drawing tiles needs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y = (y - y.mean((2, 3), keepdim=True)) * 2.0 + y.abs()
        y = y / (y.amax((2, 3), keepdim=True) + 1.0)
        logits: Tensor = self.fc(y.mean((2, 3)).clamp(-1, 1))
        return logits


def test_what_drawing_computes_is_not_taken_for_a_function_of_the_network() -> None:
    """Maps are drawn while the rest of the network still runs and is being watched."""
    torch.manual_seed(0)
    explorer = nw.LayerExplorer(small_experiment(Functions().eval()))
    for row in [row["id"] for row in explorer.tree if row["id"].startswith("(") and "maps" in row["views"]]:
        other = nw.LayerExplorer(explorer.experiment, layer=row)
        show(other)
        for layer in [each["id"] for each in other.tree if "maps" in each["views"]]:
            check_maps(other, layer)
        other.close()
    explorer.close()
    explorer.experiment.close()


@pytest.mark.parametrize("scale", ["layer", "tile"])
def test_one_scale_for_all_tiles_or_each_its_own(open_explorer: Any, scale: str) -> None:
    panel = show(open_explorer("digits/lenet5"), layer="conv2", scale=scale)
    assert ("ranges" in panel["raster"]) == (scale == "tile")
    assert ("each on its own scale" if scale == "tile" else "one scale") in panel["caption"]


def test_tiles_are_ordered_by_what_the_engine_says_of_the_maps(open_explorer: Any) -> None:
    explorer = open_explorer("digits/lenet5")
    show(explorer, layer="conv2", image_index=5)
    maps = maps_of(explorer)
    scores = {"mean": maps.mean((1, 2)), "variance": maps.flatten(1).var(1, correction=0), "maximum": maps.amax((1, 2))}
    for order, score in scores.items():
        panel = show(explorer, order=order)
        ids = [tile["id"] for tile in panel["tiles"]]
        assert sorted(ids) == list(range(50)) and (score[ids].diff() <= 1e-6).all()
        assert stands_for(panel["raster"], maps[ids]) and f"sorted by {order}" in panel["caption"]


def test_order_by_selectivity_measures_first(small: Any) -> None:
    panel = show(small, layer="(relu)", order="selectivity")
    found = statistics(small.experiment.model, small.experiment.val, "(relu)").units[0].selectivity
    assert found is not None and "sorted by class selectivity" in panel["caption"]
    assert (np.diff(found[[tile["id"] for tile in panel["tiles"]]]) <= 1e-9).all()


def test_a_place_that_is_clicked_is_the_one_that_is_told(open_explorer: Any) -> None:
    explorer = open_explorer("digits/lenet5")
    show(explorer, layer="conv2", channel=3, position="4,2")
    maps = maps_of(explorer)[3]
    assert explorer.unit["position"] == {"y": 4, "x": 2}
    assert explorer.unit["figures"]["here"]["raw"] == pytest.approx(float(maps[4, 2]), rel=1e-5)
    box = receptive_field(explorer.experiment.model, (1, 28, 28), "conv2").box(4, 2)
    assert explorer.unit["field"] == dict(zip(("y0", "x0", "y1", "x1"), box, strict=True))
    y, x = divmod(int(maps.argmax()), maps.shape[1])
    show(explorer, position=f"{y},{x}")
    assert "here" not in explorer.unit["figures"], "it is the maximum"
    for elsewhere in ("99,0", "-1,2", "8,8", "a,b", "1,2,3", "4;2", "²,1", "9" * 5000 + ",1", "__import__('os'),1"):
        show(explorer, position=elsewhere)
        assert explorer.unit["position"] == {"y": y, "x": x}, elsewhere
        assert elsewhere not in explorer.code


def test_a_channel_beyond_the_last_is_the_last(open_explorer: Any) -> None:
    explorer = open_explorer("digits/lenet5")
    for view in ("maps", "filters", "deconvnet"):
        show(explorer, layer="conv1", view=view, channel=2**70)
        assert explorer.unit["channel"] == 19
    assert "'conv1', 19)" in explorer.code


# --- images and answers -----------------------------------------------------------------------------------------------


def test_answers_are_the_probabilities_of_the_network(open_explorer: Any) -> None:
    explorer = open_explorer("shapes/vgg_small")
    exp = explorer.experiment
    for index in (0, 7):
        show(explorer, image_index=index)
        with torch.no_grad():
            wanted = exp.model(exp.val.inputs([index]))[0].softmax(0)
        rows = explorer.answers["rows"]
        names = [exp.class_names.index(row["name"]) for row in rows]
        assert [row["dense"] for row in rows] == pytest.approx(wanted[names].tolist(), abs=1e-5)
        assert names[0] == int(wanted.argmax()) and len(rows) == 5
        label = int(exp.val.labels[index])
        assert [row["truth"] for row in rows] == [name == label for name in names] and label in names
        assert explorer.answers["role"] == explorer.input["role"] == ("good" if names[0] == label else "bad")
        seen = exp.val.images[index].permute(1, 2, 0).numpy()
        assert np.array_equal(pixels_of(explorer.input["raster"])[0], seen)


def test_a_label_that_is_a_networks_answer_is_not_called_the_truth() -> None:
    """Nothing is right or wrong by it, and the image is not named by it."""
    for labelled_by, words in (("itself", "its own answer"), ("a teacher", "answer of a teacher")):
        split = E.Split(torch.randn(30, 1, 9, 9), torch.arange(30) % 3, labelled_by=labelled_by)
        explorer = nw.LayerExplorer(small_experiment(train=None, test=split))
        for index in range(4):
            show(explorer, image_index=index)
            rows = explorer.answers["rows"]
            assert [row["mark"] for row in rows] == [words if row["name"] == str(index % 3) else "" for row in rows]
            assert not any(row["truth"] for row in rows) and "role" not in explorer.answers
            assert explorer.answers["verdict"] == rows[0]["name"]
            assert explorer.input["title"] == f"image {index}" and "role" not in explorer.input
        explorer.close()
        explorer.experiment.close()


def test_the_photographs_are_labelled_by_the_network_itself() -> None:
    val = nw.load_example("photos").val
    assert val is not None and val.labelled_by == "itself"


@pytest.mark.parametrize(
    ("size", "box", "cut"),
    [
        ((5, 5), (3, 4, 8, 9), False),
        ((5, 5), (0, 4, 4, 9), True),
        ((5, 5), (3, 17, 8, 20), True),
        ((5, 5), (0, 0, 5, 5), False),
        ((5, 5), (3, 4, 7, 8), False),  # not every unit is as wide as the widest
    ],
)
def test_a_field_that_the_border_cuts_says_so(size: tuple[int, int], box: tuple[int, int, int, int], cut: bool) -> None:
    words = field_words(size, (20, 20), box)
    assert words.startswith("it sees 5 × 5 pixels") and ("cut off at the border" in words) == cut
    assert field_words((9, 9), (6, 6), (0, 0, 6, 6)) == "it sees 9 × 9 pixels, cut off at the border: here the whole image"
    assert words.endswith(f"rows {box[0]} to {box[2] - 1}, columns {box[1]} to {box[3] - 1}")


def test_calls_of_one_function_are_told_apart(open_explorer: Any) -> None:
    """In the tree and in the title of the unit, by the number in the row's id."""
    explorer = open_explorer("shapes/vgg_small")
    rows = [(row["name"], row["call"]) for row in explorer.tree if row["id"].startswith("(relu)")]
    assert rows == [("(relu)", call) for call in range(6)]
    show(explorer, layer="(relu)#2", channel=5)
    assert explorer.unit["title"] == "Channel 5 of (relu) #2"


def test_a_recipe_says_what_is_done_to_the_weights(small: Any) -> None:
    small.experiment.apply(E.Recipe(E.Pruning(0.9)))
    panel = show(small, compare=True)
    assert any("dense, 90 % of weights pruned, and the difference" in note["text"] for note in panel["notes"])


def test_images_are_gone_through_in_order_by_class_or_from_the_worst(open_explorer: Any) -> None:
    explorer = open_explorer("digits/lenet5")
    exp = explorer.experiment
    show(explorer, pick="class", picked_class=4, image_index=2)
    places = (exp.val.labels == 4).nonzero().flatten()
    assert explorer.input["count"] == len(places)
    assert explorer.input["title"] == f"image {int(places[2])}: 4"
    show(explorer, image_index=10**9)
    assert explorer.input["title"] == f"image {int(places[-1])}: 4" and explorer.input["index"] == len(places) - 1
    show(explorer, pick="worst", image_index=0)
    with torch.no_grad():
        logits = exp.model(exp.val.inputs(slice(None)))
    right = logits.gather(1, exp.val.labels[:, None])[:, 0]
    others = logits.scatter(1, exp.val.labels[:, None], -math.inf).amax(1)
    assert explorer.input["title"].startswith(f"image {int((right - others).argmin())}: ") and explorer.input["role"] == "bad"
    for sample in ("test", "train"):
        show(explorer, pick="index", sample=sample, image_index=1)
        assert explorer.input["count"] == len(getattr(exp, sample)) and explorer.input["caption"].startswith(f"of S_{sample}")
        assert np.array_equal(pixels_of(explorer.input["raster"])[0], getattr(exp, sample).images[1, 0].numpy())


# --- filters ----------------------------------------------------------------------------------------------------------


def test_filters_of_three_input_channels_are_in_colour(open_explorer: Any) -> None:
    explorer = open_explorer("shapes/vgg_small")
    panel = show(explorer, view="filters")
    weight = explorer.experiment.model.conv1.weight.detach()
    assert panel["raster"]["kind"] == "colour" and "in colour, zero is mid-grey" in panel["caption"]
    wanted = 128 + 127 * weight.permute(0, 2, 3, 1) / weight.abs().max()
    assert np.abs(pixels_of(panel["raster"]).astype(float) - wanted.numpy()).max() <= 0.51
    assert explorer.unit["filter"]["count"] == 1 and "in colour" in explorer.unit["filter_text"]
    panel = show(explorer, scale="tile")
    wanted = 128 + 127 * weight.permute(0, 2, 3, 1) / weight.abs().amax((1, 2, 3))[:, None, None, None]
    assert np.abs(pixels_of(panel["raster"]).astype(float) - wanted.numpy()).max() <= 0.51


def test_filters_of_one_input_channel_a_slice_or_the_mean(open_explorer: Any) -> None:
    explorer = open_explorer("digits/lenet5")
    model = explorer.experiment.model
    panel = show(explorer, view="filters", layer="conv1")
    assert stands_for(panel["raster"], model.conv1.weight[:, 0].detach()) and "input_channels" not in panel
    panel = show(explorer, layer="conv2")
    weight = model.conv2.weight.detach()
    assert stands_for(panel["raster"], weight.mean(1)) and panel["input_channels"] == 20
    panel = show(explorer, input_channel=7)
    assert stands_for(panel["raster"], weight[:, 7]) and "input channel 7 of 20" in panel["caption"]
    panel = show(explorer, scale="tile")
    assert stands_for(panel["raster"], weight[:, 7]) and len(panel["raster"]["ranges"]) == 50
    panel = show(explorer, input_channel=99)
    assert stands_for(panel["raster"], weight.mean(1)) and "mean over 20" in panel["caption"]


def test_a_weight_matrix_keeps_its_short_axis(open_explorer: Any) -> None:
    """10 outputs of 500 inputs stay ten rows; 500 by 800 is averaged, and says so."""
    explorer = open_explorer("digits/lenet5")
    model = explorer.experiment.model
    panel = show(explorer, view="filters", layer="fc2")
    assert stands_for(panel["raster"], model.fc2.weight.detach()[None]) and "averaged" not in panel["caption"]
    panel = show(explorer, layer="fc1")
    weight = model.fc1.weight.detach()
    assert (panel["raster"]["height"], panel["raster"]["width"]) == (500, 512)
    assert stands_for(panel["raster"], nn.functional.adaptive_avg_pool2d(weight[None], (500, 512)))
    assert "500 outputs (down) by 800 inputs (across)" in panel["caption"] and "averaged to 500 × 512" in panel["caption"]


def test_a_layer_without_weights_says_so_in_the_place_of_the_picture(open_explorer: Any) -> None:
    panel = show(open_explorer("digits/lenet5"), layer="pool1", view="filters")
    assert "has no filters or weight matrix" in panel["empty"] and panel["raster"] is None


# --- Deconvnet --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layer", "call", "position"),
    [
        ("digits/lenet5", "relu", 0, ""),
        ("digits/resnet20", "layer1.1.(relu)", 1, "5,6"),
        ("digits/resnet20", "layer2.0.(add)", 0, ""),
        ("shapes/vgg_small", "conv4", 0, "3,9"),
    ],
)
def test_projections_are_those_of_the_engine(open_explorer: Any, name: str, layer: str, call: int, position: str) -> None:
    explorer = open_explorer(name)
    exp = explorer.experiment
    row = layer if call == 0 else f"{layer}#{call}"
    panel = show(explorer, layer=row, view="deconvnet", channel=4, position=position)
    place = tuple(map(int, position.split(","))) if position else None
    images = exp.val.inputs([0])
    assert [column["title"] for column in panel["columns"]] == ["Deconvnet", "guided backpropagation", "gradient"]
    for rule, column in zip(("deconvnet", "guided", "gradient"), panel["columns"], strict=True):
        made = deconvnet(exp.model, images, layer, 4, place, rule, call)
        seen = contrast(made.pixels)[0]
        drawn = pixels_of(column["raster"])[0]
        wanted = (seen[..., 0] if seen.shape[-1] == 1 else seen).numpy().astype(int)
        assert np.abs(drawn.astype(int) - wanted).max() <= 1
        if rule != "gradient":
            told = f"{made.rewritten} of {made.activations} activations follow the rule: "
            assert column["caption"].startswith(told if made.activations else "no activation on the way")
        if column["raster"]["kind"] == "grey":
            assert np.allclose(exact(column["raster"]), made.pixels[0, 0].numpy(), rtol=1e-4, atol=1e-7)
            nonzero = made.pixels[made.pixels != 0].abs().numpy()
            assert column["raster"]["high"] == pytest.approx(float(np.percentile(nonzero, 99.5)), rel=1e-4)
    assert panel["channels"] == len(maps_of(explorer))
    assert (panel["caption"].startswith("its strongest position, ")) == (place is None and layer != "relu")
    assert place is None or panel["caption"].startswith(f"row {place[0]}, column {place[1]}, ")


def test_a_unit_that_is_off_has_no_projection_and_says_so(small: Any) -> None:
    with torch.no_grad():
        small.experiment.model.conv1.bias[2] = -100.0
    panel = show(small, layer="(relu)", view="deconvnet", channel=2)
    assert any("off (0)" in note["text"] for note in panel["notes"])
    assert all(set(column["raster"]["data"]) == {128} for column in panel["columns"])
    assert all((column["raster"]["low"], column["raster"]["high"]) == (0.0, 0.0) for column in panel["columns"])


# --- outputs over a sample --------------------------------------------------------------------------------------------


def test_histogram_and_figures_are_the_engines_statistics(small: Any) -> None:
    with torch.no_grad():
        small.experiment.model.conv1.bias[2] = -100.0
    panel = show(small, layer="(relu)", view="histogram", channel=1)
    found = statistics(small.experiment.model, small.experiment.val, "(relu)").units[0]
    assert found.dead.tolist() == [False, False, True, False, False, False]
    assert panel["figures"]["dead_share"]["raw"] == found.dead_share and panel["channels"] == 6
    assert panel["figures"]["sparse_share"]["raw"] == pytest.approx(found.sparse_share)
    bars = next(each for each in panel["charts"]["histogram"]["series"] if each["type"] == "bars")
    counts = found.layer_histogram
    shares = counts[np.flatnonzero(counts)[0] : np.flatnonzero(counts)[-1] + 1] / counts.sum()
    assert bars["y1"] == pytest.approx(np.maximum(shares, 1e-6).tolist())
    line = next(each for each in panel["charts"]["histogram"]["series"] if each["type"] == "line")
    assert line["label"] == "channel 1"
    alive = panel["charts"]["channels"]["series"][0]
    assert alive["y1"] == pytest.approx(np.maximum(np.sort(found.alive)[::-1], 0.012).tolist())
    assert next(row for row in small.tree if row["id"] == "(relu)")["dead_text"] == "1 of 6 dead"
    assert small.unit["figures"]["alive"]["raw"] == pytest.approx(float(found.alive[1]))
    profile = small.unit["charts"]["profile"]["series"][0]
    assert found.class_means is not None
    means = found.class_means[:, 1]
    assert profile["y1"] == pytest.approx(np.maximum(means, 0).tolist())


def test_a_channel_beyond_the_last_is_the_last_in_the_histogram_too(small: Any) -> None:
    panel = show(small, layer="conv1", view="histogram", channel=99)
    assert [each["label"] for each in panel["charts"]["histogram"]["series"]] == ["all channels", "channel 5"]


class Logarithm(nn.Module):
    """A layer of NaN and infinity inside a network that answers in numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(torch.log(self.conv(x)).nan_to_num(0.0, 0.0, 0.0).mean((2, 3)))
        return logits


def test_maps_that_are_no_numbers_are_drawn_with_a_warning_and_measured_no_more_than_once() -> None:
    explorer = nw.LayerExplorer(small_experiment(Logarithm().eval()))
    panel = show(explorer, layer="(log)")
    assert panel["notes"] == [{"text": "NaN or infinity in 4 of 4 channels", "role": "warn"}]
    assert math.isfinite(panel["raster"]["low"]) and math.isfinite(panel["raster"]["high"])
    assert "raw" not in explorer.unit["figures"]["mean"] and explorer.unit["figures"]["mean"]["value"] == "nan"
    assert np.isnan(exact(explorer.unit["map"])).any(), "the pointer still tells what is there"
    panel = show(explorer, view="histogram")
    assert "NaN" in panel["empty"] and not panel["busy"]
    panel = show(explorer, view="deconvnet")
    assert "NaN or infinite" in panel["empty"]
    explorer.close()
    explorer.experiment.close()


def test_a_container_offers_no_histogram_and_says_why(open_explorer: Any) -> None:
    explorer = open_explorer("digits/resnet20")
    assert "histogram" not in next(row for row in explorer.tree if row["id"] == "layer1")["views"]
    assert "container" in show(explorer, layer="layer1", view="histogram")["empty"]


# --- attention, vectors, sequences ------------------------------------------------------------------------------------


def test_attention_is_drawn_head_by_head() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(), nn.Linear(72, 3)).eval()
    explorer = nw.LayerExplorer(small_experiment(net, (9, 8)))
    panel = show(explorer, layer="0.self_attn", view="attention")
    wanted = inspect.attention_maps(net, explorer.experiment.val.inputs([0]), "0.self_attn")[0]
    assert stands_for(panel["raster"], wanted) and panel["title"] == "2 heads of 0.self_attn"
    assert (explorer.input["raster"]["height"], explorer.input["raster"]["width"]) == (9, 8) and not explorer.input["drawable"]
    for row in [row for row in explorer.tree if "maps" in row["views"]]:
        check_maps_of(explorer, row["id"])
    explorer.close()
    explorer.experiment.close()


def check_maps_of(explorer: Any, layer: str) -> None:
    panel = show(explorer, layer=layer, view="maps")
    assert stands_for(panel["raster"], maps_of(explorer)), layer


class Recurrent(nn.Module):
    """Answers from the last step of an LSTM, which gives a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(5, 7, batch_first=True), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.lstm(x)
        logits: Tensor = self.fc(steps[:, -1])
        return logits


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (Recurrent(), (11, 5)),
        (nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), (6,)),
        (nn.Sequential(nn.Conv1d(12, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)), (12, 5)),
    ],
    ids=["LSTM", "vectors", "Conv1d"],
)
def test_row_36_vectors_and_sequences_have_a_fitting_view(net: nn.Module, shape: tuple[int, ...]) -> None:
    explorer = nw.LayerExplorer(small_experiment(net.eval(), shape))
    show(explorer)
    assert (explorer.input["raster"]["height"], explorer.input["raster"]["width"]) == (1, *shape)[-2:]
    for row in explorer.tree:
        check_maps_of(explorer, row["id"])
        for view in row["views"]:
            if view in ("filters", "deconvnet", "histogram"):
                panel = show(explorer, view=view)
                assert panel["raster"] or panel["columns"] or panel["charts"] or panel["empty"]
    explorer.close()
    explorer.experiment.close()


class Halves(nn.Module):
    """Computes in half precision inside."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3).bfloat16(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(x.bfloat16()).relu().float().mean((2, 3)))
        return logits


def test_half_precision_is_shown() -> None:
    explorer = nw.LayerExplorer(small_experiment(Halves().eval()))
    for layer in ("conv", "(relu)"):
        panel = show(explorer, layer=layer, view="maps", order="variance")
        maps = maps_of(explorer).float()
        assert stands_for(panel["raster"], maps[[tile["id"] for tile in panel["tiles"]]])
        assert np.array_equal(exact(explorer.unit["map"]), maps[0].numpy())
    explorer.close()
    explorer.experiment.close()


# --- the compressed network beside the dense one ----------------------------------------------------------------------

RECIPES = {
    "pruned": E.Recipe(E.Pruning(0.8)),
    "rounded": E.Recipe(None, E.Quantization(3, granularity="tensor", symmetric=False)),
    "both": E.Recipe(E.Pruning(0.5, structure="filter", allocation="uniform"), E.Quantization(4)),
}


@pytest.mark.parametrize(
    ("name", "layer", "recipe"),
    [
        ("digits/lenet5", "conv2", "pruned"),
        ("digits/lenet5", "relu", "both"),
        pytest.param("digits/resnet20", "layer1.0.(add)", "rounded", marks=pytest.mark.slow),
        pytest.param("digits/resnet20", "(relu)", "pruned", marks=pytest.mark.slow),
        pytest.param("digits/resnet20", "layer3.2", "both", marks=pytest.mark.slow),
        pytest.param("shapes/vgg_small", "bn2", "pruned", marks=pytest.mark.slow),
        pytest.param("shapes/vgg_small", "conv1", "both", marks=pytest.mark.slow),
    ],
)
def test_comparing_is_on_one_scale_tile_by_tile(open_explorer: Any, name: str, layer: str, recipe: str) -> None:
    """Both rasters, the difference and the answers are those of the two networks."""
    explorer = open_explorer(name)
    exp = explorer.experiment
    exp.apply(RECIPES[recipe])
    show(explorer, layer=layer, compare=True)
    dense, changed = maps_of(explorer), maps_of(explorer, exp.compressed)
    side = tile_side(3 * len(dense))
    for scale in ("layer", "tile"):
        panel = show(explorer, scale=scale)
        first, second, difference = panel["raster"], panel["other"], panel["difference"]
        assert stands_for(first, pooled(dense, side)) and stands_for(second, pooled(changed, side))
        assert [first[key] for key in ("low", "high", "kind")] == [second[key] for key in ("low", "high", "kind")]
        assert first.get("ranges") == second.get("ranges") and ("ranges" in first) == (scale == "tile")
        assert stands_for(difference, pooled(changed, side) - pooled(dense, side)) and difference["kind"] == "diverging"
    with torch.no_grad():
        images = exp.val.inputs([0])
        wanted = [network(images)[0].softmax(0) for network in (exp.model, exp.compressed)]
    for row in explorer.answers["rows"]:
        k = exp.class_names.index(row["name"])
        assert (row["dense"], row["other"]) == pytest.approx((float(wanted[0][k]), float(wanted[1][k])), abs=2e-4)
    assert explorer.answers["other_title"] == "compressed"


def test_it_follows_each_new_recipe_while_it_compares(open_explorer: Any) -> None:
    explorer = open_explorer("digits/lenet5")
    exp = explorer.experiment
    show(explorer, layer="conv2", compare=True)
    assert set(explorer.panel["difference"]["data"]) == {128}, "nothing is compressed yet"
    shown = []
    for amount in (0.5, 0.9, 0.99):
        exp.apply(E.Recipe(E.Pruning(amount)))
        show(explorer)
        changed = maps_of(explorer, exp.compressed)
        assert stands_for(explorer.panel["other"], pooled(changed, tile_side(150)))
        shown.append(explorer.panel["other"]["data"])
    exp.undo()
    show(explorer)
    assert explorer.panel["other"]["data"] == shown[1]
    show(explorer, compare=False)
    assert explorer.panel["other"] is None and explorer.answers["other_title"] == ""


def test_filters_of_the_compressed_network_are_shown_while_it_compares(open_explorer: Any) -> None:
    explorer = open_explorer("digits/lenet5")
    explorer.experiment.apply(E.Recipe(E.Pruning(0.9)))
    panel = show(explorer, layer="conv1", view="filters", compare=True)
    dense, small = (filters(net, "conv1").tiles[:, 0] for net in (explorer.experiment.model, explorer.experiment.compressed))
    assert stands_for(panel["raster"], dense) and stands_for(panel["other"], small)
    assert stands_for(panel["difference"], small - dense)


@pytest.mark.parametrize("view", ["filters", "deconvnet"])
def test_answers_are_compared_in_other_views_too(small: Any, view: str) -> None:
    small.experiment.apply(E.Recipe(E.Pruning(0.9)))
    show(small, view=view, compare=True)
    with torch.no_grad():
        wanted = small.experiment.compressed(small.experiment.val.inputs([0]))[0].softmax(0)
    found = {int(row["name"]): row["other"] for row in small.answers["rows"]}
    assert [found[k] for k in range(3)] == pytest.approx(wanted.tolist(), abs=1e-5)


# --- code and figures -------------------------------------------------------------------------------------------------

PUBLIC = ("attention_maps", "deconvnet", "feature_maps", "filters", "statistics")


def ran(explorer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the last line of the printed code gives, run in a namespace of its own."""
    for name in PUBLIC:
        monkeypatch.setattr(E, name, getattr(inspect, name), raising=False)
    lines = explorer.code.rstrip().splitlines()
    count = 2 if explorer.compare and explorer.view == "maps" else 1
    names: dict[str, Any] = {}
    exec("\n".join(lines[:-count]), names)
    found = [eval(line.partition("  #")[0], names) for line in lines[-count:]]
    names["exp"].close()
    return found[0] if count == 1 else found


@pytest.mark.parametrize(
    ("name", "traits"),
    [
        ("digits/lenet5", {"layer": "conv2", "image_index": 5}),
        ("digits/lenet5", {"layer": "conv2", "pick": "class", "picked_class": 3, "image_index": 4, "sample": "test"}),
        ("digits/resnet20", {"layer": "layer1.0.(relu)#1", "image_index": 2}),
        ("digits/resnet20", {"layer": "layer3.0.(add)", "pick": "worst"}),
    ],
)
def test_the_code_gives_the_maps(open_explorer: Any, monkeypatch: pytest.MonkeyPatch, name: str, traits: dict[str, Any]) -> None:
    explorer = open_explorer(name)
    panel = show(explorer, **traits)
    maps = ran(explorer, monkeypatch)
    assert stands_for(panel["raster"], pooled(maps, tile_side(len(maps))))


def test_the_code_gives_both_networks_of_a_comparison(open_explorer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = open_explorer("digits/lenet5")
    explorer.experiment.apply(RECIPES["both"])
    panel = show(explorer, layer="conv2", compare=True)
    dense, changed = ran(explorer, monkeypatch)
    assert stands_for(panel["raster"], dense) and stands_for(panel["other"], changed)
    panel = show(explorer, view="filters")
    assert stands_for(panel["other"], ran(explorer, monkeypatch)), "the last line is of the compressed network"


@pytest.mark.parametrize(
    ("layer", "input_channel"), [("conv1", -1), ("conv2", -1), ("conv2", 7), ("conv2", 99), ("fc1", -1), ("fc2", 3)]
)
def test_the_code_gives_the_filters(open_explorer: Any, monkeypatch: pytest.MonkeyPatch, layer: str, input_channel: int) -> None:
    explorer = open_explorer("digits/lenet5")
    panel = show(explorer, layer=layer, view="filters", input_channel=input_channel)
    found = ran(explorer, monkeypatch)
    wanted = {2: found[None], 3: found}.get(found.dim(), found[:, 0] if found.dim() == 4 else None)
    assert stands_for(panel["raster"], pooled(wanted, (512, 512)))


@pytest.mark.parametrize("traits", [{"layer": "conv2", "channel": 99}, {"layer": "conv1", "channel": 2, "position": "3, 4"}])
def test_the_code_gives_the_projection(open_explorer: Any, monkeypatch: pytest.MonkeyPatch, traits: dict[str, Any]) -> None:
    explorer = open_explorer("digits/lenet5")
    panel = show(explorer, view="deconvnet", **traits)
    seen = contrast(ran(explorer, monkeypatch))[..., 0].numpy().astype(int)
    assert np.abs(pixels_of(panel["columns"][0]["raster"])[0].astype(int) - seen).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "sample"), [("conv1", "val"), ("conv1", "test")])
def test_the_code_gives_the_statistics(open_explorer: Any, monkeypatch: pytest.MonkeyPatch, layer: str, sample: str) -> None:
    """Also of a sample of which only 2,000 images were drawn."""
    explorer = open_explorer("digits/lenet5")
    panel = show(explorer, layer=layer, view="histogram", sample=sample)
    found = ran(explorer, monkeypatch)
    assert found.n == min(2000, len(getattr(explorer.experiment, sample)))
    assert panel["figures"]["dead_share"]["raw"] == found.dead_share
    bars = panel["charts"]["channels"]["series"][0]
    assert bars["y1"] == pytest.approx(np.maximum(np.sort(found.alive)[::-1], 0.012).tolist())


def test_the_code_of_a_second_call_names_the_call(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    show(small, layer="(relu)#1", view="histogram")
    assert "E.statistics(exp.model, exp.val).of('(relu)', 1)" in small.code
    show(small, view="deconvnet", channel=3)
    assert "E.deconvnet(exp.model, images, '(relu)', 3, call=1).pixels[0]" in small.code
    assert "exp = nw.Experiment(model, train=train, test=test, goal=0.03)" in small.code


def test_the_drawn_sample_of_the_code_is_the_one_that_is_measured(experiments: dict[str, Any]) -> None:
    split = experiments["digits/lenet5"].test
    few = split.take(torch.randperm(4000, generator=torch.Generator().manual_seed(0))[:2000].sort().values)
    assert torch.equal(few.images, some_of(split, 2000).images)


@pytest.mark.parametrize(
    "traits",
    [
        {"layer": "conv1"},
        {"layer": "conv1", "compare": True},
        {"layer": "fc", "view": "filters"},
        {"layer": "conv2", "view": "filters"},
        {"layer": "(relu)", "view": "deconvnet"},
        {"layer": "(relu)#1", "view": "histogram"},
        {"layer": "(relu)", "view": "filters"},
    ],
    ids=str,
)
def test_a_figure_draws_what_is_on_the_screen(small: Any, traits: dict[str, Any]) -> None:
    panel = show(small, **traits)
    page = small.figure()
    words = {text.get_text() for text in page.findobj(lambda artist: hasattr(artist, "get_text"))}
    assert f"{panel['title']}\n{panel['caption']}" in words
    assert small.input["title"] in words and (small.unit is None or small.unit["title"] in words)
    pictures = [image for figure in page.subfigs for axes in figure.axes for image in axes.get_images()]
    tiles = min(len(panel["tiles"]), 64) if panel["raster"] else 0
    wanted = tiles * (3 if panel["other"] else 1) + len(panel["columns"]) + 1 + (small.unit is not None)
    assert len(pictures) == wanted
    buffer = io.BytesIO()
    page.savefig(buffer, format="svg")
    assert buffer.getvalue().startswith(b"<?xml") and len(buffer.getvalue()) > 10_000


def test_a_figure_of_many_tiles_says_how_many_it_draws(open_explorer: Any) -> None:
    explorer = open_explorer("shapes/vgg_small")
    show(explorer, layer="conv6")
    words = {text.get_text() for text in explorer.figure().findobj(lambda artist: hasattr(artist, "get_text"))}
    assert "the first 64 of 128" in words


def test_names_are_no_formulas_in_a_figure() -> None:
    """Nor is markup anything but text."""
    names = ["<img src=x onerror=alert(1)>", "$\\frac$", "a$_b$"]
    net = nn.Sequential()
    net.add_module("$\\frac$<img onerror>", nn.Conv2d(1, 2, 3))
    net.add_module("flat", nn.Flatten())
    net.add_module("out", nn.Linear(98, 3))
    explorer = nw.LayerExplorer(small_experiment(net.eval(), class_names=names, title="$\\nonsense$ <b>"))
    for view in ("maps", "histogram"):
        show(explorer, view=view)
        buffer = io.BytesIO()
        explorer.figure().savefig(buffer, format="svg")
        assert b"<img" not in buffer.getvalue()
    assert explorer.tree[0]["path"] == "$\\frac$<img onerror>" and explorer.about["classes"] == names
    place = int((explorer.experiment.val.labels == 0).nonzero()[0])
    show(explorer, image_index=place)
    assert explorer.input["title"] == f"image {place}: <img src=x onerror=alert(1)>"
    assert {row["name"] for row in explorer.answers["rows"]} == set(names)
    explorer.close()
    explorer.experiment.close()
