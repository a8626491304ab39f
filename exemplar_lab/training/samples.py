"""Which samples a step trains on: a matter of the recipe and the number of the step alone."""

from dataclasses import replace

import torch
from torch import Tensor

from exemplar_lab.data.distort import pseudo_exemplar
from exemplar_lab.data.seeds import sample_keys, uniform
from exemplar_lab.training.patches import patch_batch
from exemplar_lab.training.recipe import Recipe
from exemplar_lab.translation import Batch, concatenate


def sample_indices(recipe: Recipe, number: int) -> Tensor:
    """The samples of step `number`: fresh ones for ever from a source without an end, else epoch after epoch in a new order."""
    position = torch.arange((number - 1) * recipe.batch_size, number * recipe.batch_size)
    length = recipe.source.length
    if length is None:
        return position + recipe.seed * 2**40
    epochs = {
        epoch: torch.randperm(length, generator=torch.Generator().manual_seed(recipe.seed * 100_003 + epoch))
        for epoch in position.div(length, rounding_mode="floor").unique().tolist()
    }
    return torch.stack([epochs[int(p) // length][int(p) % length] for p in position])


def local_indices(recipe: Recipe, number: int, rank: int, world: int) -> Tensor:
    """The samples of step `number` that process `rank` of `world` works on."""
    if recipe.batch_size % world:
        raise ValueError(
            f"got a batch of {recipe.batch_size} for {world} processes, expected a multiple: change the batch size"
        )
    return sample_indices(recipe, number).chunk(world)[rank]


def local_batch(recipe: Recipe, number: int, rank: int = 0, world: int = 1, device: torch.device | str = "cpu") -> Batch:
    """The part of process `rank` of the batch of step `number`; distorted copies of the targets replace some exemplars."""
    indices = local_indices(recipe, number, rank, world)
    batch = recipe.source.batch(indices, device=device)
    if recipe.patches is not None:
        return patch_batch(recipe.patches, batch, sample_keys(number, "train", indices.to(device)), number, recipe.model.size)
    chosen = uniform(indices, "pseudo exemplar") < recipe.pseudo
    if not chosen.any():
        return batch
    distorted = pseudo_exemplar(batch[chosen], indices[chosen].to(device))
    order = torch.argsort(torch.cat([(~chosen).nonzero()[:, 0], chosen.nonzero()[:, 0]]))
    kept = batch[~chosen]
    return concatenate([replace(kept, truth=None), replace(distorted, truth=None)])[order]
