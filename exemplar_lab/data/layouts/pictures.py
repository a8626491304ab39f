"""Any folder of images; the structure is drawn from the images themselves."""

from pathlib import Path

from exemplar_lab.data.collection import Collection, Item
from exemplar_lab.data.layouts.listing import Listing, keyed, say, stem
from exemplar_lab.data.layouts.splits import split_items

PAINTED = {"metfaces": "MetFaces", "aahq": "AAHQ", "ukiyoe": "Ukiyo-e", "cartoon": "Cartoon"}
"""Data sets of painted faces, by what the name of their folder holds; [MATEBIT] reads soft edges from them."""

NO_PHOTOGRAPHS = ("annot", "annotations", "label", "labels", "inst", "mask", "masks", "anno", "segmentation", "pose", "poses")
"""What folders of label maps and poses are called, or end in: trainannot, val_label, CelebAMask-HQ-mask-anno."""

_NAMELESS = {"images", "image", "img", "imgs", "data", "train"}


def pictures(listing: Listing, soft: bool = False) -> Collection | None:
    """A folder of images, with the folders in it, for edges; for soft edges where asked, or where it is one of PAINTED.

    Label maps are no pictures: folders called like them are passed over, and so is an image with the name of another but for
    its suffix. Where nothing is left, every image counts.
    """
    folders = {name.rpartition("/")[0] for name in listing.images}
    maps = {place for place in folders if any(_holds_no_photographs(part) for part in place.split("/"))}
    chosen = [name for name in listing.images if name.rpartition("/")[0] not in maps] or listing.images
    images, twice = keyed(chosen, stem)
    if not images:
        return None
    remarks = say(twice, "images were left out, which have the name of another one but for the suffix (label maps, or copies)")
    if len(chosen) < len(listing.images):
        aside = sorted(set(listing.images) - set(chosen))
        remarks = (*say(aside, "images in folders of label maps or poses were left out"), *remarks)
    painted = _painted(listing.folder)
    items, more = split_items(listing.folder, [Item(name) for name in sorted(images.values())])
    return Collection(
        folder=listing.folder,
        layout=painted or "pictures",
        structure="soft edges" if soft or painted else "edges",
        items=items,
        remarks=(*remarks, *more),
    )


def _holds_no_photographs(folder: str) -> bool:
    """trainannot, train_label, masks, but not unmasked."""
    words = folder.lower().replace("-", "_").split("_")
    return words[-1] in NO_PHOTOGRAPHS or folder.lower() in {f"{split}annot" for split in ("train", "val", "test")}


def _painted(folder: Path) -> str | None:
    folder = folder.resolve()
    name = folder.parent.name if folder.name.lower() in _NAMELESS else folder.name
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    return next((title for word, title in PAINTED.items() if word in plain), None)
