"""Files that say where things belong: what looks like a label map and is none, what lies beside what, the middle square."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from exemplar_lab.data.pose import COLOURS, LIMBS
from exemplar_lab.data.structure_files import (
    LABELS,
    PICTURE,
    POSE,
    image_of,
    kind_of_file,
    no_label_map,
    pose_of,
    square_labels,
)
from exemplar_lab.data.synth.people import People


@pytest.mark.parametrize("colours", [64, 256])
def test_a_skeleton_in_a_palette_is_a_pose(tmp_path, colours):
    """Though it has few numbers in large areas, as a label map has: here the most frequent colours come first."""
    picture = Image.new("RGB", (256, 256))
    person = 2.2 * (People(256, "val", "easy").batch(torch.arange(1)).truth.target_keypoints[0] - 128) + 128
    for (start, end), colour in zip(LIMBS, COLOURS, strict=False):
        line = [*person[start].tolist(), *person[end].tolist()]
        ImageDraw.Draw(picture).line(line, fill=tuple(int(0.6 * one) for one in colour), width=12)
    for (x, y), colour in zip(person.tolist(), COLOURS, strict=True):
        ImageDraw.Draw(picture).ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)
    path = tmp_path / "skeleton.png"
    flat = picture.quantize(colours)
    order = [number for _, number in sorted(flat.getcolors(), reverse=True)]
    flat.remap_palette(order).save(path)
    assert not no_label_map(path, 182)
    assert kind_of_file(path, 182) == POSE
    Image.fromarray(np.array(Image.open(path))).save(path)  # the same numbers without colours
    assert kind_of_file(path, 182) == LABELS


def test_edges_in_black_and_white_are_a_picture(tmp_path):
    """Two numbers, 0 and 255, in areas of any size; as grey and as bits."""
    for share in (0.02, 0.3, 0.5, 0.7, 0.98):
        edges = (torch.arange(96 * 96).view(96, 96) < share * 96 * 96).byte() * 255
        for mode in ("L", "1"):
            Image.fromarray(edges.numpy()).convert(mode).save(tmp_path / "edges.png")
            assert [kind_of_file(tmp_path / "edges.png", classes) for classes in (12, 256)] == [PICTURE, PICTURE]


def test_poses_and_images_find_each_other(tmp_path):
    for image, pose in {
        "a.jpg": "a_keypoints.json",
        "b.png": "b_pose.png",
        "img/W/id_1/c.jpg": "pose/W/id_1/c_candidate.txt",
        "images/d.png": "poses/d.json",
    }.items():
        for name in (image, pose):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        assert pose_of(tmp_path / image) == tmp_path / pose
        assert image_of(tmp_path / pose) == tmp_path / image
    (tmp_path / "alone.jpg").touch()
    assert pose_of(tmp_path / "alone.jpg") is None
    assert image_of(tmp_path / "lone_keypoints.json") is None


def test_the_middle_square_of_labels(tmp_path):
    stored = np.arange(3, dtype="uint8").repeat(10)[None].repeat(20, 0)
    Image.fromarray(stored).save(tmp_path / "wide.png")
    assert square_labels(tmp_path / "wide.png").tolist() == stored[:, 5:25].tolist()
    Image.fromarray(stored[:10]).save(tmp_path / "low.png")
    with pytest.raises(ValueError, match="expected at least 16"):
        square_labels(tmp_path / "low.png")
