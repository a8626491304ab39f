"""The training loop: a generator of steps. The notebook plots them, the command line prints them, `break` stops it and loses nothing.

What happens at a step depends on the recipe and the step number alone. A run that was killed at any moment and started again goes on
from its last whole checkpoint and ends with the weights it would have had; processes that share a batch each take their part of it.
"""

import ctypes
import gc
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from exemplar_lab.data.distort import pseudo_exemplar
from exemplar_lab.data.seeds import uniform
from exemplar_lab.losses.adversarial import hinge_discriminator
from exemplar_lab.losses.total import total_loss
from exemplar_lab.models.cocosnet import CoCosNet
from exemplar_lab.nn.discriminator import PatchDiscriminator
from exemplar_lab.nn.features import features
from exemplar_lab.training.checkpoint import (
    flatten_optimiser,
    forget_old_checkpoints,
    last_checkpoint,
    read_checkpoint,
    unflatten_optimiser,
    write_checkpoint,
)
from exemplar_lab.training.log import StepLog
from exemplar_lab.training.objective import cocosnet_terms
from exemplar_lab.training.recipe import Recipe
from exemplar_lab.translation import Batch, Translation, concatenate


class DivergedError(ArithmeticError):
    """A loss became NaN or infinite; the message names the step, the term and the last good checkpoint."""


@dataclass(frozen=True)
class Step:
    """One step, done: its number (from 1), the loss terms, the seconds it took, and what went in and came out."""

    number: int
    of: int
    terms: dict[str, float]
    seconds: float
    batch: Batch
    translation: Translation


def make_fabric(accelerator: str = "auto") -> Fabric:
    """One process on the best device; under `torchrun`, all its processes with DistributedDataParallel."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world == 1:
        return Fabric(accelerator=accelerator, devices=1)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    fabric = Fabric(accelerator=accelerator, devices=local, num_nodes=world // local, strategy="ddp")
    fabric.launch()
    return fabric


def train(recipe: Recipe, run: Path, fabric: Fabric | None = None) -> Iterator[Step]:
    """Train `recipe` into the folder `run`, yielding every step; goes on from the last checkpoint found there.

    Writes run/log.csv (a line per step) and run/step-XXXXXXXX/ every `recipe.save_every` steps, at the end, and when the caller stops.
    A finished run yields nothing. Raises ValueError when the folder holds a run of another recipe, DivergedError on a NaN loss.
    """
    run = Path(run)
    fabric = fabric or make_fabric()
    if fabric.device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    else:
        _keep_heap()
    state = _State(recipe, fabric)
    done = state.resume(run)
    log = StepLog(run, done) if fabric.is_global_zero else None
    saved = done
    try:
        for number in range(done + 1, recipe.steps + 1):
            start = time.perf_counter()
            batch = _local_batch(recipe, number, fabric)
            terms, translation = state.step(batch, number, saved_in=run)
            values = {name: float(term) for name, term in terms.items()}
            done = number
            if log:
                log.write(number, values, time.perf_counter() - start)
            if number % recipe.save_every == 0 or number == recipe.steps:
                state.save(run, number)
                saved = number
            yield Step(number, recipe.steps, values, time.perf_counter() - start, batch, translation)
    finally:
        if log:
            log.close()
        if done > saved and state.healthy:
            state.save(run, done)
        if fabric.world_size > 1:
            state.leave_processes()


def _keep_heap() -> None:
    """Tell glibc to keep freed memory: by default each step gives its large blocks back and pays for them anew, a sixth of its time."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        trim_threshold, top_pad, mmap_max = -1, -2, -4
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**26)


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
        raise ValueError(f"got a batch of {recipe.batch_size} for {world} processes, expected a multiple: change the batch size")
    return sample_indices(recipe, number).chunk(world)[rank]


def _local_batch(recipe: Recipe, number: int, fabric: Fabric) -> Batch:
    """This process's part of the batch of step `number`, some of its exemplars replaced by distorted copies of their targets."""
    indices = local_indices(recipe, number, fabric.global_rank, fabric.world_size)
    batch = recipe.source.batch(indices, device=fabric.device)
    chosen = uniform(indices, "pseudo exemplar") < recipe.pseudo
    if not chosen.any():
        return batch
    distorted = pseudo_exemplar(batch[chosen], indices[chosen].to(fabric.device))
    order = torch.argsort(torch.cat([(~chosen).nonzero()[:, 0], chosen.nonzero()[:, 0]]))
    kept = batch[~chosen]
    return concatenate([replace(kept, truth=None), replace(distorted, truth=None)])[order]


class _State:
    """Networks, optimisers and noise of one run."""

    def __init__(self, recipe: Recipe, fabric: Fabric):
        self.recipe, self.fabric, self.healthy = recipe, fabric, True
        with _seeded(recipe.seed):
            self.model = fabric.to_device(CoCosNet(recipe.model))
            self.discriminator = fabric.to_device(
                PatchDiscriminator(
                    3, recipe.discriminator_width, recipe.discriminator_layers, recipe.discriminator_scales
                )
            )
        self.noise = torch.Generator().manual_seed(recipe.seed)
        self.features = features(recipe.features).to(fabric.device)
        learning_rate, discriminator_learning_rate = recipe.learning_rates(0)
        self.optimiser = torch.optim.Adam(self.model.parameters(), learning_rate, betas=recipe.betas)
        self.d_wrapped = None
        self.wrapped, self.optimiser = self._set_up(self.model, self.optimiser)
        self.adversarial = bool(recipe.weights.get("adv"))
        if self.adversarial:
            self.d_optimiser = torch.optim.Adam(self.discriminator.parameters(), discriminator_learning_rate, betas=recipe.betas)
            self.d_wrapped, self.d_optimiser = self._set_up(self.discriminator, self.d_optimiser)

    def _set_up(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """On the device, and wrapped for several processes where there are several.

        `Fabric.setup` would wrap the output as well, and refuses a frozen record there.
        """
        return self.fabric.strategy.setup_module(module), self.fabric.setup_optimizers(optimiser)

    def step(self, batch: Batch, number: int, saved_in: Path) -> tuple[dict[str, Tensor], Translation]:
        """One alternating step: the translation network against a frozen discriminator, then the discriminator."""
        for optimiser, rate in zip(self._optimisers(), self.recipe.learning_rates(number - 1), strict=False):
            for group in optimiser.param_groups:
                group["lr"] = rate
        weights = dict(self.recipe.weights)
        exemplar_mask, target_mask = batch.exemplar_condition, batch.condition
        if self.recipe.model.mask_warm_up and number > self.recipe.warm_up_steps:
            weights["mask"] = 0.0
            exemplar_mask, target_mask = self._noise_like(exemplar_mask), self._noise_like(target_mask)
        translation = self.wrapped(batch.condition, batch.exemplar, exemplar_mask, record=False)
        self.discriminator.requires_grad_(False)
        terms = cocosnet_terms(self.model, self.discriminator, self.features, batch, translation, weights, target_mask)
        self.discriminator.requires_grad_(True)
        self._refuse_nan(terms, number, saved_in)
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(total_loss(terms, weights))
        self.optimiser.step()
        if self.adversarial:
            real_and_made = torch.cat([batch.exemplar, translation.image.detach()])
            logits = [logit.chunk(2) for logit in self.d_wrapped(real_and_made)]
            loss = hinge_discriminator([real for real, _ in logits], [made for _, made in logits])
            self._refuse_nan({"discriminator": loss}, number, saved_in)
            self.d_optimiser.zero_grad(set_to_none=True)
            self.fabric.backward(loss)
            self.d_optimiser.step()
            terms["discriminator"] = loss
        made = Translation(translation.image.detach(), tuple(warp.detach() for warp in translation.warps))
        return {name: term.detach() for name, term in terms.items()}, made

    def leave_processes(self) -> None:
        """Tear down in an order that cannot hang.

        DistributedDataParallel's reducer must go before the process group: if it holds the last reference, it joins the group's
        threads while holding the lock that one of them waits for.
        """
        self.wrapped = self.d_wrapped = None
        gc.collect()
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        return [self.optimiser, self.d_optimiser] if self.adversarial else [self.optimiser]

    def _noise_like(self, mask: Tensor) -> Tensor:
        """Gaussian noise in place of the masks (App. E), drawn for the whole batch and cut, so that processes share one stream."""
        world, rank = self.fabric.world_size, self.fabric.global_rank
        noise = torch.randn((mask.shape[0] * world, *mask.shape[1:]), generator=self.noise)
        return noise.chunk(world)[rank].to(mask.device)

    def _refuse_nan(self, terms: dict[str, Tensor], number: int, saved_in: Path) -> None:
        bad = {name: float(term.detach()) for name, term in terms.items() if not torch.isfinite(term.detach()).all()}
        if bad:
            self.healthy = False
            good = last_checkpoint(saved_in)
            raise DivergedError(
                f"step {number}: the loss term {', '.join(f'{name} is {value}' for name, value in bad.items())}; nothing of this "
                f"step was kept, the last good checkpoint is {good or 'none yet'}. Lower the learning rate or the weight of that "
                "term, and start again in a new folder"
            )

    def save(self, run: Path, number: int) -> None:
        if self.fabric.is_global_zero:
            optimiser, groups = flatten_optimiser("optimiser", self.optimiser.state_dict())
            training = {**optimiser, "noise": self.noise.get_state()}
            about = {"model": "cocosnet", "config": self.recipe.model.to_dict(), "recipe": self.recipe.describe(), "step": number}
            about["optimiser"] = groups
            if self.adversarial:
                d_optimiser, about["d_optimiser"] = flatten_optimiser("d_optimiser", self.d_optimiser.state_dict())
                training |= d_optimiser
                training |= {f"discriminator.{name}": t for name, t in self.discriminator.state_dict().items()}
            write_checkpoint(run / f"step-{number:08d}", about, self.model.state_dict(), training)
            forget_old_checkpoints(run)
        self.fabric.barrier()

    def resume(self, run: Path) -> int:
        """Take up the last checkpoint of `run`; the number of steps done so far."""
        folder = last_checkpoint(run)
        if folder is None:
            return 0
        checkpoint = read_checkpoint(folder)
        _refuse_other_recipe(checkpoint.about["recipe"], self.recipe, run)
        self.model.load_state_dict(checkpoint.model)
        training = checkpoint.training
        self.noise.set_state(training["noise"])
        self.optimiser.load_state_dict(unflatten_optimiser("optimiser", training, checkpoint.about["optimiser"]))
        if self.adversarial:
            prefix = "discriminator."
            weights = {name.removeprefix(prefix): t for name, t in training.items() if name.startswith(prefix)}
            self.discriminator.load_state_dict(weights)
            self.d_optimiser.load_state_dict(unflatten_optimiser("d_optimiser", training, checkpoint.about["d_optimiser"]))
        return checkpoint.about["step"]


def _refuse_other_recipe(found: dict, recipe: Recipe, run: Path) -> None:
    wanted = recipe.describe()
    different = [name for name in wanted if found.get(name) != wanted[name] and name not in ("save_every", "notes", "validation")]
    if different:
        raise ValueError(
            f"{run} holds a run of another recipe: {', '.join(f'{n} was {found.get(n)}, is {wanted[n]}' for n in different)}; "
            "choose another folder, or delete this one"
        )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Initial weights from `seed`, leaving the caller's random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
