"""A checkpoint appears whole or not at all, and says what is wrong with it."""

import json

import pytest
import torch
from safetensors.torch import save_file

from exemplar_lab.models.cocosnet import CoCosNet
from exemplar_lab.training import checkpoint as module
from exemplar_lab.training.checkpoint import (
    SHIPPED,
    find_checkpoint,
    forget_old_checkpoints,
    last_checkpoint,
    read_checkpoint,
    ship_checkpoint,
    write_checkpoint,
)
from exemplar_lab.training.recipes.cocosnet import cocosnet_people

RECIPE = cocosnet_people("smoke")


@pytest.fixture
def model():
    return CoCosNet(RECIPE.model).eval()


@pytest.fixture
def folder(tmp_path, model):
    about = {"model": "cocosnet", "config": RECIPE.model.to_dict(), "recipe": RECIPE.describe(), "features": "none", "step": 12}
    return write_checkpoint(tmp_path / "step-00000012", about, model.state_dict(), {"noise": torch.zeros(3)})


def answer(model):
    size, channels = RECIPE.model.size, RECIPE.model.condition_channels
    generator = torch.Generator().manual_seed(0)
    inputs = (torch.rand(1, n, size, size, generator=generator) for n in (channels, 3))
    with torch.inference_mode():
        return model(*inputs).image


def test_what_was_written_is_read(folder, model):
    read = read_checkpoint(folder)
    assert torch.equal(answer(read.build()), answer(model))
    assert read.about["step"] == 12 and read.about["recipe"]["name"] == RECIPE.name and read.training.keys() == {"noise"}


def test_nothing_half_written_is_left_behind(tmp_path, model, monkeypatch):
    monkeypatch.setattr(module.json, "dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_checkpoint(tmp_path / "step-00000001", {"model": "cocosnet"}, model.state_dict())
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_is_not_seen_and_swept(folder):
    run = folder.parent
    (run / ".step-00000020-abc").mkdir()
    (run / "step-00000030").mkdir()  # no checkpoint.json: not a checkpoint
    assert last_checkpoint(run) == folder
    forget_old_checkpoints(run)
    assert not (run / ".step-00000020-abc").exists() and folder.exists()


def test_only_the_newest_are_kept(folder, model):
    about = read_checkpoint(folder).about
    for step in (13, 14, 15):
        write_checkpoint(folder.parent / f"step-{step:08d}", about, model.state_dict())
    forget_old_checkpoints(folder.parent, keep=2)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["step-00000014", "step-00000015"]


def test_truncated_weights_are_named(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model.safetensors: truncated or altered.*copy the folder again"):
        read_checkpoint(folder)
    path.unlink()
    with pytest.raises(ValueError, match="model.safetensors: missing"):
        read_checkpoint(folder)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "exemplar-lab-1", "model": "pix2pix"}'])
def test_foreign_folders_are_refused(tmp_path, text):
    (tmp_path / "checkpoint.json").write_text(text)
    save_file({"netG.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="not a checkpoint of this package"):
        read_checkpoint(tmp_path)


def test_missing_folder_and_unknown_name():
    with pytest.raises(FileNotFoundError, match="no such checkpoint folder; expected a folder with checkpoint.json"):
        read_checkpoint(SHIPPED / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere: no checkpoint there.*one of .*cocosnet-people-cpu"):
        find_checkpoint("nowhere")


def test_weights_that_do_not_fit_their_config(folder):
    about = json.loads((folder / "checkpoint.json").read_text())
    about["config"]["style_hidden"] = 9
    (folder / "checkpoint.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="weights do not fit the model its own config describes.*size mismatch"):
        read_checkpoint(folder).build()


def test_a_run_a_folder_and_a_name_are_found(folder):
    assert find_checkpoint(folder) == folder == find_checkpoint(folder.parent)
    assert find_checkpoint("cocosnet-people-cpu") == SHIPPED / "cocosnet-people-cpu"


def test_shipped_as_half_precision(folder, model, tmp_path):
    read = read_checkpoint(ship_checkpoint(folder.parent, tmp_path / "weights" / "small", {"pck": 0.5}))
    assert read.model["generator.blocks.0.conv_0.bias"].dtype == torch.float16
    assert read.about["numbers"] == {"pck": 0.5} and not read.training
    assert (answer(read.build()) - answer(model)).abs().max() < 0.02


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in SHIPPED.glob("*/checkpoint.json")))
def test_every_shipped_checkpoint_loads_and_says_how_it_was_made(folder):
    read = read_checkpoint(find_checkpoint(folder))
    read.build()
    assert {"recipe", "features", "step", "numbers"} <= read.about.keys() and read.about["step"] == read.about["recipe"][
        "steps"
    ]
    assert sum(path.stat().st_size for path in read.folder.iterdir()) <= 12e6
