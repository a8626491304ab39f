"""Checkpoints: safetensors for tensors, JSON for everything else, never a pickle; each one appears whole or not at all.

A checkpoint is a folder `step-00000400/` with
    model.safetensors       weights and buffers
    training.safetensors    the rest that a resumed run needs (discriminator, optimisers, noise); absent in shipped ones
    checkpoint.json         format, model and its config, recipe, step, numbers measured, sha256 of the files above
written beside its place and renamed into it, so a power cut leaves the previous checkpoint as the last one.
"""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import exemplar_lab
from exemplar_lab.models import MODELS
from exemplar_lab.models.config import config_from_dict

FORMAT = "exemplar-lab-1"
KINDS = (*MODELS, "features")
"""What a checkpoint may hold: a model, or the lab features while they are trained."""

SHIPPED = Path(__file__).parent.parent / "weights"
"""Checkpoints that come with the package, weights in half precision."""


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds: the JSON as `about`, tensors by name. `training` is empty in a shipped checkpoint."""

    folder: Path
    about: dict[str, Any]
    model: dict[str, Tensor]
    training: dict[str, Tensor]

    def build(self) -> nn.Module:
        """The model with these weights, in evaluation mode; weights stored in half precision come back as float32.

        Raises ValueError for weights that do not fit, and for a run that trained no model.
        """
        if self.about["model"] not in MODELS:
            raise ValueError(f"{self.folder}: got a run of `train {self.about['model']}`, expected one of {', '.join(MODELS)}")
        model_class, config_class = MODELS[self.about["model"]]
        model = model_class(config_from_dict(config_class, self.about["config"]))
        try:
            model.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in self.model.items()})
        except RuntimeError as error:
            raise ValueError(
                f"{self.folder}: the weights do not fit the model its own config describes "
                f"({str(error).splitlines()[-1].strip()}); "
                "it was written by another version of the package: train again, or install that version "
                f"({self.about.get('version', 'unknown')})"
            ) from error
        return model.eval()


def write_checkpoint(
    folder: Path, about: dict[str, Any], model: dict[str, Tensor], training: dict[str, Tensor] | None = None
) -> Path:
    """Write `folder` in one step: a temporary neighbour is filled, flushed to the disk and renamed."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        files = {"model.safetensors": model} | ({"training.safetensors": training} if training else {})
        digests = {}
        for name, tensors in files.items():
            save_file({key: t.detach().cpu().contiguous() for key, t in tensors.items()}, work / name)
            digests[name] = _sha256(work / name)
        about = {"format": FORMAT, "version": exemplar_lab.__version__, "torch": torch.__version__, **about, "sha256": digests}
        (work / "checkpoint.json").write_text(json.dumps(about, indent=1) + "\n")
        for path in work.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        os.chmod(work, 0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(work, folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return folder


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder, checking that it is one of ours and that nothing of it is missing or cut off.

    Raises FileNotFoundError when there is no such folder, ValueError for a foreign, truncated or altered one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such checkpoint folder; expected a folder with checkpoint.json and model.safetensors, "
            "as `exemplar-lab train` writes it"
        )
    try:
        about = json.loads((folder / "checkpoint.json").read_text())
        known = isinstance(about, dict) and about.get("format") == FORMAT and about.get("model") in KINDS
    except (OSError, ValueError):
        known = False
    if not known:
        raise ValueError(
            f"{folder}: not a checkpoint of this package (no checkpoint.json with format {FORMAT!r} and a model among "
            f"{sorted(KINDS)}); weights of the papers' own releases cannot be loaded"
        )
    tensors: dict[str, dict[str, Tensor]] = {}
    for name, digest in about["sha256"].items():
        path = folder / name
        if not path.is_file() or _sha256(path) != digest:
            raise ValueError(
                f"{path}: {'missing' if not path.is_file() else 'truncated or altered'} (its sha256 is not the one in "
                "checkpoint.json); copy the folder again, or delete it and resume from the one before"
            )
        try:
            tensors[name] = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path}: not a safetensors file ({error}); copy the folder again") from error
    return Checkpoint(folder, about, tensors["model.safetensors"], tensors.get("training.safetensors", {}))


def find_checkpoint(where: str | Path) -> Path:
    """The folder of a checkpoint: `where` is that folder, a run that holds some, or the name of one that is shipped."""
    path = Path(where)
    if (path / "checkpoint.json").exists():
        return path
    if path.is_dir() and (last := last_checkpoint(path)):
        return last
    if (SHIPPED / str(where) / "checkpoint.json").exists():
        return SHIPPED / str(where)
    shipped = sorted(folder.parent.name for folder in SHIPPED.glob("*/checkpoint.json"))
    raise FileNotFoundError(
        f"{where}: no checkpoint there, and none of that name comes with the package; expected a run or checkpoint folder "
        f"written by `exemplar-lab train`, or one of {', '.join(shipped) or 'the shipped ones (there are none)'}"
    )


def last_checkpoint(run: Path) -> Path | None:
    """The newest whole checkpoint of a run, or None; half-written ones have another name and are not seen."""
    return max(_steps(run), default=None)


def forget_old_checkpoints(run: Path, keep: int = 2) -> None:
    """Delete all but the newest `keep` checkpoints, and what a killed process left half-written."""
    for folder in sorted(_steps(run))[:-keep]:
        shutil.rmtree(folder, ignore_errors=True)
    for folder in Path(run).glob(".step-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _steps(run: Path) -> list[Path]:
    return [path.parent for path in Path(run).glob("step-*/checkpoint.json")]


def ship_checkpoint(run: Path, folder: Path, numbers: dict[str, Any]) -> Path:
    """Write the last checkpoint of `run` as it is shipped: weights in half precision, the recipe, the numbers measured."""
    last = last_checkpoint(run)
    if last is None:
        raise FileNotFoundError(f"{run}: no checkpoint there, expected a run written by `exemplar-lab train`")
    checkpoint = read_checkpoint(last)
    half = {name: t.half() if t.is_floating_point() else t for name, t in checkpoint.model.items()}
    about = {name: checkpoint.about[name] for name in ("model", "config", "recipe", "features", "step")}
    return write_checkpoint(folder, about | {"numbers": numbers}, half)


def flatten_optimiser(prefix: str, state: dict[str, Any]) -> tuple[dict[str, Tensor], list[dict]]:
    """An optimiser's state_dict as tensors by name and JSON-able parameter groups."""
    tensors = {
        f"{prefix}.{index}.{name}": value
        for index, values in state["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
    return tensors, state["param_groups"]


def unflatten_optimiser(prefix: str, tensors: dict[str, Tensor], groups: list[dict]) -> dict[str, Any]:
    """The reverse of `flatten_optimiser`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith(prefix + "."):
            index, name = key.removeprefix(prefix + ".").split(".", 1)
            state.setdefault(int(index), {})[name] = tensor
    return {"state": state, "param_groups": groups}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
