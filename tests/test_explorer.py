"""The attention explorer without a browser: what it is given, what it answers, what it writes. The page has tests/browser."""

import base64
import csv
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch
import traitlets

from exemplar_lab.correspondence import DenseMatch, FactoredMatch, SparseMatch
from exemplar_lab.data.synth.people import People
from exemplar_lab.data.synth.world import LABELS
from exemplar_lab.translation import Batch, Translation, Truth
from exemplar_lab.widgets import explorer as module
from exemplar_lab.widgets.explorer import AttentionExplorer
from exemplar_lab.widgets.state import state_of


def a_pair(samples: int = 2) -> tuple[Translation, Batch]:
    """8 × 8 pictures, 4 × 4 dense, 8 × 8 sparse and 8 × 8 factored rows, and a truth that moves everything by two pixels."""
    flow = torch.stack(torch.meshgrid(torch.arange(8.0) + 2.5, torch.arange(8.0) + 0.5, indexing="xy")).expand(samples, 2, 8, 8)
    truth = Truth(
        flow=flow,
        visible=flow[:, 0] < 8,
        target_part=torch.randint(-1, 3, (samples, 8, 8)),
        exemplar_part=torch.randint(-1, 3, (samples, 8, 8)),
    )
    picture = torch.rand(4, samples, 3, 8, 8)
    batch = Batch(picture[0], picture[1], picture[2], picture[3], torch.ones(samples, dtype=torch.bool), truth)
    weight = torch.rand(samples, 64, 5)
    weight[:, :, 0] = 0
    matches = (
        DenseMatch((4, 4), (4, 4), torch.softmax(torch.randn(samples, 16, 16), -1)),
        SparseMatch((8, 8), (8, 8), torch.rand(samples, 64, 64).argsort(-1)[..., :5], weight),
        FactoredMatch((8, 8), (8, 8), torch.rand(samples, 64, 3), torch.rand(samples, 3), torch.rand(samples, 3, 64)),
    )
    warps = tuple(torch.rand(samples, 3, *match.query_size) for match in matches)
    return Translation(torch.rand(samples, 3, 8, 8), warps, matches), batch


@pytest.fixture
def asked(monkeypatch):
    """`asked(explorer, **question)` gives the answer and its buffers, as they are sent to the page."""
    sent = []
    monkeypatch.setattr(AttentionExplorer, "send", lambda self, content, buffers=None: sent.append((content, buffers)))

    def ask(explorer: AttentionExplorer, **question) -> tuple[dict, list | None]:
        explorer._handle_custom_msg({"ask": 7, "layer": 0, "side": "target", "cell": 0, "off": []} | question, [])
        return sent.pop()

    return ask


def line(answer: tuple[dict, list], cells: int) -> np.ndarray:
    content, (index, weight) = answer
    assert content["answer"] == 7
    found = np.zeros(cells)
    found[np.frombuffer(index, "<u4") if index else np.arange(cells)] = np.frombuffer(weight, "<f4")
    return found


def test_the_page_gets_the_rows_that_it_asks_for(asked):
    translation, batch = a_pair()
    explorer = AttentionExplorer(translation, batch, sample=1)
    for layer, match in enumerate(translation.matches):
        queries = match.query_size[0] * match.query_size[1]
        for cell in (0, queries // 3, queries - 1):
            row = line(asked(explorer, layer=layer, cell=cell), match.key_size[0] * match.key_size[1])
            np.testing.assert_allclose(row, match.rows(torch.tensor([cell]))[1, 0], atol=1e-6)
            column = line(asked(explorer, layer=layer, cell=cell, side="exemplar"), queries)
            np.testing.assert_allclose(column, match.columns(torch.tensor([cell]))[1, 0], atol=1e-6)
    content, (index, weight) = asked(explorer, layer=1, cell=9)
    assert sorted(np.frombuffer(index, "<u4")) == sorted(translation.matches[1].index[1, 9].tolist())
    assert (np.frombuffer(weight, "<f4") == 0).sum() == 1, "the pruned candidate is among them"


def test_regions_that_are_switched_off_give_nothing(asked):
    translation, batch = a_pair()
    explorer = AttentionExplorer(translation, batch)
    match = translation.matches[2]
    gate = match.gate[0].clone()
    gate[[0, 2]] = 0
    wanted = (match.query_factor[0, 5] * gate) @ match.key_factor[0]
    np.testing.assert_allclose(line(asked(explorer, layer=2, cell=5, off=[0, 2]), 64), wanted, atol=1e-6)
    for side, parts in (
        ("target", match.query_factor[0, 5] * gate * match.key_factor[0].sum(1)),
        ("exemplar", match.key_factor[0, :, 5] * gate * match.query_factor[0].sum(0)),
    ):
        content, _ = asked(explorer, layer=2, cell=5, side=side, off=[0, 2])
        np.testing.assert_allclose(content["shares"], parts / parts.sum(), atol=1e-6)
    assert asked(explorer, layer=0, cell=5)[0]["shares"] is None, "no regions"
    explorer.off = {"2": [2, 0]}
    np.testing.assert_allclose(explorer.row((5.5, 0.5), layer=2).weight, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"layer": 3}, "got layer 3, expected 0 … 2"),
        ({"cell": 16}, "got cell 16, expected 0 … 15 in a grid of 4 × 4"),
        ({"side": "left"}, "got the side 'left', expected one of target, exemplar"),
        ({"layer": 2, "off": [3]}, r"got the regions [3] to switch off, expected some of 0 … 2"),
    ],
)
def test_a_wrong_question_gets_words(asked, question, words):
    content, buffers = asked(AttentionExplorer(*a_pair()), **question)
    assert content == {"answer": 7, "error": words} and buffers is None


def test_numbers_by_hand():
    weight = torch.tensor([0.5, 0.25, 0.0, 0.25])
    match = SparseMatch((1, 1), (2, 4), torch.tensor([[[1, 2, 7, 6]]]), weight[None, None])
    flow = torch.tensor([5.0, 1.0])[None, :, None, None].expand(1, 2, 4, 8).clone()
    labels = torch.tensor([0, 0, 1, 1, 2, 2, -1, -1]).expand(4, 8)
    explorer = AttentionExplorer(
        match,
        torch.rand(3, 4, 8),
        torch.rand(3, 4, 8),
        truth=Truth(flow, torch.ones(1, 4, 8, dtype=torch.bool)),
        target_labels=labels,
        exemplar_labels=labels,
        label_names=("sky", "sea"),
    )
    found = explorer.numbers((3.5, 0.5))
    assert (found["mass"], found["kept"], found["pruned"], found["never"], found["argmax"]) == (1.0, 3, 1, 4, 1)
    # The argmax is cell 1; cells 2 and 6 are next to it: x = (0.5·1.5 + 0.25·2.5 + 0.25·2.5) · 2, y = (0.75·0.5 + 0.25·1.5) · 2
    assert found["expected"] == pytest.approx((4.0, 1.5))
    assert found["distance"] == pytest.approx(np.hypot(1.0, 0.5))
    assert found["label"] == "sea"
    assert found["shares"] == pytest.approx({"sea": 0.5, "label 2": 0.5})
    explorer.top_k = 1
    assert explorer.numbers((3.5, 0.5))["cut"] == 0.5 and explorer.numbers((3.5, 0.5))["shares"] == {"sea": 1.0}


def test_the_nearest_of_several_right_answers_counts():
    match = DenseMatch((1, 1), (1, 8), torch.eye(8)[None, :1])
    answers = torch.tensor([[7.5, 0.5], [1.5, 0.5], [torch.nan, torch.nan]])[None, :, :, None, None].expand(1, 3, 2, 1, 1)
    hidden = Truth(answers[:, 0], torch.zeros(1, 1, 1, dtype=torch.bool), match_set=answers)
    explorer = AttentionExplorer(match, torch.rand(3, 1, 1), torch.rand(3, 1, 8), truth=hidden)
    assert explorer.numbers((0.5, 0.5))["distance"] == 1.0
    seen = Truth(answers[:, 0], torch.ones(1, 1, 1, dtype=torch.bool), match_set=answers)
    explorer.show(match, torch.rand(3, 1, 1), torch.rand(3, 1, 8), truth=seen)
    assert explorer.numbers((0.5, 0.5))["distance"] == 1.0, "of 7 and 1"
    only = Truth(answers[:, 0], torch.zeros(1, 1, 1, dtype=torch.bool))
    explorer.show(match, torch.rand(3, 1, 1), torch.rand(3, 1, 8), truth=only)
    assert explorer.numbers((0.5, 0.5))["distance"] is None, "what cannot be seen is no right answer"


def test_the_exemplar_knows_who_truly_uses_it():
    explorer = AttentionExplorer(*a_pair())
    explorer.side, explorer.layer = "exemplar", 1
    assert explorer._look((4.5, 3.5)).users == [(2.5, 3.5)], "everything moves by two pixels"
    assert explorer._look((0.5, 3.5)).users == [], "nothing comes from there"
    explorer.layer = 0
    assert explorer._look((4.5, 3.5)).users == [(x, y) for y in (2.5, 3.5) for x in (2.5, 3.5)], "a cell of 2 × 2 pixels"


def test_what_is_chosen_stays_when_something_else_is_shown():
    translation, batch = a_pair()
    explorer = AttentionExplorer(translation, batch)
    assert explorer.layer == 2, "opens with the finest layer"
    explorer.layer, explorer.point = 1, (6.5, 1.5)
    explorer.off = {"2": [1]}
    explorer.pins = [{"x": 1.5, "y": 2.5, "side": "target"}, {"x": 7.5, "y": 7.5, "side": "exemplar"}]
    other, its = a_pair()
    explorer.show(other, its)
    assert (explorer.layer, explorer.point, explorer.off, len(explorer.pins)) == (1, [6.5, 1.5], {"2": [1]}, 2)
    np.testing.assert_allclose(
        explorer.row().weight.sum(), other.matches[1].mass()[0, 1, 6], rtol=1e-6, err_msg="but the rows are the new ones"
    )
    explorer.show(DenseMatch((2, 2), (2, 2), torch.full((1, 4, 4), 0.25)), torch.rand(3, 2, 2), torch.rand(3, 2, 2))
    assert (explorer.layer, explorer.off, explorer.pins) == (0, {}, []) and explorer.point[0] < 2


def test_another_sample(monkeypatch):
    translation, batch = a_pair()
    explorer = AttentionExplorer(translation, batch)
    before = explorer.shown
    made = []
    monkeypatch.setattr(module, "state_of", lambda *given: made.append(given) or state_of(*given))
    explorer.sample = 1
    AttentionExplorer(translation, batch, sample=1)
    assert len(made) == 2, "once for each"
    np.testing.assert_allclose(explorer.row((0.5, 0.5), 0).weight, translation.matches[0].weight[1, 0], atol=1e-6)
    assert explorer.shown["target"]["views"][0]["png"] != before["target"]["views"][0]["png"]
    with pytest.raises(traitlets.TraitError, match="got sample 2, expected 0 … 1"):
        explorer.sample = 2


def test_what_cannot_be_is_refused(unchecked):
    translation, batch = a_pair()
    explorer = AttentionExplorer(translation, batch)
    never = {
        "layer": 3,
        "temperature": 0.0,
        "top_k": -1,
        "side": "left",
        "point": (1.0,),
        "pins": [{"x": 1, "y": 2}],
        "off": {"0": [1]},
    }
    for name, value in never.items():
        before = getattr(explorer, name)
        with pytest.raises(traitlets.TraitError):
            setattr(explorer, name, value)
        assert getattr(explorer, name) == before
    with pytest.raises(ValueError, match="got a Translation and nothing else, expected it with its Batch"):
        AttentionExplorer(translation)
    with pytest.raises(ValueError, match=r"got a correspondence and Batch, expected two pictures"):
        AttentionExplorer(translation.matches[0], batch)
    with pytest.raises(ValueError, match="got a Translation without matches, expected them: call the model with record=True"):
        AttentionExplorer(Translation(translation.image, ()), batch)
    with pytest.raises(ValueError, match="got no correspondence"):
        AttentionExplorer([], batch.target, batch.exemplar)
    with pytest.raises(ValueError, match="got 2 names for 3 layers"):
        AttentionExplorer(translation, batch, names=["a", "b"])
    with pytest.raises(ValueError, match="got sample 5, expected 0 … 1"):
        AttentionExplorer(translation, batch, sample=5)
    with pytest.raises(ValueError, match="got 0 links of each query, expected at least one"):
        explorer.to_html("never.html", links=0)
    one, match = batch.target, translation.matches[0]
    for target, exemplar, words in (
        (one * 255, one, r"got a picture of torch.float32 from .* expected floats in \[0, 1\]"),
        (one[:1], one, "got batches of 1 and 2 pictures"),
    ):
        with pytest.raises(ValueError, match=words):
            AttentionExplorer(match, target, exemplar)
    for wrong, words in (
        (-match.weight, "with weights below 0 or not finite"),
        (match.weight * torch.nan, "with weights below 0 or not finite"),
        (match.weight[:, :9], "whose tensors do not fit"),
        (match.weight[:1], "with a mass of shape"),
    ):
        with pytest.raises(ValueError, match=words):
            AttentionExplorer(DenseMatch((4, 4), (4, 4), wrong), one, one, sample=1)
    with pytest.raises(ValueError, match="got target labels of 4 × 4 pixels, expected those of their picture, 8 × 8 pixels"):
        AttentionExplorer(match, one, one, target_labels=torch.zeros(4, 4).long())
    with pytest.raises(ValueError, match="got truth of 4 × 4 pixels"):
        small = Truth(torch.zeros(2, 2, 4, 4), torch.ones(2, 4, 4, dtype=torch.bool))
        AttentionExplorer(match, one, one, truth=small)
    with pytest.raises(ValueError, match="got 300 labels"):
        AttentionExplorer(translation, batch, label_names=[str(one) for one in range(300)])


def test_without_a_query():
    explorer = AttentionExplorer(*a_pair())
    explorer.point = []
    assert explorer.picture().startswith(b"\x89PNG")
    for ask in (explorer.row, explorer.numbers):
        with pytest.raises(ValueError, match="got no query, expected one: click a picture, or set explorer.point"):
            ask()


def test_any_similarity_matrix():
    query, key = torch.randn(12, 16), torch.randn(20, 16)
    match = DenseMatch((3, 4), (4, 5), torch.softmax(query @ key.T / 4, -1)[None])
    explorer = AttentionExplorer(match, torch.rand(3, 30, 40), torch.rand(1, 8, 10), title="mine")
    assert repr(explorer) == "AttentionExplorer(dense 3×4; target 30×40, exemplar 8×10)"
    cell = 1 * 4 + 2
    np.testing.assert_allclose(explorer.row((25.0, 15.0)).weight, match.weight[0, cell], atol=1e-6)
    assert explorer.numbers((25.0, 15.0))["distance"] is None and explorer.numbers((25.0, 15.0))["shares"] == {}


def test_the_ten_lines_of_the_readme():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (lines,) = [code for code in re.findall(r"```python\n(.*?)```", readme, re.S) if "DenseMatch(" in code]
    assert len([line for line in lines.splitlines() if line.strip()]) <= 10
    scope: dict = {}
    exec(lines.replace("AttentionExplorer(match", "shown = AttentionExplorer(match"), scope)
    assert repr(scope["shown"]) == "AttentionExplorer(dense 32×32; target 256×256, exemplar 192×256)"


def test_where_no_widget_can_be_shown_there_is_a_picture_and_the_same_words():
    explorer = AttentionExplorer(*a_pair())
    data, _ = explorer._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["text/plain"] == "AttentionExplorer(dense 4×4, sparse 8×8, factored 8×8; target 8×8, exemplar 8×8)"
    assert "application/vnd.jupyter.widget-view+json" in data


def test_the_table_of_pins():
    translation, batch = a_pair()
    explorer = AttentionExplorer(translation, batch)
    assert explorer.table().empty
    explorer.pins = [{"x": 1.5, "y": 2.5, "side": "target"}, {"x": 7.5, "y": 7.5, "side": "exemplar"}]
    table = explorer.table()
    assert list(zip(table["pin"], table["layer"], strict=True)) == [
        (pin, name) for pin in (1, 2) for name in ("1: 4×4", "2: 8×8", "3: 8×8")
    ]
    np.testing.assert_allclose(table["mass"][1], translation.matches[1].mass()[0, 2, 1], rtol=1e-6)
    assert table["distance"][:3].notna().all() and table["distance"][3:].isna().all()


def test_a_vector_figure_and_its_numbers(tmp_path):
    translation, batch = a_pair()
    explorer = AttentionExplorer(translation, batch, title="A & B")
    explorer.pins = [{"x": 1.5, "y": 2.5, "side": "target"}]
    svg = explorer.to_svg(tmp_path / "new" / "view.svg")
    root = ET.parse(svg).getroot()
    assert root.tag.endswith("svg")
    words = " ".join(root.itertext())
    assert "A & B" in words and "source data: view.svg.csv" in words and "links kept" in words, "words stay words"
    again = svg.read_bytes()
    assert explorer.to_svg(svg).read_bytes() == again, "the same bytes each time"
    rows = list(csv.DictReader((tmp_path / "new" / "view.svg.csv").open()))
    now = [row for row in rows if row["query"] == "now" and row["layer"] == "2: 8×8"]
    row = explorer.row(layer=1)
    assert [int(one["index"]) for one in now] == row.index.tolist()
    np.testing.assert_allclose([float(one["weight"]) for one in now], row.weight, rtol=1e-5)
    assert {one["query"] for one in rows} == {"now", "1"}
    assert explorer.to_pdf(tmp_path / "view.pdf").read_bytes().startswith(b"%PDF")
    assert {path.name for path in tmp_path.iterdir()} == {"new", "view.pdf", "view.pdf.csv"}, "nothing half written is left"
    explorer.temperature, explorer.top_k, explorer.off = 0.5, 3, {2: (1,)}
    explorer.to_svg(svg)
    made = [
        (row["temperature"], row["top_k"], row["regions_off"])
        for row in csv.DictReader((tmp_path / "new" / "view.svg.csv").open())
    ]
    assert set(made) == {("0.5", "3", ""), ("0.5", "3", "1")}
    assert "without region 2" in " ".join(ET.parse(svg).getroot().itertext())
    with pytest.raises(ValueError, match=r"view.csv, expected a name that ends in .svg"):
        explorer.to_svg(tmp_path / "view.csv")


def test_one_offline_file(tmp_path):
    explorer = AttentionExplorer(*a_pair(), title="</script><script>alert(1)</script> $_$")
    explorer.pins = [{"x": 1.5, "y": 2.5, "side": "target"}]
    page = explorer.to_html(tmp_path / "explorer.html", links=2).read_text(encoding="utf-8")
    assert page.count("</script>") == 2 and "alert(1)</script>" not in page
    state = json.loads(re.search(r'id="state">(.*?)</script>', page, re.S)[1])
    assert state["pins"] == explorer.pins and state["shown"]["layers"][0]["pack"]["t"] == 2
    assert base64.b64decode(state["shown"]["target"]["views"][0]["png"]["$bytes"]).startswith(b"\x89PNG")
    outside = set(re.findall(r"https?://[^\s\"'`)]+", page)) - {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not outside, "names of namespaces alone"


def test_the_labels_of_the_world_have_names():
    source = People(64, "val")
    batch = source.batch(torch.arange(1))
    match = DenseMatch((1, 1), (1, 1), torch.ones(1, 1, 1))
    explorer = AttentionExplorer(match, batch.target, batch.exemplar, truth=batch.truth, label_names=LABELS["people"])
    y, x = (batch.truth.target_part[0] == LABELS["people"].index("chest")).nonzero()[0].tolist()
    assert explorer.numbers((x + 0.5, y + 0.5))["label"] == "chest"
    assert explorer.shown["labels"]["names"][:2] == ["chest", "pelvis"]
