"""Photographs and label maps: as COCO-Stuff and CamVid come, and a folder of one's own."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from exemplar_lab.data.collection import SPLITS, Collection, Item, Labels
from exemplar_lab.data.label_maps import CAMVID, LAYOUTS, MOST, read_names, survey
from exemplar_lab.data.layouts.class_names import COCO_STUFF
from exemplar_lab.data.layouts.listing import Listing, keyed, say, stem
from exemplar_lab.data.layouts.splits import split_items

OWN = (("images", "image", "img", "imgs", "photos"), ("labels", "label", "masks", "mask", "annotations", "segmentation"))
"""What folders of photographs and of label maps may be called when they are not of one split alone."""

UNNAMED = {"unlabelled", "unlabeled", "void", "unknown", "ignore"}
"""A class of this name, the first or the last of classes.txt, is none: its label means unknown."""

ENOUGH, GAP = 10, 100
"""So many label maps tell what labels there are: one in a hundred of them, or one, is broken that is so far above the rest."""

_CAMVID = re.compile(r"([0-9]{4}[A-Z0-9]{2}|Seq05VD)_f?[0-9]{5,6}")
_COCO = re.compile(r"[0-9]{12}")


def label_folders(listing: Listing) -> Collection | None:
    """Photographs with label maps, in folders as in LAYOUTS or OWN, or side by side (jpg and png).

    Classes are named by classes.txt, by COCO-Stuff, by CamVid; failing these the label maps are looked through, the only images
    that are opened here, and the classes are named by their numbers. Raises ValueError when no label map can be read then.
    """
    partners, remarks = _partners(listing)
    if not partners:
        return None
    layout, labels = _known(listing, partners)
    if labels is None:
        labels, more = _counted(listing.folder, list(partners.values()))
        remarks += more
    items, more = split_items(listing.folder, [Item(image, (own,)) for image, own in partners.items()])
    return Collection(listing.folder, layout, "labels", items, labels, remarks=(*remarks, *more))


def _partners(listing: Listing) -> tuple[dict[str, str], tuple[str, ...]]:
    """Photographs with their label maps, of the arrangement of folders that has most."""
    folders = {name.partition("/")[0] for name in listing.images if "/" in name}
    arrangements = [[(a.format(split), b.format(split)) for split in SPLITS] for a, b in LAYOUTS]
    arrangements.append([(image, own) for image in OWN[0] for own in OWN[1]])
    best: tuple[dict[str, str], tuple[str, ...]] = {}, ()
    for places in arrangements:
        found: dict[str, str] = {}
        remarks: tuple[str, ...] = ()
        for two in [(listing.called(a), listing.called(b)) for a, b in places]:
            if folders.issuperset(two):
                more, said = partners(
                    *({name: name.removeprefix(f"{place}/") for name in listing.inside(place)} for place in two)
                )
                found |= more
                remarks += said
            elif places is not arrangements[-1] and folders.intersection(two):
                there = [name for place in two for name in listing.inside(place)]
                remarks += say(there, "images were left out", f"both {two[0]}/ and {two[1]}/")
        if len(found) > len(best[0]):
            best = found, remarks
    return best if best[0] else beside(listing.images)


def partners(images: dict[str, str], maps: dict[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Photographs with their label maps, given what each is called in its folder: the same but for the suffix."""
    own, twice = keyed(images, lambda name: stem(images[name]))
    other, again = keyed(maps, lambda name: stem(maps[name]))
    remarks = say(twice, "photographs were left out, which have the name of another one but for the suffix")
    remarks += say(again, "label maps were left out, which have the name of another one but for the suffix")
    alone = {kind: sorted(a[key] for key in a.keys() - b.keys()) for kind, a, b in (("image", own, other), ("map", other, own))}
    remarks += say(alone["image"], "photographs without a label map were left out", "a map of the same name but for the suffix")
    remarks += say(
        alone["map"], "label maps without a photograph were left out", "an image of the same name but for the suffix"
    )
    return {own[key]: other[key] for key in own if key in other}, remarks


def beside(names: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """JPEGs with a PNG of the same name in the same folder; nothing unless most JPEGs have one."""
    images = {name: name for name in names if name.lower().endswith((".jpg", ".jpeg"))}
    maps = {name: name for name in names if name.lower().endswith(".png")}
    found, remarks = partners(images, maps)
    return (found, remarks) if 2 * len(found) > len(images) else ({}, ())


def _known(listing: Listing, found: dict[str, str]) -> tuple[str, Labels | None]:
    """The layout, and what its labels mean where this is known."""
    names = [stem(name).rpartition("/")[2] for name in found]
    coco = _mostly(_COCO, names) or listing.called("train_inst") in listing.folders
    camvid = _mostly(_CAMVID, names)
    layout = "COCO-Stuff" if coco else "CamVid" if camvid else "label folders"
    own = read_names(listing.folder)
    if own is not None:
        return layout, named(own)
    if coco:
        return layout, Labels(COCO_STUFF)
    return layout, Labels(CAMVID[:-1], void=len(CAMVID) - 1) if camvid else None


def _mostly(pattern: re.Pattern[str], names: Sequence[str]) -> bool:
    return 2 * sum(pattern.fullmatch(name) is not None for name in names) > len(names)


def named(names: tuple[str, ...], first: int = 0) -> Labels:
    """What the lines of classes.txt say. first: the label of the first of them, unless it says what UNNAMED does."""
    if len(names) > 1 and names[0].lower() in UNNAMED:
        return Labels(names[1:], first=1)
    if len(names) > 1 and names[-1].lower() in UNNAMED:
        return Labels(names[:-1], first, void=first + len(names) - 1)
    return Labels(names, first)


def _counted(folder: Path, maps: Sequence[str]) -> tuple[Labels, tuple[str, ...]]:
    """As many classes as the largest label in any map says. Maps that cannot be read are for those who read them to report."""
    with ThreadPoolExecutor() as pool:
        told = list(pool.map(_largest, [folder / name for name in maps]))
    largest = max((one for one in told if isinstance(one, int)), default=-1)
    problem = next((one for one in told if not isinstance(one, int)), "all that they say is 255, which means unknown")
    if largest < 0:
        raise ValueError(f"got {len(maps)} label maps in {folder}, none of which names a class; the first problem: {problem}")
    path = folder / maps[told.index(largest)]
    if largest >= MOST:
        raise ValueError(
            f"got label {largest} in {path}, expected 0 … {MOST - 1}: label maps must name classes and not number objects"
        )
    most = sorted(one for one in told if isinstance(one, int) and one >= 0)
    few = max(1, len(most) // 100)
    if len(most) >= ENOUGH and largest - most[-1 - few] > GAP:
        raise ValueError(
            f"got label {largest} in {path}, and none above {most[-1 - few]} in {len(most) - few} of {len(most)} label maps; "
            f"expected the numbers of classes, in turn: mend that map, or name every class in {folder / 'classes.txt'}"
        )
    many = largest + 1
    said = f"there is no classes.txt: {many} classes, counted in the label maps, are named by their numbers"
    said += f"; the last of them is in {path}"
    return Labels(tuple(map(str, range(many)))), (said,)


def _largest(path: Path) -> int | ValueError:
    try:
        return survey([path])[0][2]
    except (OSError, ValueError) as problem:
        return ValueError(str(problem))
