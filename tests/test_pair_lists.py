"""Lists of pairs as they were released, and as they come from other systems."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layout_folders import ade20k, celeba, deepfashion, pair_lists, pictures, write_lines

from exemplar_lab.data.collection import Collection, Item
from exemplar_lab.data.layouts.finding import find_collection
from exemplar_lab.data.pair_lists import exemplars_of, find_pair_lists, finder, read_lines, read_pair_list

SHARED = Path(__file__).parents[2] / "shared" / "data" / "official_layouts"


def collection(*names: str, val: tuple[str, ...] = (), **more) -> Collection:
    items = {"train": tuple(map(Item, names)), "val": tuple(map(Item, val))}
    return Collection(Path(), "pictures", "edges", items, **more)


# Reading


def test_a_list_from_the_easiest_to_the_hardest(tmp_path):
    path = write_lines(tmp_path / "x_ref.txt", ["a.jpg,b.jpg,c.jpg", "b.jpg,a.jpg", "a.jpg,d.jpg,b.jpg"])
    assert read_pair_list(path) == {"a.jpg": ("b.jpg", "c.jpg", "d.jpg"), "b.jpg": ("a.jpg",)}


def test_one_person_per_line(tmp_path):
    path = write_lines(tmp_path / "x_self_pair.txt", ["i\\1.jpg,i\\2.jpg,i\\3.jpg", "i\\3.jpg,i\\1.jpg", "i\\4.jpg,i\\5.jpg"])
    assert read_pair_list(path) == {
        "i/1.jpg": ("i/2.jpg", "i/3.jpg"),
        "i/2.jpg": ("i/1.jpg", "i/3.jpg"),
        "i/3.jpg": ("i/1.jpg", "i/2.jpg"),
        "i/4.jpg": ("i/5.jpg",),
        "i/5.jpg": ("i/4.jpg",),
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_other_systems_write(tmp_path, encoding, end):
    text = end.join(["", "  über\\a.jpg , b c.jpg,, ", "   ", "d.jpg,e.jpg"])
    (tmp_path / "x_ref.txt").write_bytes(text.encode(encoding))
    assert read_pair_list(tmp_path / "x_ref.txt") == {"über/a.jpg": ("b c.jpg",), "d.jpg": ("e.jpg",)}


@pytest.mark.parametrize("content", [b"", b"\n\n", b"just some words\nand more\n", b"a.jpg\n", b"a.jpg,a.jpg\n", b",\n"])
def test_a_list_without_a_pair(tmp_path, content):
    (tmp_path / "x_ref.txt").write_bytes(content)
    with pytest.raises(ValueError, match="x_ref.txt without a pair in it, expected lines of an image, a comma"):
        read_pair_list(tmp_path / "x_ref.txt")


@pytest.mark.parametrize("content", [bytes(range(256)), b"\x89PNG\r\n\x1a\n\0\0\0", "ä,b".encode("latin-1"), b"a,b\0c"])
def test_a_list_that_is_no_text(tmp_path, content):
    (tmp_path / "x_ref.txt").write_bytes(content)
    with pytest.raises(ValueError, match="x_ref.txt, which cannot be read as text"):
        read_pair_list(tmp_path / "x_ref.txt")
    with pytest.raises(ValueError, match="cannot be read as text"):
        read_lines(tmp_path / "none.txt")


# Finding images by name


NAMES = ("img/WOMEN/a/01.jpg", "img/WOMEN/b/01.jpg", "img/MEN/a/01.jpg", "14721.jpg", "training/ADE_1.jpg", "Straße/x.png")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("img\\WOMEN\\a\\01.jpg", NAMES[0]),
        ("./img/WOMEN/a/01.jpg", NAMES[0]),
        ("WOMEN/a/01.jpg", NAMES[0]),
        ("DeepFashion/img/WOMEN/a/01.jpg", NAMES[0]),
        ("D:\\data\\img\\WOMEN\\a\\01.jpg", NAMES[0]),
        ("IMG/women/A/01.JPG", NAMES[0]),
        ("MEN/a/01.jpg", NAMES[2]),
        ("a/01.jpg", None),  # of two
        ("01.jpg", None),
        ("OMEN/a/01.jpg", None),
        ("14721", NAMES[3]),
        ("14721.png", NAMES[3]),
        ("4721", None),
        ("ADE_1.jpg", NAMES[4]),
        ("validation/ADE_1.jpg", None),
        ("Straße/x.png", NAMES[5]),
        ("", None),
        (".", None),
        ("..\\..\\x.png", None),
    ],
)
def test_a_name_is_found(written, meant):
    assert finder(NAMES)(written) == meant


def test_suffixes_and_capitals_tell_two_images_apart():
    find = finder(["a/x.jpg", "a/x.png", "b/Y.jpg", "b/y.jpg"])
    assert (find("x.png"), find("x.jpg"), find("x"), find("b/Y.jpg"), find("b/y.jpg")) == (
        *("a/x.png", "a/x.jpg", None),
        *("b/Y.jpg", "b/y.jpg"),
    )


def test_of_several_that_fit_the_one_that_shares_most_folders_is_meant():
    find = finder(["1.jpg", "1/1/1.jpg", "A.jpg", "a.jpg"])
    assert (find("1/1.jpg"), find("2/1.jpg"), find("else/A.jpg"), find("else/a.jpg")) == (
        *("1/1/1.jpg", "1.jpg"),
        *("A.jpg", "a.jpg"),
    )


def test_accents_may_be_written_in_two_ways():
    assert finder(["caf\u00e9.jpg"])("cafe\u0301.jpg") == "caf\u00e9.jpg"
    assert finder(["cafe\u0301.jpg"])("caf\u00e9.jpg") == "cafe\u0301.jpg"


letters = st.text("abAB1_ é", min_size=1, max_size=4).map(str.strip).filter(bool)
paths = st.lists(letters, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".jpg")


@given(st.lists(paths, min_size=1, max_size=8, unique=True), st.data())
def test_a_full_name_is_always_found_and_a_part_of_it_never_means_another(names, data):
    find = finder(names)
    name = data.draw(st.sampled_from(names))
    assert find(name) == find(name.replace("/", "\\")) == find(f"./{name}") == name
    tail = "/".join(PurePosixPath(name).parts[data.draw(st.integers(0, name.count("/"))) :])
    ends_so = [one for one in names if f"/{one}".lower().endswith(f"/{tail}".lower())]
    assert find(tail) in (*ends_so, None) and (len(ends_so) > 1 or find(tail) == name)
    assert find(f"elsewhere/{name}") == name


# Exemplars


def test_what_is_there_becomes_exemplars(tmp_path):
    known = collection("a.jpg", "b.jpg", "c.jpg", val=("d.jpg",))
    path = write_lines(tmp_path / "x_ref.txt", ["a.jpg,b.jpg,z.jpg,a.jpg,c.jpg", "d.jpg,a.jpg", "y.jpg,a.jpg", "c.jpg,z.jpg"])
    found = exemplars_of(known, [path])
    assert found.exemplars == {"train": {"a.jpg": ("b.jpg", "c.jpg")}, "val": {"d.jpg": ("a.jpg",)}}
    assert found.paired == () and found.how == "x_ref.txt"
    assert found.remarks == ("2 of 6 names in x_ref.txt are not among the images, the first is z.jpg",)


def test_several_lists_are_joined(tmp_path):
    one = write_lines(tmp_path / "x_ref.txt", ["a.jpg,b.jpg"])
    two = write_lines(tmp_path / "x_ref_test.txt", ["d.jpg,a.jpg", "a.jpg,c.jpg"])
    found = exemplars_of(collection("a.jpg", "b.jpg", "c.jpg", val=("d.jpg",)), [one, two])
    assert found.exemplars == {"train": {"a.jpg": ("b.jpg", "c.jpg")}, "val": {"d.jpg": ("a.jpg",)}}
    assert found.how == "x_ref.txt, x_ref_test.txt"


def test_images_that_are_exemplars_alone_are_no_targets(tmp_path):
    known = Collection(
        Path(), "mine", "photograph", {"train": tuple(map(Item, ("a.jpg",))), "style": tuple(map(Item, ("s.jpg", "t.jpg")))}
    )
    path = write_lines(tmp_path / "x_ref.txt", ["s.jpg,t.jpg"])
    assert exemplars_of(known, [path]) == known
    write_lines(path, ["a.jpg,t.jpg"])
    assert exemplars_of(known, [path]).exemplars == {"train": {"a.jpg": ("t.jpg",)}}


def test_a_split_holds_one_kind_of_pairs(tmp_path):
    known = collection("a.jpg", "b.jpg", "c.jpg", val=("d.jpg",))
    same = write_lines(tmp_path / "x_self_pair.txt", ["a.jpg,b.jpg"])
    other = write_lines(tmp_path / "x_ref.txt", ["a.jpg,c.jpg", "b.jpg,c.jpg"])
    found = exemplars_of(known, [other, same])
    assert found.paired == ("train",) and found.exemplars == {"train": {"a.jpg": ("b.jpg",), "b.jpg": ("a.jpg",)}}
    assert found.how == "x_self_pair.txt" and "x_ref.txt: would serve no more images of train" in found.remarks[0]
    write_lines(other, ["a.jpg,c.jpg", "b.jpg,c.jpg", "c.jpg,a.jpg"])
    found = exemplars_of(known, [other, same])
    assert found.paired == () and found.exemplars["train"]["c.jpg"] == ("a.jpg",) and found.how == "x_ref.txt"


def test_each_split_holds_the_kind_that_serves_it(tmp_path):
    """As with deepfashion_self_pair.txt for images that train and deepfashion_ref_test.txt for those held out."""
    known = collection("a.jpg", "b.jpg", "c.jpg", val=("d.jpg", "e.jpg"))
    same = write_lines(tmp_path / "x_self_pair.txt", ["a.jpg,b.jpg"])
    other = write_lines(tmp_path / "x_ref_test.txt", ["d.jpg,c.jpg"])
    found = exemplars_of(known, [other, same])
    assert found.exemplars == {
        "train": {"a.jpg": ("b.jpg",), "b.jpg": ("a.jpg",)},
        "val": {"d.jpg": ("c.jpg",)},
    }
    assert (found.paired, found.how, found.remarks) == (("train",), "x_self_pair.txt, x_ref_test.txt", ())


@pytest.mark.parametrize("listed", [1, 2])
def test_a_list_is_taken_where_the_folders_serve_no_more(tmp_path, listed):
    told = {"val": {"d.jpg": ("e.jpg",), "e.jpg": ("d.jpg",)}}
    known = collection("a.jpg", val=("d.jpg", "e.jpg"), exemplars=told, paired=("val",), how="told by folders")
    path = write_lines(tmp_path / "x_ref_test.txt", ["d.jpg,a.jpg", "e.jpg,a.jpg"][:listed])
    found = exemplars_of(known, [path])
    assert len(found.remarks) == 1
    if listed == 1:
        assert (found.exemplars, found.paired, found.how) == (told, ("val",), "told by folders")
    else:
        by_list = {"val": {"d.jpg": ("a.jpg",), "e.jpg": ("a.jpg",)}}
        assert (found.exemplars, found.paired, found.how) == (by_list, (), "x_ref_test.txt")


@pytest.mark.parametrize("ending", ["_ref.txt", "_self_pair.txt"])
def test_a_held_out_image_is_never_shown_in_training(tmp_path, ending):
    path = write_lines(tmp_path / f"x{ending}", ["a.jpg,d.jpg,b.jpg", "c.jpg,e.jpg", "e.jpg,d.jpg,a.jpg"])
    found = exemplars_of(collection("a.jpg", "b.jpg", "c.jpg", val=("d.jpg", "e.jpg")), [path])
    assert found.exemplars["train"]["a.jpg"] == ("b.jpg",) and "c.jpg" not in found.exemplars["train"]
    assert {"a.jpg", "d.jpg"} <= set(found.exemplars["val"]["e.jpg"])
    (said,) = found.remarks
    assert said.startswith("2 held-out images are named as exemplars of images that train") and "d.jpg for a.jpg" in said


def test_lists_come_before_what_is_known(tmp_path):
    exemplars = {"train": {"a.jpg": ("b.jpg",), "b.jpg": ("a.jpg",)}}
    known = collection("a.jpg", "b.jpg", "c.jpg", val=("d.jpg",), exemplars=exemplars, paired=("train",), how="told by folders")
    same = write_lines(tmp_path / "x_self_pair.txt", ["a.jpg,c.jpg"])
    found = exemplars_of(known, [same])
    assert found.exemplars == {"train": {"a.jpg": ("c.jpg",), "b.jpg": ("a.jpg",), "c.jpg": ("a.jpg",)}}
    assert found.paired == ("train",) and found.how == "x_self_pair.txt, told by folders"
    nothing = write_lines(tmp_path / "y_self_pair.txt", ["x.jpg,y.jpg"])
    found = exemplars_of(known, [nothing])
    assert (found.exemplars, found.how, found.paired) == (exemplars, "told by folders", ("train",)) and len(found.remarks) == 1


def test_broken_lists_are_remarks(tmp_path):
    known = collection("a.jpg", "b.jpg")
    garbage, words = tmp_path / "x_ref.txt", tmp_path / "y_ref.txt"
    garbage.write_bytes(bytes(range(256)))
    words.write_text("lorem ipsum\ndolor sit amet\n")
    found = exemplars_of(known, [garbage, words, tmp_path / "gone_ref.txt"])
    assert found.exemplars == {} and [remark.partition(" was left out")[0] for remark in found.remarks] == [
        *("x_ref.txt", "y_ref.txt", "gone_ref.txt")
    ]


def test_lists_are_looked_for_by_name(tmp_path):
    pair_lists(tmp_path)
    folder = pictures(tmp_path / "mine", many=2)
    assert find_pair_lists(folder) == ()
    assert [path.name for path in find_pair_lists(folder, "deepfashion")] == [
        *("deepfashion_ref_test.txt", "deepfashion_self_pair.txt"),
    ]
    for name in ("own_ref.txt", "notes.txt", "val.txt", "pairs/more_self_pair.txt", "deep/x_ref.txt"):
        write_lines(folder / name, ["IMG_0000.png,IMG_0001.JPG"])
    assert [path.name for path in find_pair_lists(folder)] == ["own_ref.txt", "more_self_pair.txt"]


# In their layouts


def test_lists_of_the_layouts(tmp_path):
    pair_lists(tmp_path)
    people = find_collection(deepfashion(tmp_path / "DeepFashion"), "pose")
    assert people.paired == ("train",) and people.how.startswith("deepfashion_self_pair.txt, the same outfit")
    assert people.how.endswith("deepfashion_ref_test.txt") and len(people.exemplars["train"]) == 4
    held_out, other = (f"img/WOMEN/Dresses/id_0000020{name}.jpg" for name in ("5/01_1_front", "4/01_2_side"))
    assert people.exemplars["val"] == {held_out: (other,)}
    (tmp_path / "pairs/deepfashion_self_pair.txt").unlink()
    faces = find_collection(celeba(tmp_path / "celebahqedge"), "edges")
    pairs = {"29922": "2994", "26397": "14721"}
    assert faces.exemplars == {"val": {f"CelebA-HQ-img/{a}.jpg": (f"CelebA-HQ-img/{b}.jpg",) for a, b in pairs.items()}}
    assert faces.paired == () and faces.how == "celebahq_ref_test.txt" and not faces.remarks
    scenes = find_collection(ade20k(tmp_path / "ade"), "labels")
    others = tuple(f"training/ADE_train_0000{number}.jpg" for number in (1037, 1000))
    assert scenes.exemplars == {"val": {"validation/ADE_val_00001000.jpg": others}}


def test_a_users_own_list(tmp_path):
    folder = pictures(tmp_path / "mine")
    write_lines(folder / "mine_ref.txt", ["img_0003,IMG_0004.jpg,IMG_0001.jpg"], "\r\n")
    found = find_collection(folder, "edges")
    ((name, others),) = [pair for named in found.exemplars.values() for pair in named.items()]
    assert (name, others) == ("IMG_0003.png", ("IMG_0004.jpg", "IMG_0001.JPG")) and not found.remarks


@pytest.mark.parametrize("name", ["ade20k_ref_test", "celebahq_ref_test", "deepfashion_ref_test", "deepfashion_self_pair"])
def test_the_released_lists(name):
    if not SHARED.is_dir():
        pytest.skip("no samples of the official layouts beside the checkout")
    pairs = read_pair_list(SHARED / "pairs" / f"{name}.txt")
    assert len(pairs) == {"ade20k_ref_test": 6, "celebahq_ref_test": 8, "deepfashion_ref_test": 4}.get(name, 3)
    assert all(len(others) == (2 if "self" in name else 1) and key not in others for key, others in pairs.items())
    assert not any("\\" in one for key, others in pairs.items() for one in (key, *others))
