"""What is in a folder of images, and how it is laid out: the one door to all layouts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from exemplar_lab.data.collection import Collection
from exemplar_lab.data.layouts.ade20k import ade20k
from exemplar_lab.data.layouts.celeba import celeba_edges, celeba_labels
from exemplar_lab.data.layouts.deepfashion import deepfashion, person
from exemplar_lab.data.layouts.label_folders import label_folders
from exemplar_lab.data.layouts.listing import Listing, list_files
from exemplar_lab.data.layouts.own_poses import own_poses
from exemplar_lab.data.layouts.pictures import pictures
from exemplar_lab.data.layouts.styles import styles
from exemplar_lab.data.pair_lists import exemplars_of, find_pair_lists

Layout = Callable[[Listing], Collection | None]

LAYOUTS: Mapping[str, tuple[tuple[Layout, str], ...]] = {
    "edges": (
        (celeba_edges, "as CelebAMask-HQ: CelebA-HQ-img/ID.jpg with CelebAMask-HQ-mask-anno/K/ID_part.png"),
        (pictures, "any folder of images (png, jpg, webp, bmp, tif), with folders in it"),
    ),
    "labels": (
        (celeba_labels, "as CelebAMask-HQ: CelebA-HQ-img/ID.jpg with CelebAMask-HQ-mask-anno/K/ID_part.png"),
        (ade20k, "as ADE20K: training/ADE_train_ID.jpg beside .png, and validation/"),
        (label_folders, "as COCO-Stuff: train_img/ (jpg) with train_label/ (png); as CamVid: train/ with trainannot/"),
        (label_folders, "your own: images/ with labels/, files of the same name but for the suffix, and classes.txt"),
    ),
    "pose": (
        (deepfashion, "as DeepFashion: img/…/NAME.jpg with pose/…/NAME_candidate.txt and NAME_subset.txt"),
        (own_poses, "your own: NAME.jpg with NAME_keypoints.json or the two texts of OpenPose, or a drawn NAME_pose.png"),
    ),
    "style": ((styles, "photographs in content/ and images to take the style from in style/"),),
}
"""By task: the layouts that are tried, in this order, and in words what each needs."""

OFFICIAL_LISTS = {"DeepFashion": ("deepfashion",), "CelebAMask-HQ": ("celebahq", "celebahqedge"), "ADE20K": ("ade20k",)}
"""What the released pair lists of a layout are called in front."""

GROUPS: Mapping[str, Callable[[str], str]] = {"DeepFashion": person}
"""By layout: of a name, what splits must not tear apart."""

OWN = ("pictures", "label folders", "images and poses")
"""Layouts of anybody's folder."""


def find_collection(folder: str | Path, task: str, *, soft: bool = False) -> Collection:
    """The images in a folder, what the structure of each is read from, splits, and exemplars where lists of pairs name them.

    task: "edges", "labels", "pose" or "style"; soft: soft edges for "edges". Files are listed and lists are read, but no image
    is opened, unless label maps have to say how many classes they name. What cannot be used is left out and counted in
    `remarks`.

    Raises FileNotFoundError for what is no folder, and for one that holds nothing that the task can use; ValueError for another
    task, and for a single image, of which none can be held out.
    """
    if task not in LAYOUTS:
        raise ValueError(f"got the task {task!r}, expected one of {', '.join(LAYOUTS)}: choose one of these")
    if soft and task != "edges":
        raise ValueError(f"got soft edges for the task {task}, expected them for edges alone: leave soft out")
    listing = list_files(folder)
    found = next((found for layout in _layouts(task, soft) if (found := layout(listing)) is not None), None)
    if found is None:
        raise FileNotFoundError(_nothing(listing, task, soft))
    found = replace(found, remarks=(*listing.remarks, *_deeper(listing, task, found), *found.remarks))
    lists = find_pair_lists(listing.folder, *OFFICIAL_LISTS.get(found.layout, ()))
    return exemplars_of(found, lists) if lists else found


def _layouts(task: str, soft: bool) -> Sequence[Layout]:
    if soft:
        return (partial(pictures, soft=True),)
    return tuple(dict.fromkeys(layout for layout, _ in LAYOUTS[task]))


def _deeper(listing: Listing, task: str, found: Collection) -> tuple[str, ...]:
    """Whether a folder in this one is that of a data set, and somebody went in too high up."""
    if found.layout not in OWN:
        return ()
    official = [layout for layout, _ in LAYOUTS[task] if layout not in (pictures, label_folders, own_poses)]
    inner = {place: _tried(official, listing.inner(place)) for place in listing.folders}
    return tuple(
        f"{place}/ is laid out as {one.layout}: name that folder to have it read so" for place, one in inner.items() if one
    )


def _nothing(listing: Listing, task: str, soft: bool) -> str:
    many, files = len(listing.images), len(listing.files)
    wanted = "; or ".join(words for _, words in LAYOUTS[task])
    inner = [place for place in listing.folders if _tried(_layouts(task, soft), listing.inner(place))]
    do = f"name the folder {listing.folder / inner[0]}" if inner else "rename folders, or name another one"
    do += f" ({listing.remarks[0]})" if listing.remarks else ""
    return (
        f"got {listing.folder}, which holds {many} images and {files - many} other files, but nothing that {task} can be made "
        f"from; expected {wanted}: {do}"
    )


def _tried(layouts: Sequence[Layout], listing: Listing) -> Collection | None:
    """What the first of `layouts` finds that fits; nothing where it would be an error."""
    try:
        return next((found for layout in layouts if (found := layout(listing)) is not None), None)
    except ValueError:  # a single image, say
        return None
