"""DeepFashion as CoCosNet and DynaST read it: img/ with the poses that OpenPose found, of the same names, in pose/."""

import re
from collections.abc import Mapping

from exemplar_lab.data.collection import SPLITS, Collection, Item
from exemplar_lab.data.layouts.listing import Listing, keyed, say, stem
from exemplar_lab.data.layouts.splits import split_items
from exemplar_lab.data.pose_files import TEXT

_PERSON = re.compile(r"(.*/)?id_[0-9]+/")
_OUTFIT = re.compile(r"((.*/)?id_[0-9]+/([0-9]+_)?)")


def deepfashion(listing: Listing) -> Collection | None:
    """img/…/NAME.jpg with pose/…/NAME_candidate.txt and NAME_subset.txt; val.txt names images, with back-slashes.

    Images of one outfit, which are those of one folder id_… whose names begin with one number, are exemplars of each other, but
    no image that is held out is that of one that trains. Released code: pairs are those of a list, deepfashion_self_pair.txt,
    which are taken before these where it is there.
    """
    img, pose = listing.called("img"), listing.called("pose")
    poses = {name for name in listing.files if name.startswith(f"{pose}/") and name.endswith(TEXT)}
    images, twice = keyed(listing.inside(img), stem)
    if not images or not poses:
        return None
    wanted = {name: tuple(f"{pose}{stem(name).removeprefix(img)}{half}" for half in TEXT) for name in images.values()}
    items = [Item(name, two) for name, two in wanted.items() if poses.issuperset(two)]
    if not items:
        return None
    alone = sorted(wanted.keys() - {item.name for item in items})
    needed = " and ".join(wanted[alone[0]]) if alone else ""
    left = sorted(poses - {name for two in wanted.values() for name in two})
    remarks = say(twice, "images were left out, which have the name of another one but for the suffix")
    remarks += say(alone, "images without a whole pose were left out", needed)
    remarks += say(left, f"files of poses have no image in {img}/")
    splits, more = split_items(listing.folder, items, person)
    exemplars = _same_outfit(splits)
    return Collection(
        folder=listing.folder,
        layout="DeepFashion",
        structure="pose",
        items=splits,
        exemplars=exemplars,
        paired=tuple(exemplars),
        how="the same outfit, told by id_… and the number after it" if exemplars else "",
        remarks=(*remarks, *more),
    )


def person(name: str) -> str:
    """What splits must not tear apart."""
    found = _PERSON.match(name)
    return found[0] if found else name


def _same_outfit(splits: Mapping[str, tuple[Item, ...]]) -> dict[str, dict[str, tuple[str, ...]]]:
    worn: dict[str, list[tuple[str, str]]] = {}
    for split in SPLITS:
        for item in splits[split]:
            found = _OUTFIT.match(item.name)
            if found:
                worn.setdefault(found[0], []).append((split, item.name))
    exemplars: dict[str, dict[str, tuple[str, ...]]] = {split: {} for split in SPLITS}
    for images in worn.values():
        for split, name in images:
            others = tuple(other for where, other in images if other != name and (where == "train" or split == "val"))
            if others:
                exemplars[split][name] = others
    return {split: named for split, named in exemplars.items() if named}
