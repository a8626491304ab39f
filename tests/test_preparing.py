"""A folder of one's own, read once and written down: what is found, what is left out, and what happens when it is stopped."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from layout_folders import deepfashion, pictures, styles
from PIL import Image

from exemplar_lab.data import canvas
from exemplar_lab.data.collection import CONTACT, ROOM, Collection, Item, read_collection
from exemplar_lab.data.label_folder import write_label_folder
from exemplar_lab.data.prepared import CACHE, PreparedPairs
from exemplar_lab.data.synth.scenes import Scenes
from exemplar_lab.data.synth.scenes.materials import CLASSES
from exemplar_lab.training.preparing import found_words, prepare, prepare_folder
from exemplar_lab.viz.contact import prepared_sheet

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="module")
def lands(tmp_path_factory) -> Path:
    sources = {split: Scenes(48, split) for split in ("train", "val")}
    return write_label_folder(tmp_path_factory.mktemp("made") / "lands", sources, 8, CLASSES)


@pytest.fixture
def folder(lands, tmp_path) -> Path:
    return Path(shutil.copytree(lands, tmp_path / "lands"))


def files(room: Path) -> list[str]:
    return sorted(path.name for path in room.rglob("*") if path.is_file())


def test_a_folder_of_labels_becomes_a_source(folder):
    prepared = prepare_folder(folder, "labels", size=32)
    done, _ = read_collection(folder)
    assert done == prepared.collection and prepared.room == folder / ROOM and prepared.skipped == ""
    assert done.how == "training images with similar labels"
    train = {item.name for item in done.items["train"]}
    for split in ("train", "val"):
        assert done.exemplars[split].keys() == {item.name for item in done.items[split]}
        assert all(len(few) == 3 and set(few) <= train - {name} for name, few in done.exemplars[split].items())
    batch = PreparedPairs(folder, 32, "val").batch(torch.arange(4))
    (name, target), structure, exemplars = prepared.rows["val"][0]
    assert name == done.items["val"][0].name and structure.shape == (32, 32) and not structure.is_floating_point()
    assert [one for one, _ in exemplars] == list(done.exemplars["val"][name])
    small = torch.nn.functional.avg_pool2d(exemplars[0][1][None], exemplars[0][1].shape[-1] // 32)[0]
    assert (small - batch.exemplar[0]).abs().mean() < 0.03


def test_twice_gives_the_same_file_without_decoding_again(folder, monkeypatch):
    prepare_folder(folder, "labels", size=32)
    written = (folder / ROOM / "prepared.json").read_bytes()
    monkeypatch.setattr(canvas, "_decoded", None)
    prepare_folder(folder, "labels", size=32)
    assert (folder / ROOM / "prepared.json").read_bytes() == written


def test_stopped_in_the_middle_it_goes_on_from_the_cache(folder, monkeypatch):
    def stop_at_nine(images):
        for number, image in enumerate(images):
            if number == 9:
                raise KeyboardInterrupt
            yield image

    with pytest.raises(KeyboardInterrupt):
        prepare_folder(folder, "labels", size=32, progress=stop_at_nine)
    left = files(folder / ROOM)
    assert len(left) >= 9 and all(name.endswith(".canvas") for name in left)
    decoded, before = [], canvas._decoded
    monkeypatch.setattr(canvas, "_decoded", lambda *given: decoded.append(given) or before(*given))
    prepare_folder(folder, "labels", size=32)
    assert 0 < len(decoded) <= 16 - 9


def test_broken_images_are_left_out_and_counted(folder, capsys):
    broken = folder / "train" / "train_0003.png"
    broken.write_bytes(broken.read_bytes()[:200])
    Image.new("L", (10, 10)).save(folder / "valannot" / "val_0002.png")
    prepared = prepare_folder(folder, "labels", size=32)
    names = {item.name for items in prepared.collection.items.values() for item in items}
    exemplars = {name for of in prepared.collection.exemplars.values() for few in of.values() for name in few}
    assert len(names) == 14 and "train/train_0003.png" not in names | exemplars
    said = capsys.readouterr().err
    assert said.count("left out:") == 2 and "train_0003.png" in said and "val_0002.png" in said
    assert prepared.skipped.startswith("2 of 16 images were left out") and prepared.skipped in prepared.collection.remarks


def test_a_majority_of_broken_images_stops(folder):
    for path in [*sorted((folder / "train").iterdir()), *sorted((folder / "val").iterdir())][:9]:
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"got 9 of 16 images that cannot be read, the first being .*train_0000.png"):
        prepare_folder(folder, "labels", size=32)
    assert "prepared.json" not in files(folder / ROOM)


def test_where_one_split_broke_another_is_held_out(folder):
    for path in (folder / "val").iterdir():
        path.write_bytes(b"no image")
    prepared = prepare_folder(folder, "labels", size=32)
    assert {split: len(items) for split, items in prepared.collection.items.items()} == {"train": 7, "val": 1}
    assert any(remark.startswith("no image of the split val is left") for remark in prepared.collection.remarks)
    assert set(prepared.collection.exemplars["val"]) == {prepared.collection.items["val"][0].name}


def test_where_one_split_broke_no_person_is_on_both_sides(tmp_path):
    folder = deepfashion(tmp_path / "people", people=12, size=48)
    for path in folder.glob("img/WOMEN/Dresses/id_00000214/*"):  # the one person who is held out
        path.write_bytes(b"no image")
    done = prepare_folder(folder, "pose", size=16).collection
    people = [{item.name.split("/")[3] for item in done.items[split]} for split in ("train", "val")]
    assert all(people) and not people[0] & people[1] and sum(map(len, done.items.values())) == 22


def test_the_sheet_of_another_room_is_no_image(tmp_path):
    folder = pictures(tmp_path / "own", 12)
    first = prepare_folder(folder, "edges", folder / "a", 32)
    Image.new("RGB", (50, 50)).save(folder / "a" / CONTACT)
    assert prepare_folder(folder, "edges", folder / "b", 32).collection == first.collection


def test_one_image_is_not_enough(tmp_path):
    for number in range(2):
        Image.new("RGB", (40, 40), (number, 2, 3)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"got 1 image that can be read in .*, expected at least two"):
        prepare_folder(tmp_path, "edges", size=32)


def test_two_images_have_copies_of_themselves_where_there_is_no_other(tmp_path):
    pictures(tmp_path / "few", 2)
    prepared = prepare_folder(tmp_path / "few", "edges", size=32)
    assert "train" not in prepared.collection.exemplars and len(prepared.collection.exemplars["val"]) == 1
    (target, structure, ((name, copy),)) = prepared.rows["train"][0]
    assert name is None and copy.shape == target[1].shape and 0.01 < (copy - target[1]).abs().mean() < 0.5
    assert structure.shape == (3, 32, 32) and set(structure.unique().tolist()) == {0.0, 1.0}


def test_pictures_are_searched_by_looks_and_the_sheet_is_no_picture(tmp_path):
    pictures(tmp_path / "own", 12)
    room = tmp_path / "own" / "mine"
    first = prepare_folder(tmp_path / "own", "edges", room, 32)
    Image.new("RGB", (50, 50)).save(room / CONTACT)
    second = prepare_folder(tmp_path / "own", "edges", room, 32)
    assert first.collection == second.collection and first.collection.how == "training images that look alike"
    none = prepare_folder(tmp_path / "own", "edges", tmp_path / "elsewhere", 32, by="none", soft=True)
    assert none.collection.exemplars == {} and none.collection.structure == "soft edges"
    assert all(name is None for rows in none.rows.values() for _, _, few in rows for name, _ in few)


def test_people_and_styles(tmp_path):
    deepfashion(tmp_path / "people")
    people = prepare_folder(tmp_path / "people", "pose", size=32)
    assert people.rows["train"][0][1].shape == (3, 32, 32) and people.rows["train"][0][1].max() > 0.3
    styles(tmp_path / "styles")
    painted = prepare_folder(tmp_path / "styles", "style", size=32)
    exemplars = {name for of in painted.collection.exemplars.values() for few in of.values() for name in few}
    assert exemplars <= {item.name for item in painted.collection.items["style"]} and exemplars


def test_a_place_that_cannot_be_written_to(folder):
    (folder / "taken").write_text("a file")
    with pytest.raises(OSError, match=r"taken/room to write to, which is not possible .*--out"):
        prepare_folder(folder, "labels", folder / "taken" / "room")


@pytest.mark.parametrize("wrong", [{"size": 8}, {"size": 100_000}, {"count": 0}])
def test_settings_that_make_no_sense(folder, wrong):
    with pytest.raises(ValueError, match=r"expected a size of 16 … 1024 and 1 exemplar or more"):
        prepare_folder(folder, "labels", **wrong)
    assert not (folder / ROOM).exists()


def test_rows_run_from_the_first_image_to_the_last(folder):
    rows = prepare_folder(folder, "labels", size=32, count=6).rows["train"]
    assert [name for (name, _), _, _ in rows] == [f"train/train_000{number}.png" for number in (0, 1, 2, 4, 5, 7)]
    assert all(len(few) == 4 for _, _, few in rows)


def test_a_prepared_folder_in_words(folder):
    done = prepare_folder(folder, "labels", size=32).collection
    first, second, third = found_words(done)
    assert first.endswith("8 train, 8 val") and second == f"condition: labels of {len(CLASSES)} classes"
    assert third == "exemplars: training images with similar labels"


# The sheet


def words_of(figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_the_sheet_names_everything_it_shows(folder):
    prepared = prepare_folder(folder, "labels", size=32)
    figure = prepared_sheet(prepared.rows, "labels", "lands: $labels$", "8 to train on", CLASSES)
    words = words_of(figure)
    assert {"to train on", "held out", "target", "labels", "exemplars, best first", "lands: $labels$"} <= set(words)
    assert words.count("train_0000") >= 1 and set(words) & set(CLASSES) and len(figure.axes) == 2 * 6 * 5
    width, height = figure.get_size_inches()
    for axis in figure.axes:
        box = axis.get_position()
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= 1 and box.y1 <= 1
        assert abs(box.width * width - box.height * height) < 1e-6
    places = [axis.get_position() for axis in figure.axes]
    apart = [
        one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 or other.y1 <= one.y0
        for at, one in enumerate(places)
        for other in places[:at]
    ]
    assert all(apart)


def test_classes_of_the_legend_have_their_own_colours():
    part = torch.arange(16).repeat_interleave(16)[None].expand(256, -1)[::16, ::16].clone() * 10
    part[0] = -1
    image = torch.rand(3, 16, 16)
    row = (("a", image), part, [("b", image)])
    figure = prepared_sheet({"train": [row]}, "labels", "many", classes=[f"class {number}" for number in range(160)])
    assert "other classes" in words_of(figure) and "class 0" in words_of(figure)
    shown = figure.axes[1].images[0].get_array()
    assert len({tuple(colour) for colour in shown[1].tolist()}) == 16
    assert (shown[0] > 0.95).all() and (shown[1, -1] == shown[1, -1, 0]).all()


def test_a_copy_is_framed_and_a_column_can_be_left_away():
    image = torch.rand(3, 16, 16)
    figure = prepared_sheet({"train": [(("a", image), image, [(None, image)])], "val": []}, "", "copies")
    assert {"a distorted copy", "distorted copy"} <= set(words_of(figure)) and len(figure.axes) == 2
    assert "held out" not in words_of(figure) and len(figure.axes[1].patches) == 1
    with pytest.raises(ValueError, match="got no rows"):
        prepared_sheet({"train": []}, "", "nothing")


@pytest.mark.parametrize(
    ("name", "task"),
    [("official_layouts/DeepFashion", "pose"), ("official_layouts/celebahqedge", "edges"), ("style_transfer", "style")],
)
def test_samples_of_the_official_layouts(name, task, tmp_path):
    if not (SHARED / name).is_dir():
        pytest.skip(f"no samples of {name} beside the checkout")
    prepared = prepare_folder(SHARED / name, task, tmp_path, 32)
    assert prepared.skipped == "" and prepared.rows["train"] and prepared.rows["val"]
    assert json.loads((tmp_path / "prepared.json").read_text())["exemplars"]["val"]
    assert PreparedPairs(tmp_path, 32, "val").batch(torch.arange(2)).target.shape == (2, 3, 32, 32)


def test_a_collection_made_by_hand(tmp_path):
    for number in range(3):
        Image.new("RGB", (32, 32), (90 * number, 40, 0)).save(tmp_path / f"{number}.png")
    items = {"train": (Item("0.png"), Item("1.png")), "val": (Item("2.png"),)}
    prepared = prepare(Collection(tmp_path, "by hand", "edges", items), tmp_path / "room", 16, count=5)
    assert prepared.collection.exemplars["train"] == {"0.png": ("1.png",), "1.png": ("0.png",)}
    assert sorted(prepared.collection.exemplars["val"]["2.png"]) == ["0.png", "1.png"]
    assert (tmp_path / "room" / CACHE).is_dir()
