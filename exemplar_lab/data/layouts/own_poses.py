"""Somebody's own images with poses: what OpenPose wrote beside them, or drawings of skeletons."""

import unicodedata

from exemplar_lab.data.collection import Collection, Item
from exemplar_lab.data.layouts.listing import Listing, is_image, keyed, say, stem
from exemplar_lab.data.layouts.splits import split_items
from exemplar_lab.data.pose_files import TEXT

IMAGE_FOLDERS = {"image", "images", "img", "imgs", "photos"}
POSE_FOLDERS = {"pose", "poses", "openpose", "keypoints", "skeleton", "skeletons"}
JSON = "_keypoints.json"
DRAWN = "_pose"


def own_poses(listing: Listing) -> Collection | None:
    """NAME.jpg with NAME_keypoints.json, or NAME_candidate.txt and NAME_subset.txt, or NAME_pose.png, taken in this order.

    Poses are beside their images, or in a folder of POSE_FOLDERS where the images are in one of IMAGE_FOLDERS or in none; there
    NAME.json and NAME.png will do.
    """
    poses: dict[str, dict[int, str]] = {}
    images = []
    for name in listing.files:
        key, kind = _pose(name)
        if kind is not None:
            poses.setdefault(key, {}).setdefault(kind, name)
        elif is_image(name):
            images.append(name)
    found, twice = keyed(images, _key)
    items = [Item(name, files) for key, name in found.items() if (files := _files(poses.get(key, {})))]
    if not items:
        return None
    alone = sorted(set(found.values()) - {item.name for item in items})
    used = {name for item in items for name in item.files}
    left = [name for key in poses.keys() - found.keys() for name in poses[key].values() if name not in used]
    forms = ", ".join(f"{_key(alone[0])}{end}" for end in (JSON, TEXT[0], f"{DRAWN}.png")) if alone else ""
    remarks = say(twice, "images were left out, which have the name of another one but for the suffix")
    remarks += say(alone, "images without a pose were left out", forms)
    remarks += say(sorted(left), "poses have no image")
    splits, more = split_items(listing.folder, items)
    return Collection(listing.folder, "images and poses", "pose", splits, remarks=(*remarks, *more))


def _key(name: str) -> str:
    """A path without the suffix and without folders that only say what is in them."""
    *folders, last = unicodedata.normalize("NFC", stem(name)).split("/")
    return "/".join([*(part for part in folders if part.lower() not in IMAGE_FOLDERS | POSE_FOLDERS), last])


def _pose(name: str) -> tuple[str, int | None]:
    """Whose pose a file holds, and in which form: 0 JSON, 1 and 2 the texts, 3 a drawing; None: it is no pose."""
    low = name.lower()
    inside = any(part in POSE_FOLDERS for part in low.split("/")[:-1])
    for kind, end in enumerate((JSON, *TEXT)):
        if low.endswith(end):
            return _key(name[: -len(end)] + ".x"), kind
    if is_image(name) and stem(low).endswith(DRAWN):
        return _key(stem(name)[: -len(DRAWN)] + ".x"), 3
    if inside and low.endswith(".json"):
        return _key(name), 0
    return (_key(name), 3) if inside and is_image(name) else ("", None)


def _files(pose: dict[int, str]) -> tuple[str, ...]:
    if 0 in pose:
        return (pose[0],)
    if 1 in pose and 2 in pose:
        return (pose[1], pose[2])
    return (pose[3],) if 3 in pose else ()
