"""What changes during a run: networks, optimisers, noise. One step of it, and its way to the disk and back."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from math import isfinite
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from exemplar_lab.losses.total import total_loss
from exemplar_lab.models import MODELS, name_of
from exemplar_lab.models.cocosnet import CoCosNetConfig
from exemplar_lab.models.matebit import MATEBITConfig
from exemplar_lab.models.msca import MSCAConfig
from exemplar_lab.nn.discriminator import PatchDiscriminator
from exemplar_lab.nn.edges import edge_network
from exemplar_lab.nn.features import features
from exemplar_lab.training.checkpoint import (
    flatten_optimiser,
    forget_old_checkpoints,
    last_checkpoint,
    read_checkpoint,
    unflatten_optimiser,
    write_checkpoint,
)
from exemplar_lab.training.feature_recipe import FeatureRecipe
from exemplar_lab.training.objective import (
    ONE_TASK,
    STYLE_TERMS,
    Tasks,
    cocosnet_terms,
    discriminator_channels,
    discriminator_loss,
    dynast_terms,
    matebit_terms,
    msca_terms,
    pretraining_terms,
)
from exemplar_lab.training.recipe import Recipe
from exemplar_lab.training.samples import local_batch
from exemplar_lab.translation import Batch, Translation


class DivergedError(ValueError):
    """A loss became NaN or infinite; the message names the step, the term and the last good checkpoint."""


class TrainingState:
    """Networks, optimisers and noise of one run."""

    def __init__(self, recipe: Recipe, fabric: Fabric):
        if getattr(recipe.model, "norm", None) == "batch" and fabric.world_size > 1:
            raise ValueError(
                f"got batch normalisation in {fabric.world_size} processes, whose statistics would differ from those of one: "
                "train this variant in one process"
            )
        _check_schedule(recipe)
        self.recipe, self.fabric = recipe, fabric
        self.whole = True
        """False while a step is under way: what is then in memory belongs to no step and must not be saved."""
        with seeded(recipe.seed):
            self.model = fabric.to_device(MODELS[name_of(recipe.model)][0](recipe.model))
            sizes = (recipe.discriminator_width, recipe.discriminator_layers, recipe.discriminator_scales)
            self.discriminator = fabric.to_device(PatchDiscriminator(discriminator_channels(recipe.model), *sizes))
        self.noise = torch.Generator().manual_seed(recipe.seed)
        self.features = features(recipe.features).to(fabric.device)
        self.edges = edge_network(recipe.edges).to(fabric.device) if recipe.weights.get("str") else None
        learning_rate, discriminator_learning_rate = recipe.learning_rates(0)
        self.optimiser = torch.optim.Adam(self.model.parameters(), learning_rate, betas=recipe.betas)
        self.d_wrapped = None
        self.wrapped, self.optimiser = self._set_up(self.model, self.optimiser)
        self.adversarial = bool(recipe.weights.get("adv"))
        if self.adversarial:
            self.d_optimiser = torch.optim.Adam(
                self.discriminator.parameters(), discriminator_learning_rate, betas=recipe.betas
            )
            self.d_wrapped, self.d_optimiser = self._set_up(self.discriminator, self.d_optimiser)

    def _set_up(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """On the device, and wrapped for several processes where there are several.

        `Fabric.setup` would wrap the output as well, and refuses a frozen record there.
        """
        return self.fabric.strategy.setup_module(module), self.fabric.setup_optimizers(optimiser)

    def batch(self, number: int) -> Batch:
        """What step `number` trains on."""
        return local_batch(self.recipe, number, self.fabric.global_rank, self.fabric.world_size, self.fabric.device)

    def step(self, batch: Batch, number: int, saved_in: Path) -> tuple[dict[str, float], Translation]:
        """One alternating step: the translation network against a frozen discriminator, then the discriminator.

        The terms that come back are means over all processes.
        """
        self.whole = False
        for optimiser, rate in zip(self._optimisers(), self.recipe.learning_rates(number - 1), strict=False):
            for group in optimiser.param_groups:
                group["lr"] = rate
        weights = dict(self.recipe.weights)
        self.discriminator.requires_grad_(False)
        pretraining = self.recipe.patches is not None and number <= self.recipe.patches.pretraining
        if pretraining or number % self.recipe.generator_every == 0:
            translation, values = self._improve(batch, number, weights, saved_in)
        else:
            with torch.no_grad():
                translation, values = self.wrapped(*_inputs(batch), record=False), {}
        self.discriminator.requires_grad_(True)
        if self.adversarial and not pretraining:
            image, tasks = translation.image.detach(), self._tasks(batch, number)
            loss = discriminator_loss(self.recipe.model, self.d_wrapped, batch, image, tasks)
            values |= finite_values({"discriminator": loss}, number, saved_in, self.fabric)
            self.d_optimiser.zero_grad(set_to_none=True)
            self.fabric.backward(loss)
            self.d_optimiser.step()
        self.whole = True
        made = Translation(translation.image.detach(), tuple(warp.detach() for warp in translation.warps))
        return values, made

    def _improve(
        self, batch: Batch, number: int, weights: dict[str, float], saved_in: Path
    ) -> tuple[Translation, dict[str, float]]:
        """One step of the translation network."""
        of_model = {CoCosNetConfig: self._cocosnet, MATEBITConfig: self._matebit, MSCAConfig: self._msca}
        translation, terms = of_model.get(type(self.recipe.model), self._dynast)(batch, number, weights)
        values = finite_values(terms, number, saved_in, self.fabric)
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(total_loss(terms, weights))
        if self.recipe.longest_gradient is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.longest_gradient)
        self.optimiser.step()
        return translation, values

    def _cocosnet(self, batch: Batch, number: int, weights: dict[str, float]) -> tuple[Translation, dict[str, Tensor]]:
        exemplar_mask, target_mask = batch.exemplar_condition, batch.condition
        warm_up = self.recipe.warm_up_steps
        if self.recipe.model.exemplar_sees_condition and warm_up is not None and number > warm_up:
            weights["mask"] = 0.0
            exemplar_mask, target_mask = self._noise_like(exemplar_mask), self._noise_like(target_mask)
        translation = self.wrapped(batch.condition, batch.exemplar, exemplar_mask, record=False)
        bare = (self.model, self.discriminator, self.features)
        return translation, cocosnet_terms(*bare, batch, translation, weights, self.recipe.feature_weights, target_mask)

    def _dynast(self, batch: Batch, number: int, weights: dict[str, float]) -> tuple[Translation, dict[str, Tensor]]:
        translation = self.wrapped(*_inputs(batch), record=False)
        bare = (self.discriminator, self.features)
        return translation, dynast_terms(*bare, batch, translation, weights, self.recipe.feature_weights)

    def _matebit(self, batch: Batch, number: int, weights: dict[str, float]) -> tuple[Translation, dict[str, Tensor]]:
        """With the codes of this step pushed: early generations until the queue is full, or exemplars, the newest of them.

        What is held against an image was pushed before, so that none is held against itself.
        """
        translation = self.wrapped(*_inputs(batch), record=False)
        named = next((name for name in STYLE_TERMS if weights.get(name)), None)
        made_style = None if named is None else self.model.style_code(translation.image, batch.condition)
        bare = (self.model, self.discriminator, self.features, self.edges)
        terms = matebit_terms(*bare, batch, translation, weights, self.recipe.feature_weights, made_style)
        if named is not None:
            codes = made_style if named == "style" else translation.features["style"]
            everyone = self.fabric.all_gather(codes.detach()).flatten(0, -2)
            self.model.queue.push(everyone, early=named == "style")
        return translation, terms

    def _msca(self, batch: Batch, number: int, weights: dict[str, float]) -> tuple[Translation, dict[str, Tensor]]:
        """The attention and its decoders alone while they are pretrained, and everything but the decoders afterwards."""
        patches, looks = self.recipe.patches, self.recipe.feature_weights
        if number <= patches.pretraining:
            weights.update({name: 0.0 for name in weights if name != "decoded"})
            translation = self.wrapped(*_inputs(batch), record=False, synthesise=False)
            return translation, pretraining_terms(self.model, batch, translation, looks)
        weights["decoded"] = 0.0
        translation = self.wrapped(*_inputs(batch), record=False)
        bare, tasks = (self.discriminator, self.features), self._tasks(batch, number)
        return translation, msca_terms(*bare, batch, translation.image, tasks, weights, looks)

    def _tasks(self, batch: Batch, number: int) -> Tasks:
        """Patches, and after them whole canvases, where the recipe has such."""
        patches = self.recipe.patches
        if patches is None or not patches.enlarged(number):
            return ONE_TASK
        half = len(batch) // 2
        return ((slice(half), 1.0), (slice(half, None), patches.whole))

    def leave_processes(self) -> None:
        """Tear down in an order that cannot hang.

        DistributedDataParallel's reducer must go before the process group: if it holds the last reference, it joins the group's
        threads while holding the lock that one of them waits for.
        """
        self.wrapped = self.d_wrapped = None
        gc.collect()
        if torch.distributed.is_initialized():
            if self.whole:  # else this process failed, and the others may be waiting elsewhere
                torch.distributed.barrier()
            torch.distributed.destroy_process_group()

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        return [self.optimiser, self.d_optimiser] if self.adversarial else [self.optimiser]

    def _noise_like(self, mask: Tensor) -> Tensor:
        """Gaussian noise in place of the masks (App. E), drawn for the whole batch and cut: processes share one stream."""
        world, rank = self.fabric.world_size, self.fabric.global_rank
        noise = torch.randn((mask.shape[0] * world, *mask.shape[1:]), generator=self.noise)
        return noise.chunk(world)[rank].to(mask.device)

    def save(self, run: Path, number: int) -> None:
        if self.fabric.is_global_zero:
            optimiser, groups = flatten_optimiser("optimiser", self.optimiser.state_dict())
            training = {**optimiser, "noise": self.noise.get_state()}
            about = {
                "model": name_of(self.recipe.model),
                "config": self.recipe.model.to_dict(),
                "recipe": self.recipe.describe(),
                "features": self.features.name,
                "step": number,
            }
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
        refuse_other_recipe(checkpoint.about["recipe"], self.recipe, run)
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


def _check_schedule(recipe: Recipe) -> None:
    """ValueError at once for what would otherwise stop a run hours later."""
    if recipe.generator_every < 1:
        raise ValueError(
            f"got generator_every {recipe.generator_every}, expected at least 1: update the generator at some steps"
        )
    if not isinstance(recipe.model, MSCAConfig):
        return
    if recipe.patches is None:
        raise ValueError("got a recipe of MSCA without patches, expected training.patches.Patches: say what is trained when")
    size, canvas, patch = recipe.model.size, recipe.source.size, recipe.patches.patch
    if canvas < 2 * size or not size <= (patch or size) <= canvas:
        raise ValueError(
            f"got canvases of {canvas} and large patches of {patch} for images of {size}, expected canvases of at least "
            f"{2 * size} and patches of {size} to the side of the canvas"
        )


def _inputs(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """What every model is given."""
    return batch.condition, batch.exemplar, batch.exemplar_condition


def finite_values(terms: dict[str, Tensor], number: int, saved_in: Path, fabric: Fabric) -> dict[str, float]:
    """The terms as numbers, averaged over all processes, so that all of them stop when one meets a NaN.

    Raises DivergedError for a NaN or an infinite term.
    """
    mean = fabric.all_reduce(torch.stack([term.detach() for term in terms.values()]))
    values = dict(zip(terms, mean.tolist(), strict=True))
    if bad := {name: value for name, value in values.items() if not isfinite(value)}:
        good = last_checkpoint(saved_in)
        raise DivergedError(
            f"step {number}: the loss term {', '.join(f'{name} is {value}' for name, value in bad.items())}; nothing of "
            f"this step was kept, the last good checkpoint is {good or 'none yet'}. Lower the learning rate or the weight "
            "of that term, and start again in a new folder"
        )
    return values


def refuse_other_recipe(found: dict, recipe: Recipe | FeatureRecipe, run: Path) -> None:
    """ValueError unless a run's recipe says what this one says; how often it saves may differ."""
    wanted = recipe.describe()
    since = {
        one.name: one.default for one in fields(recipe)
    }  # what a run does not say, it did in the way it still is by default
    different = [
        name for name in wanted if found.get(name, since.get(name)) != wanted[name] and name not in ("save_every", "validation")
    ]
    if different:
        raise ValueError(
            f"{run} holds a run of another recipe: {', '.join(f'{n} was {found.get(n)}, is {wanted[n]}' for n in different)}; "
            "choose another folder, or delete this one"
        )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Initial weights from `seed`, leaving the caller's random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
