"""Files of one's own through the shipped checkpoints: what they are taken for, who answers, and what is written and said."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from layout_folders import pictures
from PIL import Image, ImageDraw, ImageOps

from exemplar_lab.cli import main
from exemplar_lab.data.images import read_image, write_image
from exemplar_lab.data.pose import pose_maps, pose_rgb
from exemplar_lab.data.structure_files import (
    LABELS,
    PICTURE,
    POSE,
    image_of,
    kind_of_file,
    no_label_map,
    readable_as,
    square_pose,
)
from exemplar_lab.data.synth.people import People
from exemplar_lab.data.synth.scenes import Scenes
from exemplar_lab.metrics.cells import truth_of_cells
from exemplar_lab.metrics.points import pck, point_error, predicted_points
from exemplar_lab.training.catalogue import answer_of, describe
from exemplar_lab.training.preparing import prepare_folder
from exemplar_lab.training.translating import MEAN_POSE, PCK, WITHOUT_POSE, choose_checkpoint, translate_files

PEOPLE = People(256, "val", "easy").batch(torch.arange(2))


def _write_json(path, points):
    """OpenPose's JSON; middles of pixels lie half a pixel beyond what it says."""
    numbers = [float(number) for point in points for number in ((*(point - 0.5), 0.9) if point.isfinite().all() else (0, 0, 0))]
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": numbers}]}))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A drawn pose, a person without and one with a pose beside it, a label map and its scene, and a photograph."""
    folder = tmp_path_factory.mktemp("own")
    write_image(folder / "pose.png", pose_rgb(PEOPLE.condition[:1])[0])
    write_image(folder / "me.png", PEOPLE.exemplar[0])
    write_image(folder / "posed.png", PEOPLE.exemplar[0])
    _write_json(folder / "posed_keypoints.json", PEOPLE.truth.exemplar_keypoints[0])
    scene = Scenes(96, "val").batch(torch.arange(1))
    labels = torch.where(scene.truth.target_part < 0, 255, scene.truth.target_part)[0].byte()
    Image.fromarray(labels.numpy()).save(folder / "labels.png")
    write_image(folder / "scene.png", scene.exemplar[0])
    write_image(folder / "photo.jpg", scene.target[0])
    return folder


def test_what_a_file_is_taken_for(files, tmp_path):
    kinds = {"pose.png": POSE, "posed_keypoints.json": POSE, "labels.png": LABELS, "me.png": PICTURE, "photo.jpg": PICTURE}
    assert {name: kind_of_file(files / name, 12) for name in kinds} == kinds
    Image.open(files / "labels.png").convert("P").save(tmp_path / "palette.png")
    Image.open(files / "photo.jpg").convert("L").save(tmp_path / "grey.png")
    Image.open(files / "photo.jpg").convert("P").save(tmp_path / "photo_palette.png")
    Image.open(files / "labels.png").convert("L").save(tmp_path / "labels.jpg")
    found = [kind_of_file(tmp_path / name, 12) for name in ("palette.png", "grey.png", "photo_palette.png", "labels.jpg")]
    assert found == [LABELS, PICTURE, PICTURE, PICTURE]
    night = torch.zeros(3, 64, 64)
    night[:, 40:50, 20:30] = 1
    write_image(tmp_path / "night.png", night)
    assert kind_of_file(tmp_path / "night.png", 12) == PICTURE


def _drawings(folder):
    """What people draw, in one number for each pixel: on white and on black paper, in two levels, posterised, in a palette."""
    paper = Image.new("L", (96, 96), 255)
    ImageDraw.Draw(paper).line([(10, 10), (80, 30), (40, 85), (12, 50)], fill=0, width=5)
    soft = paper.resize((48, 48), Image.Resampling.BILINEAR).resize((96, 96), Image.Resampling.BILINEAR)
    levels = torch.arange(96).view(-1, 1).expand(96, 96) // 24 * 64
    tiles = (torch.arange(96).view(-1, 1) // 16 * 6 + torch.arange(96) // 16) % 32
    cartoon = Image.fromarray(tiles.byte().numpy()).convert("P")
    cartoon.putpalette([7 * number % 256 for number in range(768)])
    drawn = {"sketch": soft, "hard": paper, "black": ImageOps.invert(soft), "bits": paper.convert("1"), "cartoon": cartoon}
    drawn["posterised"] = Image.fromarray(levels.byte().numpy())
    for name, picture in drawn.items():
        picture.save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in drawn]


def test_a_drawing_is_no_label_map(tmp_path):
    for path in _drawings(tmp_path):
        assert no_label_map(path, 12) and kind_of_file(path, 12) == PICTURE and readable_as(path, LABELS), path.name


def test_a_named_checkpoint_decides_how_a_file_is_read(files, tmp_path):
    drawing, *_ = _drawings(tmp_path)
    drawn = translate_files(drawing, files / "scene.png", "cocosnet")
    assert drawn.checkpoint.name == "cocosnet-photos-cpu"
    assert any("taken for a picture" in note and "use --model cocosnet-scenes-cpu" in note for note in drawn.notes)
    labels = files / "labels.png"
    for path in (drawing, labels, files / "pose.png"):
        named = translate_files(path, files / "scene.png", "cocosnet-photos-cpu")
        assert named.kind == PICTURE and named.batch.condition.shape[1] == 2
    sky = np.zeros((40, 40), "uint8")
    Image.fromarray(sky).save(tmp_path / "sky.png")
    named = translate_files(tmp_path / "sky.png", files / "scene.png", "cocosnet-scenes-cpu")
    assert named.kind == LABELS and named.batch.condition[:, 0].all()
    with pytest.raises(
        ValueError, match="photo.jpg, which is a picture, for cocosnet-scenes-cpu, expected labels of the world"
    ):
        translate_files(files / "photo.jpg", files / "scene.png", "cocosnet-scenes-cpu")
    guessed = translate_files(labels, files / "scene.png", "cocosnet")
    assert any("taken for a label map: mostly numbers of 0 … 11" in note for note in guessed.notes)


def test_the_numbers_of_classes_are_those_written_down_when_training_began(files, tmp_path, monkeypatch):
    """The folder may have moved, or have been prepared anew for another task; the checkpoint knows."""
    run = Path(shutil.copytree(describe("cocosnet-scenes-cpu").folder, tmp_path / "mine"))
    about = json.loads((run / "checkpoint.json").read_text())
    source = {"kind": "PreparedPairs", "folder": "town", "size": 64, "split": "train", "structure": "labels"}
    about["recipe"]["source"] = source | {"first": 1, "void": 40}
    (run / "checkpoint.json").write_text(json.dumps(about))
    labels = np.array(Image.open(files / "labels.png"))
    shifted = np.where(labels == 255, 40, labels + 1).astype("uint8")
    Image.fromarray(shifted).save(tmp_path / "shifted.png")
    right = translate_files(files / "labels.png", files / "scene.png", "cocosnet-scenes-cpu").batch.condition
    monkeypatch.chdir(tmp_path)
    elsewhere = translate_files(tmp_path / "shifted.png", files / "scene.png", run)
    assert elsewhere.checkpoint.reads == "labels of a folder" and torch.equal(elsewhere.batch.condition, right)
    pictures(tmp_path / "town", 4)
    prepare_folder(tmp_path / "town", "edges", size=32)
    anew = translate_files(tmp_path / "shifted.png", files / "scene.png", run)
    assert torch.equal(anew.batch.condition, right)


def test_the_middle_square_of_a_pose(tmp_path):
    points = torch.full((18, 2), torch.nan)
    points[:4] = torch.tensor([[100.0, 50.0], [150.0, 90.0], [60.0, 10.0], [10.0, 50.0]])
    pose = _write_json(tmp_path / "a_keypoints.json", points)
    round_body, said = square_pose(pose, 70)
    assert "does not say how large" in said
    assert torch.allclose(round_body[:4], (points[:4] - torch.tensor([-7.5, -37.5])) * 70 / 175, atol=1e-3)
    write_image(tmp_path / "a.png", torch.rand(3, 100, 200))
    in_image, said = square_pose(pose, 50)
    assert said == ""
    assert torch.allclose(in_image[:4], (points[:4] - torch.tensor([50.0, 0.0])) / 2, atol=1e-3)
    assert in_image[4:].isnan().all()
    write_image(tmp_path / "a.png", torch.rand(3, 100, 1000))
    with pytest.raises(ValueError, match="no key point in the middle square of its image of 1000 × 100"):
        square_pose(pose, 50)


@pytest.mark.parametrize(
    ("model", "kind", "chosen"),
    [
        ("dynast", POSE, "dynast-people-cpu"),
        ("cocosnet", POSE, WITHOUT_POSE),
        ("dynast", PICTURE, "dynast-style-cpu"),
        ("cocosnet", PICTURE, "cocosnet-photos-cpu"),
        ("matebit", PICTURE, "matebit-paintings-cpu"),
        ("cocosnet", LABELS, "cocosnet-scenes-cpu"),
        ("msca", LABELS, "msca-scenes-cpu"),
        ("cocosnet-people-cpu", POSE, "cocosnet-people-cpu"),
    ],
)
def test_the_checkpoint_follows_what_is_given(model, kind, chosen):
    checkpoint, why = choose_checkpoint(model, kind, "mine.png")
    assert checkpoint.name == chosen
    assert ("mine.png is" in why) == (model != chosen)


@pytest.mark.parametrize(
    ("model", "kind", "instead"),
    [
        ("msca", POSE, "dynast-people-cpu"),
        ("dynast", LABELS, "cocosnet-scenes-cpu"),
        ("msca", PICTURE, "dynast-style-cpu"),
        ("dynast-people-cpu", PICTURE, "cocosnet-photos-cpu"),
    ],
)
def test_a_misfit_names_what_will_do(model, kind, instead):
    with pytest.raises(ValueError, match=f"expected .*choose .*{instead}"):
        choose_checkpoint(model, kind)


def test_a_pose_through_files_is_the_pose_that_was_drawn(files):
    """Nearly what the model answers to the same pair without any file between; less so without the exemplar's pose."""
    small = People(64, "val", "easy").batch(torch.arange(1))
    right = answer_of(describe("dynast-people-cpu"))(small).image
    posed = translate_files(files / "pose.png", files / "posed.png")
    unposed = translate_files(files / "pose.png", files / "me.png")
    near, far = ((one.translation.image - right).abs().mean() for one in (posed, unposed))
    assert near < 0.02
    assert far > 1.5 * near
    assert torch.allclose(posed.batch.exemplar_condition, small.exemplar_condition, atol=0.02)
    assert any("found beside it: posed_keypoints.json" in note for note in posed.notes)
    assert not any("WARNING" in note for note in posed.notes)
    given = translate_files(files / "pose.png", files / "me.png", exemplar_condition=files / "posed_keypoints.json")
    assert torch.equal(given.translation.image, posed.translation.image)
    assert any("never seen a photograph of a person" in note for note in given.notes)


def test_without_the_exemplars_pose_a_mean_pose_stands_in_and_is_said(files):
    done = translate_files(files / "pose.png", files / "me.png")
    mean = pose_maps(64 * torch.tensor([MEAN_POSE]), 64)
    assert torch.equal(done.batch.exemplar_condition, mean)
    (warning,) = [note for note in done.notes if note.startswith("WARNING")]
    assert all(f"{PCK[name]:.2f}" in warning for name in ("own pose", "mean pose", "copy", "zeros", "cocosnet"))
    other = translate_files(files / "pose.png", files / "me.png", "cocosnet")
    assert not any("WARNING" in note for note in other.notes)


def test_the_numbers_of_the_warning_are_those_that_were_measured():
    """By notebook 40 at cpu, beside its figure."""
    figures = Path(__file__).parents[1] / "figures"
    said = json.loads((figures / "40_exemplar_pose.json").read_text())["parameters"]
    names = {name: name for name in said["measured"]} | {"CoCosNet": "cocosnet", "unmoved copy": "copy"}
    assert said["pairs"] == 256
    assert {names[name]: round(number, 3) for name, number in said["measured"].items()} == PCK


def test_the_order_of_the_measured_choices_holds():
    """On 24 of the 256 pairs behind PCK; the mean pose is that of people of the training split."""
    people = People(64, "train", "medium", truth=True).batch(torch.arange(128)).truth
    assert torch.allclose(people.exemplar_keypoints.nanmean(0) / 64, torch.tensor(MEAN_POSE), atol=6e-4)
    batch = People(64, "val", "medium").batch(torch.arange(24))
    mean = pose_maps(64 * torch.tensor([MEAN_POSE]), 64).expand_as(batch.condition)
    choices = {"own pose": batch.exemplar_condition, "mean pose": mean, "target's pose": batch.condition}
    choices["zeros"] = torch.zeros_like(mean)
    answer, found = answer_of(describe("dynast-people-cpu")), {}
    for name, own in choices.items():
        match = answer(replace(batch, exemplar_condition=own)).matches[-1]
        cells = truth_of_cells(batch.truth, match.query_size)
        found[name] = float(pck(point_error(predicted_points(match, cells.image_size), cells), cells, 0.1).nanmean())
    assert all(abs(found[name] - PCK[name]) < 0.12 for name in choices)
    assert found["own pose"] > 1.5 * found["mean pose"]
    assert found["mean pose"] > found["target's pose"] > 2 * found["zeros"]


def test_label_maps_and_pictures(files):
    done = translate_files(files / "labels.png", files / "scene.png", "cocosnet")
    assert done.batch.condition.shape == (1, 12, 64, 64)
    scene = Scenes(96, "val").batch(torch.arange(1)).truth.target_part[0]
    assert done.batch.condition[0, :, 32, 32].argmax() == scene[48, 48]
    assert any("read as classes of the procedural world" in note for note in done.notes)
    with pytest.raises(ValueError, match="no label map of .*scene.png for msca-scenes-cpu"):
        translate_files(files / "labels.png", files / "scene.png", "msca")
    both = translate_files(files / "labels.png", files / "scene.png", "msca", files / "labels.png")
    assert torch.equal(both.batch.condition, both.batch.exemplar_condition)
    with pytest.raises(ValueError, match="which is a picture, as the exemplar's structure, expected a label map"):
        translate_files(files / "labels.png", files / "scene.png", "msca", files / "photo.jpg")
    edges = translate_files(files / "photo.jpg", files / "scene.png", "cocosnet")
    assert edges.batch.condition.shape[1] == 2
    assert torch.equal(edges.batch.target[:, :1], 1 - edges.batch.condition[:, :1])


def test_numbers_that_are_no_classes_are_refused(files, tmp_path):
    labels = np.array(Image.open(files / "labels.png"))
    labels[:20, :20] = 40
    Image.fromarray(labels).save(tmp_path / "many.png")
    with pytest.raises(ValueError, match="numbers up to 40 for cocosnet-scenes-cpu, expected 0 … 11 .sky"):
        translate_files(tmp_path / "many.png", files / "scene.png", "cocosnet")


def test_sizes_belong_to_style_transfer(files):
    assert translate_files(files / "photo.jpg", files / "scene.png", size=128).translation.image.shape[-1] == 128
    for model, size, message in (("cocosnet", 128, "expected 64, which"), ("dynast", 100, "a multiple of 64 up to 512")):
        with pytest.raises(ValueError, match=message):
            translate_files(files / "photo.jpg", files / "scene.png", model, size=size)


def test_the_command_writes_everything_it_says(files, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "warp-9.png").write_text("of an earlier model")
    (out / "warp-drive.png").write_text("the user's own")
    (out / "translation.json").write_text("{}")
    given = ["--model", "dynast", "--condition", str(files / "pose.png"), "--exemplar", str(files / "me.png")]
    assert main(["translate", *given, "--out", str(out), "--links", "2"]) == 0
    said = capsys.readouterr().out
    assert "checkpoint: dynast-people-cpu: pose.png is a pose" in said
    assert "WARNING" in said and "never seen a photograph of a person" in said
    pictures = ["image", "condition", "exemplar", "overview", *(f"warp-{number}" for number in range(1, 9))]
    written = {path.name for path in out.iterdir()}
    assert written == {*(f"{name}.png" for name in pictures), "explorer.html", "translation.json", "warp-drive.png"}
    done = translate_files(files / "pose.png", files / "me.png")
    assert (read_image(out / "image.png") - done.translation.image[0]).abs().max() <= 0.5 / 255 + 1e-6
    warp = read_image(out / "warp-3.png")
    assert (warp[:, ::4, ::4] - done.translation.warps[2][0]).abs().max() <= 0.5 / 255 + 1e-6
    account = json.loads((out / "translation.json").read_text())
    assert account["checkpoint"] == "dynast-people-cpu"
    assert [layer["grid"] for layer in account["layers"]] == [[n, n] for n in (8, 8, 16, 16, 32, 32, 64, 64)]
    assert [layer["mass"] for layer in account["layers"]] == pytest.approx(done.mass, abs=1e-5)
    assert account["given"]["exemplar"] == str(files / "me.png")
    page = (out / "explorer.html").read_text()
    assert "<html" in page and "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--condition", "none.png"], "none.png, which does not exist"),
        (["--exemplar", "none.png"], "none.png, which does not exist"),
        (["--model", "nonsense"], "no checkpoint there"),
        (["--links", "0"], "expected at least 1"),
        (["--out", "FILE"], "which is a file; expected a folder"),
        (["--out", "FILE/deep"], "deep to write to, which is not possible (Not a directory); expected a folder"),
        (["--condition", "DEEP.json"], "DEEP.json, which gives no pose ("),
    ],
)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(files, tmp_path, capsys, change, message):
    (tmp_path / "FILE").touch()
    (tmp_path / "DEEP.json").write_text("[" * 100_000)
    change = [str(tmp_path / word) if word.startswith(("FILE", "DEEP")) else word for word in change]
    given = ["--condition", str(files / "pose.png"), "--exemplar", str(files / "me.png"), "--out", str(tmp_path / "out")]
    assert main(["translate", *given, *change]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_nothing_that_is_read_is_written_over(files, tmp_path, capsys):
    own = tmp_path / "own"
    (own / "deep").mkdir(parents=True)
    for name, source in {"condition.png": "pose.png", "exemplar.png": "me.png", "warp-2.png": "me.png"}.items():
        shutil.copy(files / source, own / name)
    (tmp_path / "linked.png").symlink_to(own / "warp-2.png")
    before = {path: path.read_bytes() for path in own.glob("*.png")}
    pose, me = str(files / "pose.png"), str(files / "me.png")
    for condition, exemplar in [
        (str(own / "condition.png"), me),
        (pose, str(own / "deep" / ".." / "exemplar.png")),
        (pose, str(tmp_path / "linked.png")),
    ]:
        assert main(["translate", "--condition", condition, "--exemplar", exemplar, "--out", str(own)]) == 2
        assert "will be written over it; expected another folder" in capsys.readouterr().err
        assert {path: path.read_bytes() for path in own.iterdir() if path.is_file()} == before
    assert main(["translate", "--condition", pose, "--exemplar", me, "--out", str(tmp_path / "all"), "--links", "1"]) == 0
    (tmp_path / "all" / "translation.json").unlink()
    (tmp_path / "all" / "warp-17.png").write_text("nobody knows whose")
    assert main(["translate", "--condition", pose, "--exemplar", me, "--out", str(tmp_path / "all"), "--links", "1"]) == 0
    assert (tmp_path / "all" / "warp-17.png").is_file()


def test_the_samples_go_through(request, tmp_path):
    fashion = request.config.rootpath.parent / "shared" / "data" / "official_layouts" / "DeepFashion"
    poses = sorted(fashion.glob("pose/**/*_candidate.txt"))
    if not poses:
        pytest.skip("the samples of the papers' data are not here")
    done = translate_files(poses[0], image_of(poses[1]))
    assert done.checkpoint.name == "dynast-people-cpu"
    assert any("found beside it" in note for note in done.notes)
    assert not any("does not say how large" in note for note in done.notes)
