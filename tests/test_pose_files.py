"""Poses from files: OpenPose's two texts, its JSON, and drawn skeletons, each there and back; and broken ones."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch.utils._python_dispatch import TorchDispatchMode

from exemplar_lab.data.drawn_pose import _heaviest_patch, drawn_keypoints
from exemplar_lab.data.images import write_image
from exemplar_lab.data.pose import COLOURS, LIMBS, pose_maps, pose_rgb
from exemplar_lab.data.pose_files import read_pose
from exemplar_lab.data.synth.people import People


@pytest.fixture(scope="module")
def poses():
    """18 points of twelve people, in pixels of 256."""
    return People(256, "val", "easy").batch(torch.arange(12)).truth.target_keypoints


def _texts(folder, people, noise=()):
    """OpenPose's files as numpy writes them: whole pixels, points in rows, and for each person the numbers of its rows."""
    candidate, subset = [list(row) for row in noise], []
    for person in people:
        row = []
        for point in person:
            row.append(len(candidate) if point is not None else -1)
            if point is not None:
                candidate.append([*point, 0.9, len(candidate)])
        subset.append([*row, 17.5, sum(r >= 0 for r in row)])
    np.savetxt(folder / "a_candidate.txt", np.array(candidate))
    np.savetxt(folder / "a_subset.txt", np.array(subset))
    return folder / "a_candidate.txt", folder / "a_subset.txt"


def _person(offset=0, absent=()):
    return [None if joint in absent else (10 + joint + offset, 20 + 2 * joint) for joint in range(18)]


def test_text_of_openpose_and_the_middle_of_a_pixel(tmp_path):
    candidate, subset = _texts(tmp_path, [_person(absent=(0, 5))], noise=[(200, 201, 0.1, 0)])
    for given in ((candidate,), (subset,), (candidate, subset), (subset, candidate)):
        points, size = read_pose(*given)
        assert size is None
        assert points[[0, 5]].isnan().all()
        assert points[1].tolist() == [11.5, 22.5]
        assert points[17].tolist() == [27.5, 54.5]
    assert points.isfinite().all(-1).sum() == 16


def test_the_person_with_the_most_joints_is_taken(tmp_path):
    absent = tuple(range(9, 18))
    points, _ = read_pose(*_texts(tmp_path, [_person(100, absent), _person(0, (3,)), _person(50, absent)]))
    assert points[0].tolist() == [10.5, 20.5]


def test_json_of_18_and_25_joints(tmp_path):
    body_18 = [number for point in _person() for number in (*point, 0.5)]
    body_18[3 * 7 + 2] = 0
    joints = [body_18[3 * i : 3 * i + 3] for i in range(18)]
    body_25 = [*joints[:8], [1, 1, 1], *joints[8:], *[[2, 2, 1]] * 6]
    for numbers in (body_18, [number for joint in body_25 for number in joint]):
        path = tmp_path / "a_keypoints.json"
        path.write_text(json.dumps({"version": 1.3, "people": [{"pose_keypoints_2d": numbers}]}))
        points, size = read_pose(path)
        assert size is None
        assert points[7].isnan().all()
        assert points[8].tolist() == [18.5, 36.5]
        assert points[17].tolist() == [27.5, 54.5]


def test_json_with_a_canvas_tells_the_size_and_may_hold_shares_of_it(tmp_path):
    shares = [number for x, y in _person() for number in (x / 100, y / 80, 1)]
    path = tmp_path / "a.json"
    said = {"people": [{"pose_keypoints_2d": shares}], "canvas_height": 80, "canvas_width": 100}
    path.write_text(json.dumps([said]))
    points, size = read_pose(path)
    assert size == (80, 100)
    assert torch.allclose(points[3], torch.tensor([13.0, 26.0]))
    path.write_text(json.dumps({"people": said["people"]}))
    with pytest.raises(ValueError, match="keypoint_scale"):
        read_pose(path)


@pytest.mark.parametrize(("size", "furthest"), [(256, 1.5), (128, 1.0)])
def test_a_drawn_skeleton_comes_back(poses, tmp_path, size, furthest):
    points = poses * size / 256
    points[:, 4] = torch.nan
    drawn = pose_rgb(pose_maps(points, size))
    for number, (picture, truth) in enumerate(zip(drawn, points, strict=True)):
        write_image(tmp_path / f"{number}.png", picture)
        found, (height, width) = read_pose(tmp_path / f"{number}.png")
        assert (height, width) == (size, size)
        there = truth.isfinite().all(-1)
        assert torch.equal(found.isfinite().all(-1), there)
        assert (found - truth)[there].norm(dim=-1).max() < furthest


def test_a_small_skeleton_comes_back_nearly_whole(poses, tmp_path):
    """At 64 a joint is two pixels wide, and the joints of a face cover each other."""
    errors, lost, wrong = [], 0, 0
    points = poses / 4
    points[:, 4] = torch.nan
    for picture, truth in zip(pose_rgb(pose_maps(points, 64)), points, strict=True):
        write_image(tmp_path / "small.png", picture)
        found, _ = read_pose(tmp_path / "small.png")
        there, got = truth.isfinite().all(-1), found.isfinite().all(-1)
        lost += int((there & ~got).sum())
        wrong += int((got & ~there).sum())
        errors += (found - truth)[there & got].norm(dim=-1).tolist()
    assert lost <= 0.06 * 12 * 17
    assert wrong <= 2
    assert float(np.quantile(errors, 0.97)) < 1


@pytest.mark.parametrize("limbs_last", [True, False])
def test_skeletons_as_other_tools_draw_them(poses, tmp_path, limbs_last):
    """Discs of 4 pixels; limbs mixed over them with 0.6 (the papers' releases), or under them at 0.6 (later tools); no blur."""
    truth = poses[1] * 2
    size = 512
    picture = Image.new("RGB", (size, size))

    def discs():
        draw = ImageDraw.Draw(picture)
        for (x, y), colour in zip(truth.tolist(), COLOURS, strict=True):
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)

    if limbs_last:
        discs()
    for (a, b), colour in zip(LIMBS, COLOURS, strict=False):
        over = picture.copy()
        ImageDraw.Draw(over).line([*truth[a].tolist(), *truth[b].tolist()], fill=colour, width=7)
        picture = Image.blend(picture, over, 0.6)
    if not limbs_last:
        discs()
    picture.save(tmp_path / "drawn.png")
    if limbs_last:  # they cover the colours of the discs, which cannot be told then
        with pytest.raises(ValueError, match="no limbs join"):
            read_pose(tmp_path / "drawn.png")
        return
    found, _ = read_pose(tmp_path / "drawn.png")
    assert (found - truth).norm(dim=-1).max() < 1.5


BROKEN = {
    "a.json": ["", "[]", "{}", '{"people": []}', '{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', '{"people": [7]}'],
    "a_subset.txt": ["", "0 1 2\n", "0 x 2\n", " ".join(["99"] * 20), " ".join(["-1"] * 20), " ".join(["0.5"] * 20)],
    "a_candidate.txt": ["", "1\n", "1 2 3 4\n1 2 3\n", "nan nan 1 0\n"],
    "a.mp4": ["x"],
    "a.txt": ["0 1"],
    "a.png": ["not a picture"],
}


@pytest.mark.parametrize(("name", "content"), [(name, content) for name, some in BROKEN.items() for content in some])
def test_broken_files_are_refused_in_one_sentence_that_names_them(tmp_path, name, content):
    _texts(tmp_path, [_person()])
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=r"(?s)^got .*a[._].*expected") as problem:
        read_pose(tmp_path / name)
    assert name in str(problem.value)


def test_a_photograph_is_no_skeleton(tmp_path):
    write_image(tmp_path / "photo.png", torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(ValueError, match="not black"):
        read_pose(tmp_path / "photo.png")
    write_image(tmp_path / "black.png", torch.zeros(3, 40, 40))
    with pytest.raises(ValueError, match="0 joints"):
        read_pose(tmp_path / "black.png")


class LargestMade(TorchDispatchMode):
    """Remembers how many elements the largest tensor had that was made within."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        several = made if isinstance(made, (tuple, list)) else [made]
        self.elements = max([self.elements, *(one.numel() for one in several if isinstance(one, torch.Tensor))])
        return made


def test_a_large_dark_picture_is_cheap():
    """Any dark photograph is looked through for a skeleton: nothing that is made is much larger than the picture."""
    night = 0.08 * torch.rand(3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    night[:, 100:140, 200:800] = 0.9
    night[0, 500:750, 900:1000] = 0.9
    with LargestMade() as made, pytest.raises(ValueError, match="joints|limbs"):
        found = drawn_keypoints(night)
        raise ValueError(f"{int(found.isfinite().all(-1).sum())} joints")
    assert made.elements <= 3 * night[0].numel()


@pytest.mark.parametrize("reach", [1, 3, 30])
def test_the_heaviest_window(reach):
    """Against sums over every window; 30 is wider than the picture."""
    picture = torch.rand(20, 17, generator=torch.Generator().manual_seed(reach)) * (torch.arange(17) > 4)
    sums = F.avg_pool2d(picture[None, None], 2 * reach + 1, 1, reach, divisor_override=1)[0, 0]
    places = picture.nonzero()
    patch, top, left = _heaviest_patch(picture[tuple(places.T)], places, reach)
    assert torch.allclose(patch.sum(), sums.max())
    assert torch.equal(patch, picture[top : top + patch.shape[0], left : left + patch.shape[1]])


def test_files_that_are_not_there(tmp_path):
    candidate, subset = _texts(tmp_path, [_person()])
    subset.unlink()
    with pytest.raises(FileNotFoundError, match="without a_subset.txt"):
        read_pose(candidate)
    with pytest.raises(FileNotFoundError, match="check the spelling"):
        read_pose(tmp_path / "none.json")
    with pytest.raises(ValueError, match="got no file"):
        read_pose()
    with pytest.raises(ValueError, match="expected one pose"):
        read_pose(candidate, candidate, candidate)
    write_image(tmp_path / "black.png", torch.zeros(3, 40, 40))
    with pytest.raises(ValueError, match="expected one pose"):
        read_pose(tmp_path / "black.png", candidate)


def test_the_poses_of_the_sample(shared_poses):
    """Each of them lies in its image, and can be drawn."""
    for path in shared_poses:
        points, size = read_pose(path)
        there = points.isfinite().all(-1)
        assert size is None
        assert there.sum() >= 8
        assert ((points[there] > 0) & (points[there] < 256)).all()


@pytest.fixture
def shared_poses(request):
    folder = request.config.rootpath.parent / "shared" / "data" / "official_layouts" / "DeepFashion" / "pose"
    found = sorted(folder.rglob("*_candidate.txt"))
    if not found:
        pytest.skip("the samples of the papers' data are not here")
    return found
