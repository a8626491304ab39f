"""The training loop: a generator of steps. The notebook plots them, the command line prints them, `break` stops it.

What happens at a step depends on the recipe and the step number alone. A run that was killed at any moment and started again
goes on from its last whole checkpoint and ends with the weights it would have had; processes that share a batch each take
their part of it.
"""

import ctypes
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from exemplar_lab.data.prepared import PreparedPairs
from exemplar_lab.training.feature_objective import Views
from exemplar_lab.training.feature_recipe import FeatureRecipe
from exemplar_lab.training.feature_state import FeatureState
from exemplar_lab.training.log import StepLog
from exemplar_lab.training.recipe import Recipe
from exemplar_lab.training.state import TrainingState
from exemplar_lab.translation import Batch, Translation


@dataclass(frozen=True)
class Step:
    """One step, done: its number (from 1), the loss terms, the seconds, what went in, and what came out, if anything."""

    number: int
    of: int
    terms: dict[str, float]
    seconds: float
    batch: Batch | dict[str, Views]
    translation: Translation | None


def make_fabric(accelerator: str = "auto") -> Fabric:
    """One process on CUDA if there is any, else on the CPU; under `torchrun`, all its processes with DistributedDataParallel.

    Apple's GPUs are passed over: they know no float64, which the procedural world is counted in. Raises ValueError for CUDA
    where there is none.
    """
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    elif accelerator == "cuda" and not torch.cuda.is_available():
        raise ValueError("got the device cuda, but torch sees no CUDA GPU here: use --device cpu")
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world == 1:
        return Fabric(accelerator=accelerator, devices=1)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    # MSCA's decoders are used only while it is pretrained. Buffers are equal in all processes as they are, and some are large.
    strategy = DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
    fabric = Fabric(accelerator=accelerator, devices=local, num_nodes=world // local, strategy=strategy)
    fabric.launch()
    return fabric


def train(recipe: Recipe | FeatureRecipe, run: Path, fabric: Fabric | None = None) -> Iterator[Step]:
    """Train `recipe` into the folder `run`, yielding every step; goes on from the last checkpoint found there.

    Writes run/log.csv (a line per step) and run/step-XXXXXXXX/ every `recipe.save_every` steps, at the end, and when the caller
    stops. A finished run yields nothing. Raises ValueError when the folder holds a run of another recipe, DivergedError on a
    NaN loss.
    """
    run = Path(run)
    fabric = fabric or make_fabric()
    if fabric.device.type == "cpu":
        _keep_heap()
    state = FeatureState(recipe, fabric) if isinstance(recipe, FeatureRecipe) else TrainingState(recipe, fabric)
    done = state.resume(run)
    log = StepLog(run, done) if fabric.is_global_zero else None
    saved = done
    numbers = range(done + 1, recipe.steps + 1)
    batches = (_one_ahead if _reads_files(recipe) else map)(state.batch, numbers)
    try:
        for number in numbers:
            start = time.perf_counter()
            batch = next(batches)
            values, translation = state.step(batch, number, saved_in=run)
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
        if done > saved and state.whole:
            state.save(run, done)
        if fabric.world_size > 1:
            state.leave_processes()


def _reads_files(recipe: Recipe | FeatureRecipe) -> bool:
    return isinstance(getattr(recipe, "source", None), PreparedPairs)


def _one_ahead(make: Callable[[int], Batch], numbers: Iterable[int]) -> Generator[Batch, None, None]:
    """`make` of each number; while one is used the next is made in another thread, which decodes files meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        coming = deque()
        for number in numbers:
            coming.append(pool.submit(make, number))
            if len(coming) > 1:
                yield coming.popleft().result()
        for last in coming:
            yield last.result()


def _keep_heap() -> None:
    """Tell glibc to keep freed memory: by default it gives large blocks back and pays for them anew, a sixth of each step."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        trim_threshold, top_pad, mmap_max = -1, -2, -4
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**26)
