"""The panel of one's own files, and notebook 40 as papermill runs it."""

import base64
import datetime
import json
import shutil
from pathlib import Path

import pytest
import torch

from exemplar_lab.cli import main
from exemplar_lab.data.images import write_image
from exemplar_lab.data.pose import pose_rgb
from exemplar_lab.data.synth.people import People
from exemplar_lab.notebook import read_notebook, reported, run_notebook
from exemplar_lab.training.translating import translate_files
from exemplar_lab.widgets.own_files import FILES, OwnFiles
from exemplar_lab.widgets.translated import wall_png

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "40_your_own_images.ipynb"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    people = People(256, "val", "easy").batch(torch.arange(2))
    for number in (0, 1):
        write_image(folder / f"person{number}.png", people.exemplar[number])
        write_image(folder / f"pose{number}.png", pose_rgb(people.condition)[number])
    own = [[float(n) for point in person for n in (*(point - 0.5), 0.9)] for person in people.truth.exemplar_keypoints]
    (folder / "own.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": own[0]}]}))
    return folder


def choose(panel, name, path):
    """What the browser does when a file is chosen."""
    when = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    content = path.read_bytes()
    about = {"name": path.name, "type": "", "size": len(content), "last_modified": when}
    panel.uploads[name].button.value = ({"content": memoryview(content), **about},)


def test_chosen_files_are_what_the_command_would_be_given(files):
    panel = OwnFiles(files / "pose0.png", files / "person0.png", exemplar_condition=files / "own.json")
    given = translate_files(files / "pose0.png", files / "person0.png", exemplar_condition=files / "own.json")
    assert torch.equal(panel.done.translation.image, given.translation.image)
    assert panel.words == "OwnFiles: pose0.png and person0.png, dynast-people-cpu"
    assert "never seen a photograph of a person" in panel._said.value
    before = panel._repr_mimebundle_()["image/png"]

    choose(panel, "condition", files / "pose1.png")
    other = translate_files(files / "pose1.png", files / "person0.png", exemplar_condition=files / "own.json")
    assert torch.equal(panel.done.translation.image, other.translation.image)
    assert panel._repr_mimebundle_()["image/png"] != before
    assert repr(panel.explorer).startswith("AttentionExplorer(dense 8×8")

    choose(panel, "exemplar", files / "person1.png")  # the given structure was that of the earlier exemplar
    alone = translate_files(files / "pose1.png", files / "person1.png")
    assert torch.equal(panel.done.translation.image, alone.translation.image)
    assert "WARNING" in panel._said.value
    choose(panel, FILES[2], files / "own.json")
    assert "WARNING" not in panel._said.value


def test_a_change_that_cannot_be_shown_is_said_and_leaves_the_last(files, tmp_path):
    panel = OwnFiles(files / "pose0.png", files / "person0.png")
    shown, picture = panel.done, panel._picture.value
    (tmp_path / "broken.png").write_text("no picture")
    choose(panel, "condition", tmp_path / "broken.png")
    assert "broken.png" in panel.problem and 'role="alert"' in panel._said.value
    assert panel._folder.name not in panel._said.value
    assert panel.done is shown and panel._picture.value == picture
    choose(panel, "condition", files / "pose1.png")
    assert panel.problem == "" and panel.done is not shown
    panel.model.value = "msca"
    assert "for msca; expected" in panel.problem
    panel.model.value = "cocosnet"
    assert panel.problem == "" and panel.done.checkpoint.model == "cocosnet"
    assert "dense 32×32" in repr(panel.explorer)
    with pytest.raises(FileNotFoundError, match="none.png"):
        OwnFiles(files / "none.png", files / "person0.png")


def test_what_is_shown_is_what_is_written(files, tmp_path):
    panel = OwnFiles(files / "pose0.png", files / "person0.png")
    choose(panel, "exemplar", files / "person1.png")
    written = panel.write(tmp_path / "by call")
    assert {path.name for path in written} == {path.name for path in (tmp_path / "by call").iterdir()}
    panel.folder.value = str(tmp_path / "by button")
    panel.save.click()
    assert 'role="status"' in panel._saved.value and "warp-8.png" in panel._saved.value and "by button" in panel._saved.value
    given = ["--condition", str(files / "pose0.png"), "--exemplar", str(files / "person1.png")]
    assert main(["translate", *given, "--out", str(tmp_path / "command")]) == 0
    names = {path.name for path in (tmp_path / "command").iterdir()}
    assert {"image.png", "warp-8.png", "explorer.html", "translation.json"} <= names
    for folder in ("by call", "by button"):
        assert {path.name for path in (tmp_path / folder).iterdir()} == names
        for name in names - {"translation.json"}:
            assert (tmp_path / folder / name).read_bytes() == (tmp_path / "command" / name).read_bytes(), name
    account = json.loads((tmp_path / "by call" / "translation.json").read_text())
    assert account["given"] == {
        "condition": str(files / "pose0.png"),
        "exemplar": "person1.png",  # where the browser's file was kept is nobody's business
        "model": "dynast-people-cpu",
    }
    choose(panel, "exemplar", files / "person0.png")
    assert panel._saved.value == ""  # what is shown now was not written


def test_what_cannot_be_written_is_said(files, tmp_path):
    panel = OwnFiles(files / "pose0.png", files / "person0.png")
    (tmp_path / "<b>").touch()
    for folder, said in ((str(tmp_path / "<b>"), "&lt;b&gt;, which is a file"), ("  ", "got no name of a folder")):
        panel.folder.value = folder
        panel.save.click()
        assert said in panel._saved.value and 'role="alert"' in panel._saved.value


def test_nothing_that_is_shown_is_written_over(files, tmp_path):
    mine = shutil.copy(files / "person0.png", tmp_path / "exemplar.png")
    panel = OwnFiles(files / "pose0.png", mine)
    with pytest.raises(ValueError, match=r"exemplar.png will be written over it; expected another folder"):
        panel.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["exemplar.png"]


def test_the_picture_shows_every_layer(files):
    """As the wall that is written does, by a name that screen readers can say."""
    panel = OwnFiles(files / "pose0.png", files / "person0.png")
    for model, layers in (("dynast", 8), ("cocosnet", 1)):
        panel.model.value = model
        assert panel.now() == wall_png(panel.done)
        assert base64.b64encode(panel.now()).decode() in panel._picture.value
        assert f'<img alt="structure, exemplar, image, and the exemplar as each of {layers} layers' in panel._picture.value
    assert all(".txt" not in upload.button.accept for upload in panel.uploads.values())  # one alone is no pose


def test_which_files_are_shown(files, tmp_path):
    panel = OwnFiles(files / "pose0.png", files / "person0.png")
    assert list(panel.given.values()) == [files / "pose0.png", files / "person0.png", None]
    (tmp_path / "broken.png").write_text("no picture")
    choose(panel, "condition", tmp_path / "broken.png")
    assert panel.given["condition"] == files / "pose0.png"  # still shown
    choose(panel, "condition", files / "pose0.png")
    assert panel.given["condition"] != files / "pose0.png"  # the browser's copy
    assert panel.given["condition"].name == "pose0.png"


def test_the_notebook_runs_and_writes_its_figures(tmp_path):
    out = run_notebook(NOTEBOOK, tmp_path / "out.ipynb", {"figures": str(tmp_path)}, progress=False)
    assert {path.name for path in tmp_path.glob("40_*.png")} == {"40_pair.png", "40_folder.png", "40_exemplar_pose.png"}
    (row,) = reported(read_notebook(out))
    assert row["own pose"] > row["mean pose"] > row["zeros"]
    assert row["left out"] == 1
    said = "".join("".join(one.get("text", "")) for cell in read_notebook(out).cells for one in cell.get("outputs", []))
    assert "exemplar-lab train dynast --data" in said
    assert "never seen a photograph of a person" in said


def test_the_notebook_takes_files(files, tmp_path):
    given = {name: str(files / file) for name, file in {"condition": "pose1.png", "exemplar": "person1.png"}.items()}
    given |= {"figures": str(tmp_path), "out": str(tmp_path / "mine"), "pairs": 2}
    out = run_notebook(NOTEBOOK, tmp_path / "out.ipynb", given, progress=False)
    said = "".join("".join(one.get("text", "")) for cell in read_notebook(out).cells for one in cell.get("outputs", []))
    assert "pose1.png is a pose" in said and "WARNING" in said
    assert (tmp_path / "mine" / "warp-8.png").is_file() and "explorer.html" in said
    assert not (tmp_path / "40_pair.png").exists()  # pictures of one's own are no figures


def test_what_a_button_was_given_is_no_figure(files, tmp_path):
    """As where cells run again after a choice."""
    notebook = read_notebook(NOTEBOOK)
    (made,) = [number for number, cell in enumerate(notebook.cells) if "panel = OwnFiles(" in cell.source]
    about = {"name": "mine.png", "type": "", "size": 1, "last_modified": 0}
    content = f"memoryview(Path({str(files / 'pose1.png')!r}).read_bytes())"
    notebook.cells[made].source += f"\npanel.uploads['condition'].place.file = {about!r} | {{'content': {content}}}"
    (tmp_path / "copy.ipynb").write_text(json.dumps(notebook))
    given = {"figures": str(tmp_path), "pairs": 2}
    out = run_notebook(tmp_path / "copy.ipynb", tmp_path / "out.ipynb", given, progress=False)
    said = "".join("".join(one.get("text", "")) for cell in read_notebook(out).cells for one in cell.get("outputs", []))
    assert "mine.png is a pose" in said
    assert {path.name for path in tmp_path.glob("*.png")} == {"40_folder.png", "40_exemplar_pose.png"}


def test_the_notebook_is_small():
    assert NOTEBOOK.stat().st_size <= 300_000
