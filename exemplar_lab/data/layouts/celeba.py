"""CelebAMask-HQ: faces, and for each part of a face a mask, or one label map of all parts but glasses."""

import re

from exemplar_lab.data.collection import Collection, Item, Labels
from exemplar_lab.data.layouts.listing import Listing, keyed, say, stem
from exemplar_lab.data.layouts.splits import split_items

IMAGES, MASKS, JOINED = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno", "all_parts_except_glasses"

PARTS = (
    *("background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear"),
    *("mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
)
"""19 classes in the order of CelebAMask-HQ; later parts lie over earlier ones."""

JOINED_PARTS = (
    *("background", "skin", "hair", "l_brow", "r_brow", "l_eye", "r_eye", "l_ear", "r_ear", "nose"),
    *("u_lip", "mouth", "l_lip", "neck", "cloth", "hat", "eye_g", "ear_r", "neck_l"),
)
"""What 0 … 18 mean in the maps of JOINED, as CoCosNet releases them: the same classes in another order."""

_MASK = re.compile(rf"{MASKS}/[0-9]+/([0-9]+)_([a-z_]+)\.png", re.IGNORECASE)
_MAP = re.compile(rf"{MASKS}/{JOINED}/([0-9]+)\.png", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+")


def celeba_labels(listing: Listing) -> Collection | None:
    """Label maps of the parts of faces."""
    return _faces(listing, "labels")


def celeba_edges(listing: Listing) -> Collection | None:
    """The borders of the parts of faces, and the edges of what is behind them."""
    return _faces(listing, "part edges")


def _faces(listing: Listing, structure: str) -> Collection | None:
    """CelebA-HQ-img/ID.jpg with CelebAMask-HQ-mask-anno/K/0ID_part.png, K = ID // 2000, the number of five digits.

    Where fewer faces have a mask of their skin than a map in all_parts_except_glasses, that map is taken, with the mask of the
    glasses over it, which is what celebahq of CoCosNet holds. val.txt names ids.
    """
    photographs = listing.inside(listing.called(IMAGES))
    named = [name for name in photographs if _number(name) is not None]
    images, twice = keyed(named, _number)
    masks: dict[str, dict[str, str]] = {}
    maps: dict[str, str] = {}
    strange, again = [], []
    for name in listing.images:
        one, whole = _MASK.fullmatch(name), _MAP.fullmatch(name)
        if one and one[2].lower() in PARTS:
            parts = masks.setdefault(str(int(one[1])), {})
            again += [name] if one[2].lower() in parts else []
            parts.setdefault(one[2].lower(), name)
        elif whole:
            again += [name] if str(int(whole[1])) in maps else []
            maps.setdefault(str(int(whole[1])), name)
        elif name.startswith(f"{listing.called(MASKS)}/"):
            strange.append(name)
    joined = sum("skin" in masks.get(number, ()) for number in images) < len(maps.keys() & images.keys())
    files: dict[str, tuple[str, ...]] = {}
    for number in images:
        parts = masks.get(number, {})
        if joined and number in maps:
            files[number] = (maps[number], *(parts[part] for part in ("eye_g",) if part in parts))
        elif not joined and parts:
            files[number] = tuple(parts[part] for part in PARTS if part in parts)
    if not files:
        return None
    what = "label map" if joined else "mask"
    alone = sorted(images[number] for number in images.keys() - files.keys())
    wanted = f"{MASKS}/{JOINED}/ID.png" if joined else f"{MASKS}/K/ID_skin.png, …"
    lost = sorted((maps.keys() if joined else masks.keys()) - images.keys(), key=int)
    remarks = say(sorted(set(photographs) - set(named)), f"images in {IMAGES} were left out, whose name is no number")
    remarks += say(twice, "images were left out, which have the number of another one")
    remarks += say(alone, f"faces without a {what} were left out", f"{wanted}, ID of five digits")
    remarks += say(lost, f"numbers have a {what} and no image", f"{IMAGES}/NUMBER.jpg")
    remarks += say(again, "masks were left out, which are there twice")
    remarks += say(strange, f"images in {MASKS} were left out, which are named after no part")
    items, more = split_items(listing.folder, [Item(images[number], two) for number, two in files.items()])
    labels = Labels(JOINED_PARTS if joined else PARTS, masks=True)
    return Collection(listing.folder, "CelebAMask-HQ", structure, items, labels, remarks=(*remarks, *more))


def _number(name: str) -> str | None:
    last = stem(name).rpartition("/")[2]
    return str(int(last)) if _NUMBER.fullmatch(last) else None
