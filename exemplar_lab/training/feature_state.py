"""What changes while the lab features learn: a step of it, its way to the disk and back, and the file that is shipped."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from safetensors.torch import save
from torch import nn

import exemplar_lab
from exemplar_lab.losses.total import total_loss
from exemplar_lab.nn.lab_features import FeatureTrainer, LabFeatures, load_lab
from exemplar_lab.training.checkpoint import (
    Checkpoint,
    flatten_optimiser,
    forget_old_checkpoints,
    last_checkpoint,
    read_checkpoint,
    unflatten_optimiser,
    write_checkpoint,
)
from exemplar_lab.training.feature_objective import Views, draw_views, draw_worse, feature_terms
from exemplar_lab.training.feature_recipe import PARTS, STYLES, FeatureRecipe
from exemplar_lab.training.state import finite_values, refuse_other_recipe, seeded

MODEL = "features"
"""What a checkpoint of such a run says it holds."""


class FeatureState:
    """The network with its heads and its optimiser; what `training.loop.train` asks of a run."""

    def __init__(self, recipe: FeatureRecipe, fabric: Fabric):
        if fabric.world_size > 1:
            raise ValueError(
                f"got {fabric.world_size} processes, expected one: batch normalisation and contrasts of a shared batch would "
                "differ from those of one process"
            )
        self.recipe, self.fabric = recipe, fabric
        self.whole = True
        """False while a step is under way: what is then in memory belongs to no step and must not be saved."""
        with seeded(recipe.seed):
            self.trainer = fabric.to_device(FeatureTrainer(PARTS, STYLES, recipe.widths))
        settings = {"lr": recipe.rate(1), "weight_decay": recipe.weight_decay, "betas": (0.9, 0.99)}
        self.optimiser = torch.optim.AdamW(self.trainer.parameters(), **settings)

    def batch(self, number: int) -> dict[str, Views]:
        return draw_views(self.recipe, number, self.fabric.device)

    def step(self, batch: dict[str, Views], number: int, saved_in: Path) -> tuple[dict[str, float], None]:
        """One step; its terms, and nothing to look at."""
        self.whole = False
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate(number)
        terms = feature_terms(self.trainer, batch, draw_worse(batch, number), self.recipe.points)
        values = finite_values(terms, number, saved_in, self.fabric)
        self.optimiser.zero_grad(set_to_none=True)
        total_loss(terms, self.recipe.weights).backward()
        nn.utils.clip_grad_norm_(self.trainer.parameters(), self.recipe.longest_gradient)
        self.optimiser.step()
        self.whole = True
        return values, None

    def save(self, run: Path, number: int) -> None:
        optimiser, groups = flatten_optimiser("optimiser", self.optimiser.state_dict())
        config = {"widths": list(self.recipe.widths)}
        about = {"model": MODEL, "config": config, "recipe": self.recipe.describe(), "step": number, "optimiser": groups}
        write_checkpoint(run / f"step-{number:08d}", about, self.trainer.state_dict(), optimiser)
        forget_old_checkpoints(run)

    def resume(self, run: Path) -> int:
        """Take up the last checkpoint of `run`; the number of steps done so far."""
        folder = last_checkpoint(run)
        if folder is None:
            return 0
        checkpoint = read_checkpoint(folder)
        refuse_other_recipe(checkpoint.about["recipe"], self.recipe, run)
        self.trainer.load_state_dict(checkpoint.model)
        self.optimiser.load_state_dict(unflatten_optimiser("optimiser", checkpoint.training, checkpoint.about["optimiser"]))
        return checkpoint.about["step"]

    def leave_processes(self) -> None:
        """There is only one."""


def features_of(checkpoint: Checkpoint) -> LabFeatures:
    """The network of a checkpoint, its batch normalisation folded into the weights."""
    widths = checkpoint.about["config"]["widths"]
    trainer = FeatureTrainer(PARTS, STYLES, widths)
    trainer.load_state_dict(checkpoint.model)
    network = LabFeatures(widths)
    network.load_state_dict(trainer.folded())
    return network


def read_features(where: Path) -> LabFeatures:
    """The network of a run of `train features`, or of a file that it wrote, under the name of that path.

    Raises FileNotFoundError when there is nothing, ValueError for a run of something else or a damaged file.
    """
    where = Path(where)
    network = features_of(_last_of(where)) if where.is_dir() else load_lab(where)
    network.name = str(where)
    return network


def ship_features(run: Path, file: Path, name: str, numbers: dict[str, Any] | None = None) -> Path:
    """Write the last checkpoint of `run` as FILE.safetensors in half precision, with FILE.json: name, recipe, hash, numbers.

    name: what stands beside every number made through these features, so other weights must bear another.
    The weights come first: where the JSON beside them is still an old one, its hash does not fit and nothing is loaded.
    Raises FileNotFoundError when the run holds no checkpoint.
    """
    checkpoint = _last_of(Path(run))
    network = features_of(checkpoint)
    content = save({key: value.half().contiguous() for key, value in network.state_dict().items()})
    about = {
        "name": name,
        "widths": checkpoint.about["config"]["widths"],
        "sha256": hashlib.sha256(content).hexdigest(),
        "version": exemplar_lab.__version__,
        "torch": torch.__version__,
        "step": checkpoint.about["step"],
        "recipe": checkpoint.about["recipe"],
        "numbers": numbers or {},
    }
    file = Path(file).with_suffix(".safetensors")
    file.parent.mkdir(parents=True, exist_ok=True)
    for path, data in ((file, content), (file.with_suffix(".json"), (json.dumps(about, indent=1) + "\n").encode())):
        beside = path.with_name(f".{path.name}.tmp")
        beside.write_bytes(data)
        os.replace(beside, path)
    return file


def _last_of(run: Path) -> Checkpoint:
    last = last_checkpoint(run)
    if last is None:
        raise FileNotFoundError(f"{run}: no checkpoint there, expected a run of `exemplar-lab train features`")
    checkpoint = read_checkpoint(last)
    if checkpoint.about["model"] != MODEL:
        raise ValueError(
            f"got {run}, which trained {checkpoint.about['model']}, expected a run of `exemplar-lab train features`"
        )
    return checkpoint
