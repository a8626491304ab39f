"""Made-up folders laid out as the papers' data sets are, name for name: nesting, back-slashes, number formats, modes and sizes.

What they show is drawn here: no photograph of anybody is in them. Images are small, of the sizes written beside each function.
"""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from exemplar_lab.data.collection import Collection
from exemplar_lab.data.pose import pose_maps, pose_rgb

PARTS = (
    *("skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear"),
    *("mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
)
JOINED = (
    *("background", "skin", "hair", "l_brow", "r_brow", "l_eye", "r_eye", "l_ear", "r_ear", "nose"),
    *("u_lip", "mouth", "l_lip", "neck", "cloth", "hat", "eye_g", "ear_r", "neck_l"),
)
"""What numbers 0 … 18 in all_parts_except_glasses mean."""

FACES = (14721, 1999, 2994, 15064, 26397, 29922)
"""Ids, the last two of which val.txt names; that of the fourth wears glasses."""

VIEWS = ("01_1_front", "01_2_side", "01_3_back", "01_7_additional")

_BODY = (
    *((0.5, 0.15), (0.5, 0.28), (0.38, 0.28), (0.33, 0.42), (0.3, 0.55), (0.62, 0.28), (0.67, 0.42), (0.7, 0.55)),
    *((0.43, 0.55), (0.42, 0.73), (0.41, 0.9), (0.57, 0.55), (0.58, 0.73), (0.59, 0.9)),
    *((0.48, 0.13), (0.52, 0.13), (0.45, 0.14), (0.55, 0.14)),
)
"""The 18 key points of someone who stands, in image sides."""

_ELLIPSES = {  # centre and half axes, in image sides; later ones lie over earlier ones
    "cloth": (0.5, 1.0, 0.45, 0.12),
    "neck": (0.5, 0.85, 0.12, 0.12),
    "hair": (0.5, 0.42, 0.36, 0.38),
    "l_ear": (0.79, 0.52, 0.04, 0.08),
    "r_ear": (0.21, 0.52, 0.04, 0.08),
    "skin": (0.5, 0.54, 0.28, 0.32),
    "nose": (0.5, 0.57, 0.05, 0.08),
    "l_brow": (0.63, 0.41, 0.09, 0.02),
    "r_brow": (0.37, 0.41, 0.09, 0.02),
    "l_eye": (0.63, 0.47, 0.06, 0.03),
    "r_eye": (0.37, 0.47, 0.06, 0.03),
    "u_lip": (0.5, 0.71, 0.1, 0.025),
    "l_lip": (0.5, 0.76, 0.09, 0.03),
    "eye_g": (0.5, 0.47, 0.24, 0.07),
}


def names(collection: Collection, split: str) -> list[str]:
    """Of the images of a split."""
    return [item.name for item in collection.items[split]]


def said(collection: Collection, *words: str) -> str:
    """The one remark that has all these words in it."""
    (found,) = (remark for remark in collection.remarks if all(word in remark for word in words))
    return found


def drawing(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth ground with a few discs in other colours: there are edges in it, and no two seeds look alike."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[:height, :width]
    ground, slope = random.uniform(60, 200, 3), random.uniform(-40, 40, (3, 2))
    image = ground + slope[:, 0] * across[..., None] / width + slope[:, 1] * down[..., None] / height
    for _ in range(5):
        (x, y), radius = random.uniform(0.1, 0.9, 2) * (width, height), random.uniform(0.08, 0.25) * min(height, width)
        image[(across - x) ** 2 + (down - y) ** 2 < radius**2] = random.uniform(0, 255, 3)
    return image.clip(0, 255).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, **how) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **how)
    return path


def write_lines(path: Path, lines: list[str], end: str = "\n") -> Path:
    """As the official lists are: no line end after the last line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(end.join(lines).encode())
    return path


def body(size: tuple[int, int], seed: int = 0, absent: tuple[int, ...] = (10,)) -> np.ndarray:
    """18 key points (x, y) in whole pixels, as OpenPose's indices are; NaN where absent."""
    height, width = size
    moved = np.array(_BODY) + np.random.default_rng(seed).uniform(-0.03, 0.03, (18, 2))
    points = (moved * (width, height)).astype(int).astype(float)
    points[list(absent)] = np.nan
    return points


def write_pose(stem: Path, points: np.ndarray) -> None:
    """STEM_candidate.txt (x y score id) and STEM_subset.txt (18 rows of the first, a score, a count), as numpy.savetxt does."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    there = ~np.isnan(points[:, 0])
    rows = [[*point, 0.9, i] for i, point in enumerate(points[there])]
    index = np.where(there, there.cumsum() - 1, -1)
    np.savetxt(f"{stem}_candidate.txt", np.array(rows))
    np.savetxt(f"{stem}_subset.txt", np.array([*index, 28.2, there.sum()], dtype=float)[None])


def deepfashion(folder: Path, people: int = 3, views: int = 2, size: int = 96) -> Path:
    """img/ and pose/ under WOMEN/Dresses/id_…; the last person, whose front view is alone in val.txt, is held out."""
    names = []
    for person in range(people):
        for view in VIEWS[:views]:
            name = f"WOMEN/Dresses/id_{203 + person:08}/{view}"
            seed = 10 * person + len(names)
            save(folder / "img" / f"{name}.jpg", drawing(size, size, seed), quality=95)
            write_pose(folder / "pose" / name, body((size, size), seed))
            names.append(f"img/{name}.jpg".replace("/", "\\"))
    write_lines(folder / "val.txt", [names[-views]])
    return folder


def celeba(folder: Path, joined: bool = False, size: int = 96, ids: tuple[int, ...] = FACES) -> Path:
    """CelebA-HQ-img/ID.jpg, and masks of half its size (RGB, 0 or 255), CelebAMask-HQ-mask-anno/K/0ID_part.png, K = ID // 2000.

    joined: of the masks there are those of the eyes alone, and beside them the label map of all parts but glasses (celebahq).
    """
    masks, half = folder / "CelebAMask-HQ-mask-anno", size // 2
    for number in ids:
        save(folder / "CelebA-HQ-img" / f"{number}.jpg", drawing(size, size, number), quality=95)
        parts = face_parts(half, glasses=number == FACES[3])
        for name, part in parts.items():
            if joined and name not in ("l_eye", "r_eye", "eye_g"):
                continue
            save(masks / str(number // 2000) / f"{number:05}_{name}.png", np.uint8(255 * part[..., None].repeat(3, -1)))
        if joined:
            numbers = np.zeros((half, half), np.uint8)
            for name, part in parts.items():
                if name != "eye_g":
                    numbers[part] = JOINED.index(name)
            save(masks / "all_parts_except_glasses" / f"{number:05}.png", numbers)
    write_lines(folder / "val.txt", [str(number) for number in ids[-2:]])
    return folder


def face_parts(size: int, glasses: bool = False) -> dict[str, np.ndarray]:
    """The parts of a drawn face by their official names: where each is, hidden parts left out."""
    down, across = (np.mgrid[:size, :size] + 0.5) / size
    return {
        name: ((across - x) / a) ** 2 + ((down - y) / b) ** 2 < 1
        for name, (x, y, a, b) in _ELLIPSES.items()
        if glasses or name != "eye_g"
    }


def stripes(height: int, width: int, values: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Upright stripes of label numbers, in an order and from a place that the seed draws."""
    order = np.random.default_rng(seed).permutation(values)
    return order[(np.arange(width) * len(values) // width + seed) % len(values)][None].repeat(height, 0).astype(np.uint8)


def ade20k(folder: Path, many: int = 6, size: tuple[int, int] = (72, 96)) -> Path:
    """training/ and validation/: ADE_train_00000001.jpg beside .png, of which 0 is unknown and 1 … 150 are classes."""
    for split, short, count in (("training", "train", many), ("validation", "val", max(2, many // 2))):
        for i in range(count):
            name = f"ADE_{short}_{1000 + 37 * i:08}"
            save(folder / split / f"{name}.jpg", drawing(*size, seed=i), quality=95)
            save(folder / split / f"{name}.png", stripes(*size, (0, 1, 3, 5, 17, 150), seed=i))
    return folder


def ade20k_scenes(folder: Path, indoors: tuple[str, ...] = ("ADE_train_00001000", "ADE_val_00001037")) -> Path:
    """sceneCategories.txt, a name and its scene per line, for what `ade20k` made."""
    names = sorted(path.stem for path in folder.glob("*/*.jpg"))
    return write_lines(folder / "sceneCategories.txt", [f"{n} {'bedroom' if n in indoors else 'street'}" for n in names])


def coco_stuff(folder: Path, many: int = 6, size: tuple[int, int] = (72, 96)) -> Path:
    """train_img/ (jpg), train_label/ and train_inst/ (png), names of twelve digits; labels 0 … 181, and 255 for unknown."""
    for i in range(many):
        name = f"{17914 + 1237 * i:012}"
        save(folder / "train_img" / f"{name}.jpg", drawing(*size, seed=i), quality=95)
        save(folder / "train_label" / f"{name}.png", stripes(*size, (0, 2, 156, 181, 255), seed=i))
        save(folder / "train_inst" / f"{name}.png", stripes(*size, (0, 2, 156, 181, 255), seed=i + 1))
    return folder


def camvid(folder: Path, many: int = 6, size: tuple[int, int] = (72, 96)) -> Path:
    """train/ (jpg) with trainannot/ (png), and val/ with valannot/; labels 0 … 10, and 11 for unlabelled."""
    for split, count in (("train", many), ("val", max(2, many // 2))):
        for i in range(count):
            name = f"0001TP_{6690 + 30 * i:06}" if split == "train" else f"0016E5_{7961 + 2 * i:05}"
            save(folder / split / f"{name}.jpg", drawing(*size, seed=i), quality=95)
            save(folder / f"{split}annot" / f"{name}.png", stripes(*size, (0, 1, 3, 5, 10, 11), seed=i))
    return folder


def pictures(folder: Path, many: int = 12, size: tuple[int, int] = (72, 96)) -> Path:
    """Any folder of images: jpg, png, and one with a suffix in capitals."""
    for i in range(many):
        save(folder / f"IMG_{i:04}{'.JPG' if i == 1 else '.png' if i % 3 == 0 else '.jpg'}", drawing(*size, seed=i))
    return folder


def styles(folder: Path, many: int = 12, size: tuple[int, int] = (72, 96)) -> Path:
    """content/in01.jpg, in03.jpg … and style/tar01.jpg …, of which one number has no style."""
    for i in range(many):
        save(folder / "content" / f"in{2 * i + 1:02}.jpg", drawing(*size, seed=i))
        if i != 5:
            save(folder / "style" / f"tar{2 * i + 1:02}.jpg", drawing(*size, seed=100 + i))
    return folder


def own_poses(folder: Path, many: int = 6, size: tuple[int, int] = (96, 72)) -> Path:
    """Somebody's images, each with its pose in one of three forms: OpenPose's JSON, its two texts, a drawn skeleton."""
    height, width = size
    for i in range(many):
        name, points = f"shot{i:02}", body(size, seed=i, absent=())
        save(folder / f"{name}.jpg", drawing(*size, seed=i))
        if i % 3 == 0:
            numbers = np.column_stack([points, np.full(18, 0.9)]).flatten().tolist()
            people = {"version": 1.2, "people": [{"pose_keypoints_2d": numbers}]}
            (folder / f"{name}_keypoints.json").write_text(json.dumps(people))
        elif i % 3 == 1:
            write_pose(folder / name, points)
        else:
            side = max(size)
            drawn = pose_rgb(pose_maps(torch.from_numpy(points)[None].float() + 0.5, side))[0, :, :height, :width]
            save(folder / f"{name}_pose.png", (255 * drawn).round().byte().movedim(0, -1).numpy())
    return folder


def pair_lists(folder: Path) -> Path:
    """pairs/ beside the data sets in `folder`: official names, in the official style, for what the functions above made."""
    pairs = folder / "pairs"
    write_lines(pairs / "deepfashion_self_pair.txt", [_person("00000203", "01_1_front", "01_2_side")])
    write_lines(
        pairs / "deepfashion_ref_test.txt", [_person("00000205", "01_1_front") + "," + _person("00000204", "01_2_side")]
    )
    write_lines(pairs / "celebahq_ref_test.txt", ["29922.jpg,2994.jpg", "26397.jpg,14721.jpg"])
    write_lines(pairs / "ade20k_ref_test.txt", ["ADE_val_00001000.jpg,ADE_train_00001037.jpg,ADE_train_00001000.jpg"])
    return pairs


def _person(number: str, *views: str) -> str:
    return ",".join(f"img\\WOMEN\\Dresses\\id_{number}\\{view}.jpg" for view in views)
