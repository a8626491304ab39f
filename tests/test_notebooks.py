"""The real notebooks under papermill; nbval runs every cell of them, at smoke, beside these tests."""

import json
from pathlib import Path

import pytest

from exemplar_lab.notebook import run_notebook

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


@pytest.mark.parametrize("name", sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"profil": "cpu"}, "got a parameter 'profil', .*did you mean 'profile'"),
        ({"seed": "3"}, r"got seed = '3' \(str\), expected an integer"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(name, parameters, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run_notebook(NOTEBOOKS / f"{name}.ipynb", tmp_path / "out.ipynb", parameters, progress=False)
    assert not (tmp_path / "out.ipynb").exists()


def test_an_unknown_profile_is_refused_by_what_the_second_cell_will_say(tmp_path):
    with pytest.raises(ValueError, match="expected 'smoke' or 'cpu' or 'gpu'"):
        run_notebook(NOTEBOOKS / "10_cocosnet.ipynb", tmp_path / "out.ipynb", {"profile": "laptop"}, progress=False)
    assert not (tmp_path / "out.ipynb").exists()


def test_cocosnet_writes_its_figures_with_their_origin(tmp_path):
    run_notebook(NOTEBOOKS / "10_cocosnet.ipynb", tmp_path / "out.ipynb", {"figures": str(tmp_path)}, progress=False)
    pictures = sorted(path.stem for path in tmp_path.glob("*.png"))
    assert {"10_training", "10_people", "10_links", "10_rows", "10_field", "10_ablations", "10_photos"} <= set(pictures)
    for name in pictures:
        manifest = json.loads((tmp_path / f"{name}.json").read_text())
        assert manifest["parameters"]["profile"] == "smoke" and "torch" in manifest["versions"]
    rows = json.loads((tmp_path / "10_people.json").read_text())["parameters"]["rows"]
    assert {"CoCosNet", "oracle", "copy", "nearest label", "random"} == rows.keys()
