"""ADE20K: photographs with label maps of 150 classes, and which of them were taken outdoors."""

import re
from collections.abc import Mapping
from pathlib import Path

from exemplar_lab.data.collection import Collection, Item
from exemplar_lab.data.label_maps import read_names
from exemplar_lab.data.layouts.class_names import ADE20K
from exemplar_lab.data.layouts.label_folders import beside, named, partners
from exemplar_lab.data.layouts.listing import Listing, say, stem
from exemplar_lab.data.layouts.scenes import is_outdoors
from exemplar_lab.data.layouts.splits import split_items
from exemplar_lab.data.pair_lists import finder, read_lines

FOLDERS = ("training", "validation")
SCENES = "sceneCategories.txt"
"""Comes with ADEChallengeData2016: in each line the name of an image and of its scene."""
OUTDOORS = "outdoor.txt"
"""A list of one's own: the names of the images that are kept."""

_NAME = re.compile(r"ADE_(train|val)_[0-9]+")


def ade20k(listing: Listing) -> Collection | None:
    """training/ and validation/, ADE_….jpg beside ADE_….png; or images/training/ with annotations/training/, and so on.

    Labels 1 … 150 are classes and 0 is unknown, whether classes.txt has a line for it or not. [CoCosNet] takes the scenes
    outdoors alone, but no list of them was released: kept are the images that OUTDOORS names, or else those whose scene in
    SCENES sounds so; without either all are.
    """
    side = [name for place in FOLDERS for name in listing.inside(listing.called(place))]
    found, remarks = beside(side)
    if not found:
        places = {kind: [listing.called(f"{kind}/{place}") for place in FOLDERS] for kind in ("images", "annotations")}
        apart = [{name: name[len(kind) :].lower() for name in listing.inside(*two)} for kind, two in places.items()]
        found, remarks = partners(*apart)
    found = {image: own for image, own in found.items() if _NAME.fullmatch(stem(image).rpartition("/")[2])}
    if not found:
        return None
    kept, more = _outdoors(listing.folder, found)
    if not kept:
        kept, more = found, (*more, "no image would be left: indoor scenes are kept")
    items, last = split_items(listing.folder, [Item(image, (own,)) for image, own in kept.items()])
    labels = named(read_names(listing.folder) or ADE20K, first=1)
    return Collection(listing.folder, "ADE20K", "labels", items, labels, remarks=(*remarks, *more, *last))


def _outdoors(folder: Path, found: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    for title in (OUTDOORS, SCENES):
        if not (folder / title).is_file():
            continue
        try:
            lines = read_lines(folder / title)
        except ValueError as problem:
            return dict(found), (f"{title} was left out: {problem}",)
        find = finder(found)
        if title == SCENES:
            lines = tuple(words[0] for line in lines if len(words := line.split()) > 1 and is_outdoors(words[1]))
        kept = {find(name) for name in lines}
        indoors = sorted(name for name in found if name not in kept)
        what = "are not named in it" if title == OUTDOORS else "show scenes that are not known to be outdoors"
        said = say(indoors, f"of {len(found)} images were left out: by {title} they {what}")
        return {name: own for name, own in found.items() if name in kept}, said
    return dict(found), (f"there is no {SCENES} and no {OUTDOORS}, which lists names: indoor scenes are kept",)
