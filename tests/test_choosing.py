"""Which images become exemplars of which."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from exemplar_lab.data.canvas import Canvas
from exemplar_lab.data.collection import Collection, Item, Labels
from exemplar_lab.training.choosing import Plan, choose, compare, plan

CLASSES = ("sky", "sea", "land")


def striped(shares: tuple[int, ...]) -> Canvas:
    """Of 32 columns so many of each class; colours are those of the shares, so that looks differ too."""
    labels = torch.repeat_interleave(torch.arange(len(shares)), torch.tensor(shares)).short().expand(32, -1)
    colour = torch.tensor([20, 120, 220])[labels.long().clamp_min(0)].byte()
    return Canvas(colour.expand(3, -1, -1).clone(), labels.clone())


STRIPES = {
    "a": (20, 12, 0),
    "b": (18, 14, 0),
    "c": (0, 10, 22),
    "d": (2, 10, 20),
    "v": (19, 13, 0),
    "w": (1, 11, 20),
}


def town(train: str = "abcd", val: str = "vw", **more) -> Collection:
    items = {"train": tuple(Item(one, (one,)) for one in train), "val": tuple(Item(one, (one,)) for one in val)}
    return Collection(Path("town"), "own", "labels", items, Labels(CLASSES), **more)


def chosen(collection: Collection, by: str | None, count: int = 2, stripes=STRIPES) -> Collection:
    way = plan(collection, by)
    read = [(split, item, striped(stripes[item.name])) for split, of in collection.items.items() for item in of]
    items, compared = compare(collection, read, way.search)
    assert items == collection.items
    return choose(collection, compared, way, count)


@pytest.mark.parametrize("by", ["labels", "features", None])
def test_targets_of_both_splits_look_among_training_images(by):
    done = chosen(town(), by)
    best = {name: few[0] for of in done.exemplars.values() for name, few in of.items()}
    assert best == {"a": "b", "b": "a", "c": "d", "d": "c", "v": "a" if best["v"] == "a" else "b", "w": "d"}
    assert all(len(few) == 2 for of in done.exemplars.values() for few in of.values()) and done.paired == ()
    assert done.how == ("training images that look alike" if by == "features" else "training images with similar labels")


def test_histograms_agree_with_a_slow_count():
    def shared(one, other):
        return sum(min(a, b) for a, b in zip(STRIPES[one], STRIPES[other], strict=True))

    done = chosen(town(), "labels", 3)
    for of in done.exemplars.values():
        for name, few in of.items():
            pool = sorted((other for other in "abcd" if other != name), key=lambda other: -shared(name, other))
            assert few == tuple(pool[:3])


def test_copies_are_no_exemplars_of_each_other_and_are_said():
    stripes = STRIPES | {"b": STRIPES["a"], "w": STRIPES["c"]}
    done = chosen(town(), "labels", 3, stripes)
    assert done.exemplars["train"] == {"a": ("d", "c"), "b": ("d", "c"), "c": ("d", "a"), "d": ("c", "a")}
    assert done.exemplars["val"]["w"] == ("d", "a")
    assert done.remarks[0] == "2 images show the same picture as another, the first being b as a"
    assert done.remarks[1].startswith("1 held-out image is among those that train, the first being w as c")


def test_a_split_of_one_image_has_copies_of_itself():
    done = chosen(town("a", "vw"), None)
    assert "train" not in done.exemplars and done.exemplars["val"] == {"v": ("a",), "w": ("a",)}


def test_lists_come_first_and_what_they_leave_is_searched():
    named = {"val": {"v": ("c", "gone"), "w": ("gone",)}}
    done = chosen(town(exemplars=named, how="named by town_ref.txt"), None)
    assert done.exemplars["val"] == {"v": ("c",), "w": ("d", "c")} and done.exemplars["train"]["a"] == ("b", "d")
    assert done.how == "named by town_ref.txt; for the others, training images with similar labels"
    alone = chosen(town(exemplars=named, how="named by town_ref.txt"), "lists")
    assert alone.exemplars == {"val": {"v": ("c",)}} and alone.how.endswith("; for the others, distorted copies of the targets")


def test_the_same_person_is_never_mixed_with_others():
    """Exemplars that are right answers and such that are not cannot be in one split: the rest has copies of itself."""
    named = {"train": {"a": ("b",), "b": ("a",)}}
    done = chosen(town(exemplars=named, paired=("train",)), None)
    assert done.exemplars == named and done.paired == ("train",)
    other = chosen(town(exemplars=named, paired=("train",)), "labels")
    assert len(other.exemplars["train"]) == 4 and not other.paired
    none = chosen(town(exemplars=named, paired=("train",)), "none")
    assert none.exemplars == {} and not none.paired and none.how == "distorted copies of the targets"


def test_one_split_has_the_same_person_and_the_other_is_searched():
    named = {"train": {"a": ("b",), "b": ("a",)}, "val": {"v": ("c",)}}
    done = chosen(town(exemplars=named, paired=("train",), how="two lists"), None)
    assert done.exemplars == {"train": named["train"], "val": {"v": ("c",), "w": ("d", "c")}} and done.paired == ("train",)
    assert done.how == "two lists; for the others, training images with similar labels; for the others, " + (
        "distorted copies of the targets"
    )


def test_a_held_out_image_is_never_shown_in_training():
    named = {"train": {"a": ("v", "b"), "c": ("w",)}, "val": {"v": ("w", "a")}}
    for by in (None, "lists"):
        done = chosen(town(exemplars=named), by)
        assert done.exemplars["train"]["a"] == ("b",) and done.exemplars["val"]["v"] == ("w", "a")
        assert not {name for few in done.exemplars["train"].values() for name in few} & set("vw")
        (said,) = done.remarks
        assert said.startswith("2 held-out images are named as exemplars of images that train") and said.endswith("v for a")


def test_each_style_serves():
    shares = {"a": (32, 0, 0), "b": (31, 1, 0), "v": (30, 2, 0)}
    styles = {"s": (29, 3, 0), "t": (0, 0, 32), "u": (0, 32, 0)}
    items = {
        "train": (Item("a"), Item("b")),
        "val": (Item("v"),),
        "style": (Item("s"), Item("t"), Item("u")),
    }
    photographs = Collection(Path("pictures"), "contents and styles", "photograph", items)
    done = chosen(photographs, None, 1, shares | styles)
    assert done.exemplars["val"] == {"v": ("s",)} and {few[0] for few in done.exemplars["train"].values()} == {"s"}
    assert {name for few in done.exemplars["train"].values() for name in few} == set("stu")
    assert done.how == "style images that look alike"
    listed = replace(photographs, exemplars={"train": {"a": ("t",)}}, how="equal numbers")
    assert sorted(chosen(listed, None, 1, shares | styles).exemplars["train"]["b"]) == ["s", "u"]


@pytest.mark.parametrize(
    ("collection", "by", "expected"),
    [
        (town(), None, Plan(False, "labels")),
        (Collection(Path("x"), "pictures", "edges", town().items), None, Plan(False, "features")),
        (town(exemplars={"val": {"v": ("a",)}}), None, Plan(True, "labels")),
        (town(exemplars={"val": {"v": ("a",)}}, paired=("val",)), None, Plan(True, "none")),
        (town(exemplars={"val": {"v": ("a",)}}), "lists", Plan(True, "none")),
        (town(exemplars={"val": {"v": ("a",)}}), "features", Plan(False, "features")),
        (town(), "none", Plan(False, "none")),
    ],
)
def test_plans(collection, by, expected):
    assert plan(collection, by) == expected


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("colour", "got the way 'colour', expected one of labels, features, lists, none"),
        ("labels", "got exemplars by labels for the edges of x, which has no label maps"),
        ("lists", "got exemplars by lists for x, in which and beside which no list names any"),
    ],
)
def test_what_cannot_be_found_is_one_sentence(by, said):
    with pytest.raises(ValueError, match=said):
        plan(Collection(Path("x"), "pictures", "edges", town().items), by)


def test_nothing_is_compared_where_nothing_is_searched():
    _, compared = compare(town(), [("train", Item("a", ("a",)), striped(STRIPES["a"]))], "none")
    assert compared.by is None and compared.of == ("a",)
