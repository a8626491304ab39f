"""One's own two pictures in the model panel: chosen or dropped, of any kind, and told apart from what is no picture."""

import datetime
import io

import numpy as np
import torch
from PIL import Image

from exemplar_lab.training.own_pair import LAB
from exemplar_lab.widgets.model_panel import OWN, ModelPanel
from exemplar_lab.widgets.own_images import uploaded


def without_explorer(*args, **given) -> ModelPanel:
    return ModelPanel(*args, explore=False, **given)


def picture(panel: ModelPanel) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(panel._repr_mimebundle_()["image/png"])))


def file_of(name: str, image: Image.Image | bytes, **how) -> tuple[dict, ...]:
    """What the browser gives for a file that was chosen."""
    if isinstance(image, Image.Image):
        buffer = io.BytesIO()
        image.save(buffer, name.rpartition(".")[2].upper().replace("JPG", "JPEG").replace("TIF", "TIFF"), **how)
        image = buffer.getvalue()
    about = {"type": "image/*", "size": len(image), "last_modified": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)}
    return ({"name": name, "content": memoryview(image), **about},)


def noise(*size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, size, np.uint8)


def test_own_pictures_are_matched_without_a_model_and_by_those_that_read_them():
    panel = without_explorer("people", LAB, size=32)
    panel.controls["task"].value = OWN
    assert "got no structure and no exemplar image, expected two pictures" in panel.problem
    assert panel.words.startswith("ModelPanel: people") and list(panel._below.children[0].children) == [*panel.uploads.values()]
    pictures = {name: Image.fromarray(noise(40, 60, 3) // (1 + number)) for number, name in enumerate(panel.uploads)}
    panel.uploads["structure"].button.value = file_of("one.png", pictures["structure"])
    assert "got no exemplar image" in panel.problem
    panel.uploads["exemplar"].button.value = file_of("two.png", pictures["exemplar"])
    assert (
        panel.problem == ""
        and panel.words == "ModelPanel: own images, one.png and two.png, lab features relu3_2, temperature 0.05"
    )
    assert panel.batch.target.shape == (1, 3, 32, 32) and panel.numbers.keys() == {"mass"}
    assert panel.controls["sample"] not in panel._choices.children[0].children
    menu = [name for _, name in panel.controls["checkpoint"].options]
    assert menu[:4] == [LAB, "cocosnet-photos-cpu", "dynast-style-cpu", "matebit-paintings-cpu"]
    for name in menu[1:4]:
        panel.controls["checkpoint"].value = name
        assert panel.problem == "" and panel.words.endswith(name) and panel.batch.target.shape == (1, 3, 64, 64)
    before = picture(panel)
    for name in menu[4:]:
        panel.controls["checkpoint"].value = name
        assert "got plain pictures for" in panel.problem and "choose the task" in panel.problem
        assert np.array_equal(picture(panel), before)


def test_a_dropped_file_is_a_chosen_one():
    panel = without_explorer(OWN, LAB, size=32)
    assert picture(panel).shape == (160, 160, 3) and panel.words == "ModelPanel: own images, nothing to show yet"
    assert panel.batch is None and "expected two pictures" in panel.problem and "last that" not in panel.children[2].value
    for name, upload in panel.uploads.items():
        (file,) = file_of(f"{name}.png", Image.fromarray(noise(32, 32, 3)))
        upload.place.file = file | {"last_modified": 1_700_000_000_000}
        assert upload.button.value[0]["name"] == f"{name}.png" and f"{name}.png" in upload.place.words
    assert panel.problem == "" and "structure.png and exemplar.png" in panel.words


def test_a_broken_picture_is_named_in_one_sentence():
    panel = without_explorer(OWN, LAB, size=32)
    good = file_of("good.png", Image.fromarray(noise(32, 32, 3)))
    for upload in panel.uploads.values():
        upload.button.value = good
    before = picture(panel)
    whole = bytes(good[0]["content"])
    for name, content, part in (
        ("../../etc/cut.png", whole[: len(whole) // 2], "got cut.png, which cannot be read as an image"),
        ("words.txt", b"no picture", "got words.txt, which cannot be read as an image"),
        ("empty.png", b"", "got empty.png, which cannot be read as an image"),
    ):
        panel.uploads["exemplar"].button.value = file_of(name, content)
        assert part in panel.problem and "/tmp" not in panel.problem and "\n" not in panel.problem
        assert np.array_equal(picture(panel), before)
    panel.uploads["exemplar"].button.value = file_of("small.png", Image.fromarray(noise(8, 8, 3)))
    assert "got small.png of 8 × 8 pixels, expected at least 16 × 16" in panel.problem
    panel.uploads["exemplar"].button.value = good
    assert panel.problem == ""


def test_pictures_of_every_kind_come_in():
    grey = noise(24, 24)
    colours = np.repeat(grey[..., None], 3, axis=2)
    wanted = torch.from_numpy(grey / np.float32(255)).expand(3, -1, -1)
    kinds = {
        "rgb.png": Image.fromarray(colours),
        "grey.png": Image.fromarray(grey),
        "palette.png": Image.fromarray(grey).convert("P"),
        "cmyk.tif": Image.fromarray(colours).convert("CMYK"),
        "wide.png": Image.fromarray(np.pad(colours, ((0, 0), (8, 8), (0, 0)))),
        "deep.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "clear.png": Image.fromarray(np.dstack([colours, np.full_like(grey, 255)])),
        "grey-clear.png": Image.merge("LA", [Image.fromarray(grey), Image.new("L", (24, 24), 255)]),
    }
    for name, image in kinds.items():
        assert torch.allclose(uploaded(file_of(name, image)[0], 24), wanted, atol=2 / 255), name
    transparent = Image.fromarray(np.dstack([colours, np.zeros_like(grey)]))
    assert (uploaded(file_of("nothing.png", transparent)[0], 24) == 1).all()
    bits = uploaded(file_of("bits.png", Image.fromarray(grey).convert("1"))[0], 24)
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    turned = Image.Exif()
    turned[0x0112] = 6
    upright = uploaded(file_of("turned.png", kinds["rgb.png"], exif=turned)[0], 24)
    assert torch.allclose(upright, wanted.rot90(-1, (1, 2)), atol=2 / 255)
