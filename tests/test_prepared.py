"""A prepared folder as a source: which images are paired, squares that show the same of image and structure, and doors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from label_folders import STRIPE, fill

from exemplar_lab.data.collection import (
    FILE,
    ROOM,
    Collection,
    Item,
    Labels,
    prepared_file,
    read_collection,
    write_collection,
)
from exemplar_lab.data.memory import forget
from exemplar_lab.data.prepared import PreparedPairs, skipped_words
from exemplar_lab.translation import Source

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture
def town(tmp_path):
    """Five training and two validation images of 100 × 140 px whose colours say where they were cut, labels in stripes."""
    fill(tmp_path / "town", "train", "trainannot", many=5)
    fill(tmp_path / "town", "val", "valannot", many=2)
    return tmp_path / "town"


def collection(town: Path, **changes) -> Collection:
    items = {
        split: tuple(
            Item(f"{split}/{path.name}", (f"{split}annot/{path.stem}.png",)) for path in sorted((town / split).iterdir())
        )
        for split in ("train", "val")
    }
    return replace(Collection(town, "CamVid", "labels", items, Labels(NAMES)), **changes)


@pytest.fixture
def paired(town):
    """Every image has two exemplars, the next two of the training split."""
    found = collection(town)
    train = [item.name for item in found.items["train"]]
    exemplars = {
        split: {item.name: (train[(k + 1) % 5], train[(k + 2) % 5]) for k, item in enumerate(items)}
        for split, items in found.items.items()
    }
    write_collection(replace(found, exemplars=exemplars, how="label histograms"), town / ROOM)
    return town


def test_a_collection_comes_back_as_it_was_written(town, tmp_path):
    found = collection(town, exemplars={"train": {"train/t00.0.bmp": ("train/t01.1.png",)}}, remarks=("one is missing",))
    assert write_collection(found, town / ROOM) == prepared_file(town) == prepared_file(town / ROOM)
    again, digest = read_collection(town)
    assert again == found and len(digest) == 16
    write_collection(found, tmp_path / "elsewhere")
    assert read_collection(tmp_path / "elsewhere")[0] == found
    assert not [path for path in (town / ROOM).iterdir() if path.name != FILE]
    (tmp_path / "all").mkdir()
    town.rename(tmp_path / "all" / "moved")
    assert read_collection(tmp_path / "all" / "moved")[0] == replace(found, folder=tmp_path / "all" / "moved")


def test_a_room_reached_through_a_link_finds_its_images(town, tmp_path):
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "deep")
    write_collection(collection(town), tmp_path / "link" / "room")
    assert read_collection(tmp_path / "link" / "room")[0].folder == town
    assert PreparedPairs(tmp_path / "link" / "room", size=32).batch(torch.arange(2)).target.isfinite().all()


def test_the_digest_is_that_of_images_and_pairs(town, tmp_path):
    digests = [
        read_collection(write_collection(found, tmp_path / str(number)).parent)[1]
        for number, found in enumerate(
            (
                collection(town),
                collection(town, remarks=("said otherwise",), how="in other words"),
                collection(town, exemplars={"train": {"train/t00.0.bmp": ("train/t01.1.png",)}}),
                collection(town, labels=Labels(NAMES, first=1)),
            )
        )
    ]
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_images_that_moved_away_alone_are_missed(town, tmp_path):
    write_collection(collection(town), tmp_path / "room")
    town.rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="moved together"):
        read_collection(tmp_path / "room")


def test_an_exemplar_that_is_no_image_is_refused(town):
    write_collection(collection(town, exemplars={"train": {"train/t00.0.bmp": ("train/none.png",)}}), town / ROOM)
    with pytest.raises(ValueError, match=r"train/none\.png is none of the images"):
        read_collection(town)


@pytest.mark.parametrize("change", ["[" * 100_000, '"format": 2', '"format": 1, "layout": 3, "more": 4', "[", ""])
def test_a_file_that_says_something_else_is_refused(town, change):
    path = write_collection(collection(town), town / ROOM)
    path.write_text(path.read_text().replace('"format": 1', change) if "format" in change else change)
    with pytest.raises(ValueError, match="prepare the folder again"):
        read_collection(town)


def test_a_folder_that_is_not_prepared_is_named(town):
    with pytest.raises(FileNotFoundError, match="exemplar-lab prepare"):
        PreparedPairs(town)


def test_validation_shows_every_image_once_with_its_best_exemplar(paired):
    source = PreparedPairs(paired, size=32, split="val")
    assert isinstance(source, Source) and source.length == 2 and source.condition_channels == 5 and source.class_names == NAMES
    assert [source.pair_names(k) for k in range(3)] == [
        ("val/v00.0.bmp", "train/t01.1.png"),
        ("val/v01.1.png", "train/t02.2.bmp"),
        ("val/v00.0.bmp", "train/t01.1.png"),
    ]
    batch = source.batch(torch.arange(2))
    assert batch.target.shape == (2, 3, 32, 32) and batch.condition.shape == (2, 5, 32, 32) and not batch.paired.any()
    assert batch.truth.flow.isnan().all() and not batch.truth.visible.any()
    middle = batch.target[0, :2, 16, 16] * 255  # the picture's middle: x = 70, y = 50
    torch.testing.assert_close(middle, torch.tensor([71.1, 51.1]), atol=1.5, rtol=0)
    # Red says x: the label of each pixel of the right half is that of the stripe it was cut from.
    stripe = (batch.target[:, 0] * 255).div(STRIPE).floor().clamp_max(4).long()
    far = (batch.target[:, 0] * 255 % STRIPE - STRIPE / 2).abs() < STRIPE / 2 - 4
    known = far & (batch.truth.target_part >= 0)
    assert known.float().mean() > 0.5 and torch.equal(batch.truth.target_part[known], stripe[known])
    assert torch.equal(batch.condition.argmax(1)[known], stripe[known])


def test_training_draws_images_exemplars_and_squares(paired):
    source = PreparedPairs(paired, size=32)
    assert source.length is None
    pairs = {source.pair_names(k) for k in range(200)}
    assert len(pairs) == 10  # of five targets both exemplars each
    listed = source.collection.exemplars["train"]
    assert all(exemplar in listed[target] for target, exemplar in pairs)
    batch = source.batch(torch.arange(64))
    red = batch.target[:, 0] * 255
    mirrored = red[:, 16, 0] > red[:, 16, -1]
    assert 16 < mirrored.sum() < 48
    width = (red[:, 16, 0] - red[:, 16, -1]).abs()
    assert width.max() < 100 and width.min() > 0.75 * 100 * 31 / 32 - 3 and width.std() > 3
    middle = batch.target[:, :2].mean((2, 3)) * 255  # red says across, green says down
    assert middle[:, 0].amin() < 50 and middle[:, 0].amax() > 90 and middle[:, 1].std() > 2
    assert not torch.equal(mirrored, batch.exemplar[:, 0, 16, 0] > batch.exemplar[:, 0, 16, -1])


def test_labels_are_those_of_the_image_they_stand_beside(paired):
    batch = PreparedPairs(paired, size=32).batch(torch.arange(16))
    for image, part in ((batch.target, batch.truth.target_part), (batch.exemplar, batch.truth.exemplar_part)):
        red = image[:, 0] * 255
        known = ((red % STRIPE - STRIPE / 2).abs() < STRIPE / 2 - 4) & (part >= 0)
        assert torch.equal(part[known], red[known].div(STRIPE).floor().clamp_max(4).long())
    assert not torch.equal(batch.truth.target_part, batch.truth.exemplar_part)


def test_a_sample_is_the_same_in_any_batch(paired):
    source = PreparedPairs(paired, size=32)
    together, alone = source.batch(torch.tensor([7, 3, 5])), source.batch(torch.tensor([3]))
    torch.testing.assert_close(together[[1]].target, alone.target, atol=0, rtol=0)
    torch.testing.assert_close(together[[1]].exemplar, alone.exemplar, atol=0, rtol=0)
    torch.testing.assert_close(together[[1]].exemplar_condition, alone.exemplar_condition, atol=0, rtol=0)
    assert len(source.batch(torch.arange(0))) == 0


def test_without_exemplars_there_are_distorted_copies_with_exact_truth(town):
    write_collection(collection(town), town / ROOM)
    batch = PreparedPairs(town, size=32).batch(torch.arange(8))
    assert batch.paired.all() and batch.truth.flow.isfinite().all() and batch.truth.visible.float().mean() > 0.4
    red = torch.nn.functional.grid_sample(
        batch.exemplar, (batch.truth.flow / 16 - 1).movedim(1, -1), align_corners=False, padding_mode="border"
    )
    inside = batch.truth.visible & (batch.truth.flow > 1).all(1) & (batch.truth.flow < 31).all(1)
    error = (red - batch.target).abs().amax(1)[inside]
    assert error.mean() < 0.02
    assert PreparedPairs(town, size=32).pair_names(0)[1] is None


def test_some_have_exemplars_and_some_copies(paired):
    found = read_collection(paired)[0]
    only = {"train": {name: of for name, of in found.exemplars["train"].items() if "t00" in name}}
    write_collection(replace(found, exemplars=only), paired / ROOM)
    source = PreparedPairs(paired, size=32)
    batch = source.batch(torch.arange(40))
    copied = torch.tensor([source.pair_names(k)[1] is None for k in range(40)])
    assert 20 < copied.sum() < 40 and torch.equal(batch.paired, copied)
    assert torch.equal(batch.truth.flow.isfinite().flatten(1).all(1), copied)
    torch.testing.assert_close(batch[copied].target, source.batch(torch.arange(40)[copied]).target, atol=0, rtol=0)


def test_copies_take_the_place_of_what_was_found(paired):
    assert PreparedPairs(paired, size=32, split="val", copies=True).batch(torch.arange(2)).truth.flow.isfinite().all()


def test_exemplars_that_show_the_same_are_paired(paired):
    write_collection(replace(read_collection(paired)[0], paired=("train",)), paired / ROOM)
    assert PreparedPairs(paired, size=32).batch(torch.arange(4)).paired.all()
    assert not PreparedPairs(paired, size=32, split="val").batch(torch.arange(2)).paired.any()


def test_truth_can_be_left_away(paired):
    assert PreparedPairs(paired, size=32, truth=False).batch(torch.arange(2)).truth is None


def test_a_folder_that_was_prepared_anew_is_noticed(paired):
    signed = PreparedPairs(paired, size=32).signed()
    assert signed.structure == "labels" and PreparedPairs(paired, digest=signed.digest).digest == signed.digest
    found = read_collection(paired)[0]
    write_collection(replace(found, exemplars={"val": found.exemplars["val"]}), paired / ROOM)
    with pytest.raises(ValueError, match="prepared anew"):
        replace(signed, split="val")
    with pytest.raises(ValueError, match="prepared with labels, expected pose"):
        PreparedPairs(paired, structure="pose")


def test_what_labels_mean_is_written_down(paired):
    found = read_collection(paired)[0]
    write_collection(replace(found, labels=Labels(NAMES, first=1, void=3)), paired / ROOM)
    signed = PreparedPairs(paired, size=32).signed()
    assert (signed.first, signed.void) == (1, 3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": 8}, "got size 8"),
        ({"size": 5000}, "got size 5000"),
        ({"split": "test"}, "got split"),
        ({"closest": 0.0}, "closest"),
        ({"flip": 2.0}, "flip"),
    ],
)
def test_settings_that_make_no_source_are_refused(paired, settings, words):
    with pytest.raises(ValueError, match=words):
        PreparedPairs(paired, **settings)


def test_a_split_without_images_is_refused(town):
    found = collection(town)
    write_collection(replace(found, items={"train": found.items["train"]}), town / ROOM)
    with pytest.raises(ValueError, match="no images of the split val"):
        PreparedPairs(town, split="val")


def test_style_shows_the_photograph_and_the_style_itself(town):
    found = collection(town, structure="photograph", labels=None)
    exemplars = {split: {item.name: ("train/t01.1.png",) for item in items} for split, items in found.items.items()}
    write_collection(replace(found, exemplars=exemplars), town / ROOM)
    batch = PreparedPairs(town, size=32, split="val").batch(torch.arange(2))
    assert torch.equal(batch.condition, batch.target) and torch.equal(batch.exemplar_condition, batch.exemplar)


def test_an_image_smaller_than_the_squares_is_enlarged(paired):
    batch = PreparedPairs(paired, size=128, split="val").batch(torch.arange(1))
    assert batch.target.shape == (1, 3, 128, 128) and np.isfinite(batch.target.numpy()).all()


def test_an_image_that_broke_since_gives_way_to_the_next_and_is_said_once(paired, capsys):
    whole = PreparedPairs(paired, size=32, split="val").batch(torch.arange(2))
    forget()
    (paired / "val" / "v00.0.bmp").write_bytes(b"BM")
    source = PreparedPairs(paired, size=32, split="val")
    for _ in range(2):
        batch = source.batch(torch.arange(2))
    assert torch.equal(batch.target[0], whole.target[1]) and torch.equal(batch.target[1], whole.target[1])
    said = capsys.readouterr().err
    assert said.count("left out") == 1 and "v00.0.bmp" in said and "1 of 7 images were left out" in source.skipped.words()


def test_an_exemplar_that_broke_gives_way_to_the_next_of_its_target_or_to_a_copy(paired, capsys):
    source = PreparedPairs(paired, size=32, split="val")
    target, best = source.pair_names(0)
    whole = source.batch(torch.arange(1))
    forget()
    for name in (best, source.collection.exemplars["val"][target][1]):
        (paired / name).write_bytes(b"broken")
        batch = PreparedPairs(paired, size=32, split="val").batch(torch.arange(1))
        assert torch.equal(batch.target, whole.target)
    assert batch.paired.all() and batch.truth.flow.isfinite().all()  # a distorted copy
    assert capsys.readouterr().err.count("left out") == 2
    assert "2 of 7" in skipped_words()


def test_after_the_last_image_comes_the_first(paired):
    whole = PreparedPairs(paired, size=32, split="val").batch(torch.arange(1))
    forget()
    (paired / "val" / "v01.1.png").unlink()
    batch = PreparedPairs(paired, size=32, split="val").batch(torch.tensor([1]))
    assert torch.equal(batch.target, whole.target)


def test_a_folder_most_of_which_broke_stops(paired):
    forget()
    for path in (paired / "train").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="4 of 7 images that cannot be read"):
        PreparedPairs(paired, size=32).batch(torch.arange(8))


def test_a_split_of_which_all_broke_does_not_go_round_for_ever(paired):
    forget()
    for path in (paired / "val").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="none of which can be read"):
        PreparedPairs(paired, size=32, split="val").batch(torch.arange(1))
