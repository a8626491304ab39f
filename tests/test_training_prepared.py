"""Every model on a prepared folder, from the command line: train, go on, measure."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from label_folders import fill
from layout_folders import styles
from PIL import Image, ImageOps

from exemplar_lab.cli import main
from exemplar_lab.data.collection import ROOM, Collection, Item, Labels, read_collection, write_collection
from exemplar_lab.data.prepared import PreparedPairs
from exemplar_lab.training.catalogue import describe
from exemplar_lab.training.checkpoint import last_checkpoint, read_checkpoint
from exemplar_lab.training.evaluation import sum_up
from exemplar_lab.training.log import read_log
from exemplar_lab.training.loop import make_fabric, train
from exemplar_lab.training.pair_evaluation import measure_pairs
from exemplar_lab.training.recipe import make_source
from exemplar_lab.training.recipes import make_recipe
from exemplar_lab.training.samples import local_batch


def town(folder: Path, structure: str = "labels", exemplars: bool = True) -> Path:
    fill(folder, "train", "trainannot", many=4)
    fill(folder, "val", "valannot", many=2)
    for path in (folder / "train" / "t00.0.bmp", folder / "trainannot" / "t00.0.png"):  # the exemplar of all is another picture
        ImageOps.mirror(Image.open(path)).save(path)
    labelled = structure in ("labels", "part edges")
    items = {
        split: tuple(
            Item(f"{split}/{path.name}", (f"{split}annot/{path.stem}.png",) if labelled else ())
            for path in sorted((folder / split).iterdir())
        )
        for split in ("train", "val")
    }
    first = items["train"][0].name
    found = {split: {item.name: (first,) for item in of if item.name != first} for split, of in items.items()}
    names = Labels(("a", "b", "c", "d", "e")) if labelled else None
    write_collection(Collection(folder, "CamVid", structure, items, names, found if exemplars else {}), folder / ROOM)
    return folder


@pytest.mark.parametrize(
    ("model", "structure", "channels"),
    [("cocosnet", "labels", 5), ("dynast", "edges", 2), ("matebit", "soft edges", 1), ("msca", "labels", 5)],
)
def test_a_prepared_folder_trains_and_is_measured(model, structure, channels, tmp_path, capsys):
    folder = town(tmp_path / "town", structure)
    run = tmp_path / "run"
    assert main(["train", model, "--data", str(folder), "--profile", "smoke", "--out", str(run)]) == 0
    assert len(read_log(run)) == 12
    checkpoint = read_checkpoint(last_checkpoint(run))
    assert checkpoint.about["recipe"]["name"] == f"{model}-town-smoke"
    assert checkpoint.build().config.condition_channels == channels
    source = make_source(checkpoint.about["recipe"]["validation"])
    assert source == PreparedPairs(str(folder), 32, "val", read_collection(folder)[1], structure, source.closest)
    assert describe(run).reads == ("labels of a folder" if structure == "labels" else structure)
    capsys.readouterr()
    assert main(["evaluate", str(run), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows["copy"]["pair_warp_l1"]["mean"] > 0 and rows[f"{model}-town-smoke"]["pair_image_psnr"]["mean"] > 0
    assert rows["oracle"]["epe"]["mean"] < 0.5 and "pair_warp_l1" not in rows["oracle"]
    if model == "cocosnet":
        assert main(["evaluate", str(run), "--images", "--features", "fixed", "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert "psnr" in rows["copy"] and "psnr" not in rows["oracle"] and rows["oracle"]["epe"]["mean"] < 0.5


def test_contents_and_styles_train_dynast(tmp_path, capsys):
    folder = town(tmp_path / "town", "photograph")
    run = tmp_path / "run"
    assert main(["train", "dynast", "--data", str(folder), "--profile", "smoke", "--out", str(run)]) == 0
    assert (
        describe(run).reads == "a photograph" and read_checkpoint(last_checkpoint(run)).about["recipe"]["weights"]["style"] > 0
    )
    capsys.readouterr()
    assert main(["evaluate", str(run), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows["content"]["content_ssim"]["mean"] > 0.99 and "true painting" not in rows


@pytest.mark.parametrize(("model", "structure"), [("cocosnet", "photograph"), ("matebit", "photograph"), ("msca", "edges")])
def test_a_model_that_cannot_use_a_structure_says_so(model, structure, tmp_path):
    folder = town(tmp_path / "town", structure)
    with pytest.raises(ValueError, match="prepare it with another --task"):
        make_recipe(model, str(folder), "smoke")


def test_a_run_is_not_resumed_on_a_folder_that_was_prepared_anew(tmp_path, capsys):
    folder = town(tmp_path / "town", "edges")
    command = ["train", "dynast", "--data", str(folder), "--profile", "smoke", "--out", str(tmp_path / "run")]
    assert main(command) == 0
    write_collection(replace(read_collection(folder)[0], how="another way"), folder / ROOM)
    assert main(command) == 0  # the same pairs
    write_collection(replace(read_collection(folder)[0], exemplars={}), folder / ROOM)
    capsys.readouterr()
    assert main(command) == 2
    assert "digest" in capsys.readouterr().err


def test_without_exemplars_only_copies_are_measured(tmp_path, capsys):
    folder = town(tmp_path / "town", "edges", exemplars=False)
    assert main(["train", "cocosnet", "--data", str(folder), "--profile", "smoke", "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert "pair_warp_l1" not in rows["copy"] and rows["copy"]["epe"]["mean"] > 1


def test_numbers_of_pairs_are_those_of_the_warps(tmp_path):
    source = PreparedPairs(town(tmp_path / "town"), size=32, split="val")
    rows = measure_pairs({}, source, torch.arange(2))
    batch = source.batch(torch.arange(2))
    small = [torch.nn.functional.avg_pool2d(image.double(), 2) for image in (batch.exemplar, batch.target)]
    expected = (small[0] - small[1]).abs().mean((1, 2, 3))
    torch.testing.assert_close(rows["copy"]["pair_warp_l1"].double(), expected, atol=1e-6, rtol=0)
    mean = sum_up(rows)["copy"]["pair_warp_l1"]["mean"]
    assert abs(mean - expected.mean()) < 1e-6
    torch.testing.assert_close(
        rows["copy"]["pair_warp_psnr"].double(),
        -10 * (small[0] - small[1]).square().mean((1, 2, 3)).log10(),
        atol=1e-4,
        rtol=0,
    )
    assert rows["nearest label"]["pair_warp_l1"].mean() < rows["random"]["pair_warp_l1"].mean()


def test_files_are_read_while_the_step_before_runs(tmp_path, monkeypatch):
    threads = []

    def batch(self, indices, device="cpu"):
        threads.append(threading.current_thread())
        return plain(self, indices, device)

    plain = PreparedPairs.batch
    monkeypatch.setattr(PreparedPairs, "batch", batch)
    recipe = make_recipe("cocosnet", str(town(tmp_path / "town")), "smoke")
    steps = train(recipe, tmp_path / "run", make_fabric("cpu"))
    first = next(steps)
    assert first.number == 1 and torch.equal(first.batch.target, local_batch(recipe, 1).target)
    steps.close()  # as when the caller stops: the thread ends, and what was done is saved
    reader = {thread for thread in threads if thread is not threading.current_thread()}
    assert len(reader) == 1 and not reader.pop().is_alive()
    assert [step.number for step in train(recipe, tmp_path / "run", make_fabric("cpu"))] == list(range(2, 13))
    assert len(read_log(tmp_path / "run")) == 12


def test_a_folder_of_label_maps_wants_to_be_prepared(tmp_path):
    fill(tmp_path / "town", "train", "trainannot")
    fill(tmp_path / "town", "val", "valannot", many=2)
    with pytest.raises(ValueError, match="prepare .*town --task labels"):
        make_recipe("cocosnet", str(tmp_path / "town"), "smoke")
    assert make_recipe("msca", str(tmp_path / "town"), "smoke").source.condition_channels == 5


def test_a_folder_of_contents_and_styles_wants_to_be_prepared(tmp_path):
    styles(tmp_path / "art")
    with pytest.raises(ValueError, match="prepare .*art --task style"):
        make_recipe("dynast", str(tmp_path / "art"), "smoke")


def test_a_prepared_folder_called_as_a_task_is_not_passed_over_in_silence(tmp_path, monkeypatch):
    town(tmp_path / "photos", "edges")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"expected \./photos"):
        make_recipe("cocosnet", "photos", "smoke")
    assert make_recipe("cocosnet", "./photos", "smoke").source == PreparedPairs("./photos", 32, truth=False).signed()


def test_what_broke_since_is_counted_when_training_and_measuring_end(tmp_path, capsys):
    folder, run = town(tmp_path / "town", "edges"), tmp_path / "run"
    (folder / "val" / "v01.1.png").write_bytes(b"broken")
    (folder / "train" / "t03.3.png").write_bytes(b"broken")
    assert main(["train", "cocosnet", "--data", str(folder), "--profile", "smoke", "--out", str(run)]) == 0
    said = capsys.readouterr()
    assert "of 6 images were left out" in said.out and said.err.count("left out: got") == 1
    assert main(["evaluate", str(run), "--json"]) == 0
    said = capsys.readouterr()
    assert said.err.count("left out: got") == 1 and "of 6 images were left out" in said.err and json.loads(said.out)
