"""Sliders turn to the pictures that the model makes, and nothing that goes wrong is hidden."""

import io
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image

from exemplar_lab.translation import Translation
from exemplar_lab.widgets.frames import alert, frame_panel, row_png, shown_page
from exemplar_lab.widgets.mixing import border_panel, canvas_panel, style_panel


def pixels(png: bytes) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(io.BytesIO(png)))).float().movedim(2, 0) / 255


def mix(condition, exemplars, exemplar_conditions, amount, *, record):
    """The exemplars themselves, mixed."""
    assert not record and torch.is_inference_mode_enabled()
    return Translation(sum(amount[:, [n]] * one for n, one in enumerate(exemplars)), ())


MIXER = SimpleNamespace(mix=mix)


def scene():
    return torch.rand(1, 4, 8, 8), [torch.rand(1, 3, 8, 8) for _ in "ab"], [torch.rand(1, 4, 8, 8) for _ in "ab"]


def sliders(panel) -> tuple:
    return panel.children[1].children


def picture(panel, number: int, of: int) -> torch.Tensor:
    """The picture `number` of those that the panel shows, at its own resolution of 8 × 8."""
    shown = pixels(shown_page(panel.children[3]).value)
    width = shown.shape[2] // of
    return shown[:, :: width // 8, number * width : (number + 1) * width : width // 8]


def test_the_style_slider_shows_what_the_model_mixes():
    condition, exemplars, conditions = scene()
    truth = torch.rand(5, 3, 8, 8)
    panel = style_panel(MIXER, condition, exemplars, conditions, truth)
    (slider,) = sliders(panel)
    assert slider.value == 0.5
    for number, share in enumerate((0.0, 0.25, 0.5, 0.75, 1.0)):
        slider.value = share
        wanted = torch.lerp(exemplars[0], exemplars[1], share)[0]
        assert torch.allclose(picture(panel, 1, 4), wanted, atol=1 / 255), share
        assert torch.allclose(picture(panel, 2, 4), truth[number], atol=1 / 255)


def test_the_border_sliders_move_and_soften_it():
    condition, exemplars, conditions = scene()
    panel = border_panel(MIXER, condition, exemplars, conditions)
    border, softness = sliders(panel)
    border.value, softness.value = 0.25, 0.0
    wanted = torch.cat([exemplars[0][0, :, :, :2], exemplars[1][0, :, :, 2:]], dim=2)
    assert torch.allclose(picture(panel, 2, 4), wanted, atol=1 / 255)
    border.value, softness.value = 0.5, 1.0
    share = (torch.arange(8) + 0.5) / 8
    assert torch.allclose(picture(panel, 2, 4), torch.lerp(exemplars[0][0], exemplars[1][0], share), atol=1 / 255)
    assert torch.allclose(picture(panel, 1, 4), share.expand(3, 8, 8), atol=1 / 255)


def test_the_canvas_sliders_choose_the_windows():
    asked = []

    def make(at_random, seed):
        asked.append((at_random, seed))
        return torch.full((1, 3, 8, 8), at_random / 10 + seed / 20)

    panel = canvas_panel(make, torch.zeros(1, 3, 8, 8), torch.full((1, 3, 4, 4), 0.5), (0, 5), (0, 1))
    assert asked == [(0, 0), (0, 1), (5, 0), (5, 1)]
    windows, seed = sliders(panel)
    assert (windows.value, seed.value) == (5, 0)
    windows.value, seed.value = 0, 1
    assert torch.allclose(picture(panel, 1, 3), torch.full((3, 8, 8), 0.05), atol=1 / 255)
    given = torch.ones(3, 8, 8)
    given[:, 2:6, 2:6] = 0.5
    assert torch.allclose(picture(panel, 0, 3), given, atol=1 / 255)


def test_a_panel_has_stable_words_and_a_picture_for_where_there_are_no_widgets():
    def draw(at):
        return {"here": torch.full((3, 4, 4), at)}

    panel, again = (frame_panel("Grey", draw, {"at": (0.0, 0.5, 1.0)}) for _ in "ab")
    bundle = panel._repr_mimebundle_()
    assert bundle["text/plain"] == again._repr_mimebundle_()["text/plain"] == "Grey: at 0 … 1"
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert pixels(bundle["image/png"]).mean().item() == pytest.approx(0.5, abs=1 / 255)
    sliders(panel)[0].value = 1.0
    assert pixels(panel._repr_mimebundle_()["image/png"]).min() == 1


def test_a_page_without_python_is_turned_by_the_browser():
    before = set(ipywidgets.widgets.widget._instances)
    panel = frame_panel("Grey", lambda at: {"here": torch.full((3, 4, 4), at)}, {"at": (0.0, 1.0)})
    new = [w for key, w in ipywidgets.widgets.widget._instances.items() if key not in before]
    (link,) = [w for w in new if isinstance(w, ipywidgets.widgets.widget_link.DirectionalLink)]
    assert link.source == (sliders(panel)[0], "index") and link.target == (panel.children[3], "selected_index")


def test_what_goes_wrong_in_drawing_is_raised():
    def draw(at):
        raise RuntimeError("no such picture")

    with pytest.raises(RuntimeError, match="no such picture"):
        frame_panel("Broken", draw, {"at": (0.0, 1.0)})


def test_a_row_of_pictures_is_enlarged_by_whole_numbers():
    large, small = torch.rand(3, 4, 4), torch.rand(1, 2, 2)
    shown = pixels(row_png([large, small], width=17))
    assert shown.shape == (3, 8, 16)
    assert torch.allclose(shown[:, ::2, :8:2], large, atol=1 / 255)
    assert torch.allclose(shown[:, ::4, 8::4], small.expand(3, 2, 2), atol=1 / 255)


def test_words_of_an_alert_are_words():
    assert "got &lt;b&gt;.png &amp; more</p>" in alert("got <b>.png & more")
    assert 'role="alert"' in alert("")
