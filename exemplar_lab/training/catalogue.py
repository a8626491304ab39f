"""Which checkpoints there are, what each of them reads, and how it is asked: all from their JSON."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from exemplar_lab.data.synth.dials import dials_of
from exemplar_lab.data.synth.world import TASKS
from exemplar_lab.models import MODELS
from exemplar_lab.training.checkpoint import FORMAT, SHIPPED, find_checkpoint, read_checkpoint
from exemplar_lab.training.evaluation import Answer
from exemplar_lab.translation import Batch, Translation

PLAIN = ("edges", "a photograph")
"""What can be made from any photograph alone."""

_STRUCTURE = {
    "People": "a pose",
    "Faces": "68 landmarks",
    "Scenes": "labels of the world",
    "Paintings": "a photograph",
    "Photographs": "edges",
    "StylePairs": "a photograph",
    "LabelledPhotographs": "labels of a folder",
}

_PREPARED = {
    "pose": "a pose",
    "labels": "labels of a folder",
    "photograph": "a photograph",
    "part edges": "the parts of a face",
}
"""What structures of `data.collection` are called here, where that is not their own name."""


@dataclass(frozen=True)
class Described:
    """A checkpoint as its JSON has it.

    source: the kind of its training pairs (People, Photographs …). size: of its images. channels: of its condition, which shows
    what `reads` says. asks_exemplar: whether it wants the exemplar's own structure.
    """

    name: str
    folder: Path
    model: str
    source: str
    size: int
    channels: int
    reads: str
    asks_exemplar: bool


def checkpoint_folders(runs: str | Path | None = None) -> dict[str, Path]:
    """{name: folder} of what comes with the package, and of the runs in the folder `runs`, whole or not.

    Raises FileNotFoundError where `runs` is no folder.
    """
    found = {path.parent.name: path.parent for path in sorted(SHIPPED.glob("*/checkpoint.json"))}
    if runs is None:
        return found
    runs = Path(runs)
    if not runs.is_dir():
        raise FileNotFoundError(
            f"got the runs {runs}, which is no folder; expected one that `exemplar-lab train` wrote runs into"
        )
    for run in sorted(path for path in runs.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if (run / "checkpoint.json").exists() or any(run.glob("step-*")):
            found[f"{runs.name}/{run.name}"] = run
    return found


def describe(where: str | Path, name: str | None = None) -> Described:
    """What `find_checkpoint` finds there. No weights are read.

    Raises FileNotFoundError where there is nothing, ValueError for what is no model of this package.
    """
    folder = find_checkpoint(where)
    try:
        about: dict[str, Any] = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT or "model.safetensors" not in about["sha256"]:
            raise KeyError("format")
        if about["model"] not in MODELS:
            raise ValueError(f"got {where}, a run of `train {about['model']}`, expected a model: {', '.join(MODELS)}")
        source, config = about["recipe"]["source"], about["config"]
        kind = source["kind"]
        return Described(
            name or str(where),
            folder,
            about["model"],
            kind,
            config["size"],
            config["condition_channels"],
            reads(kind, source.get("tier"), source.get("structure")),
            config.get("exemplar_sees_condition", about["model"] in ("dynast", "msca")),
        )
    except (OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise ValueError(
            f"got {where}, which is no checkpoint of this package; expected a folder that `exemplar-lab train` wrote: "
            "weights of the papers' own releases cannot be loaded"
        ) from problem


def reads(source: str, tier: Any = None, structure: str | None = None) -> str:
    """What the conditions of a kind of source show, at a tier; the parts of scenes are what they show anyway.

    structure: of a prepared folder.
    """
    if structure is not None:
        return _PREPARED.get(structure, structure)
    task = next((name for name, kind in TASKS.items() if kind.__name__ == source), None)
    gap = "structure" if task is None or tier is None else dials_of(tier, task).gap
    gap = "structure" if (source, gap) == ("Scenes", "parts") else gap
    return {"structure": _STRUCTURE.get(source, source), "parts": f"parts of {task}", "edges": "edges"}[gap]


def answer_of(checkpoint: Described) -> Answer:
    """The model with its weights, asked as it was trained: no exemplar condition after the warm-up of App. E of [CoCosNet], and
    the style image itself in its place for a model of `StylePairs`."""
    stored = read_checkpoint(checkpoint.folder)
    model = stored.build()
    shows_condition = stored.about["recipe"].get("warm_up_steps") is None

    @torch.inference_mode()
    def answer(batch: Batch) -> Translation:
        structure = batch.exemplar if checkpoint.source == "StylePairs" else batch.exemplar_condition
        return model(batch.condition, batch.exemplar, structure if shows_condition else None)

    return answer
