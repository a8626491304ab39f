"""What the recipes of several models share."""

from collections.abc import Container, Iterable
from dataclasses import replace
from pathlib import Path

from exemplar_lab.data.collection import STRUCTURES
from exemplar_lab.data.prepared import PreparedPairs
from exemplar_lab.data.synth.dials import TIERS
from exemplar_lab.data.synth.world import TASKS
from exemplar_lab.losses.perceptual import FEATURE_WEIGHTS
from exemplar_lab.translation import Source

FIXED_FEATURE_WEIGHTS = {"relu1_2": 1.0, "relu2_2": 1.0, "relu3_2": 1.0, "relu4_2": 0.5, "relu5_2": 0.5}
"""λ of the feature terms for the fixed features, whose deep layers mean little: with VGG's λ the images came out as coloured
noise."""

LAB_FEATURE_WEIGHTS = {"relu1_2": 1.0, "relu2_2": 1.0, "relu3_2": 1.0, "relu4_2": 0.5, "relu5_2": 0.5}
"""λ of the feature terms for the lab features, as for the fixed ones, whose activations are about as large.

Measured with CoCosNet on people (cpu, three seeds each, 128 validation pairs; change against fixed features, Student's 95 %):
warp L1 −0.019 ± 0.004 × that of copying and sliced Wasserstein distance −27 ± 11 (74 → 46), neither of which sees features;
PCK@0.1 +0.003 ± 0.015, SSIM +0.025 ± 0.033; through lab features FD −0.51 ± 0.44, colour +0.041 ± 0.021.
The recipes still default to the fixed features, with which the shipped checkpoints and their ablations were trained."""

LAMBDAS = {"fixed": FIXED_FEATURE_WEIGHTS, "lab": LAB_FEATURE_WEIGHTS, "vgg19": FEATURE_WEIGHTS}
"""λ by the name of the network."""

IN_THE_OPEN = replace(TIERS["medium"], occlusion=(0.0, 0.0))
"""The medium tier with nothing in front of anybody. With its occluders, which hide up to 0.3 of the exemplar, CoCosNet's cpu
profile learnt half as much in the same 400 steps: PCK@0.1 of 0.52 with occluders and 0.54 without, where it reaches 0.74 when
trained in the open (and 0.45 with occluders, which it has then never seen)."""


DRAWN = frozenset(STRUCTURES) - {"photograph"}
"""Structures of which a model makes the image that they were taken from; of style transfer nobody has that image."""

COPIES = 0.5
"""How many of the exemplars that were found for the images of a folder give way to distorted copies of the target: only these
have a right answer."""


def one_of(known: Iterable[str], what: str, got: str) -> str:
    """`got`, or a ValueError that lists what is known."""
    if got not in known:
        raise ValueError(f"got the {what} {got!r}, expected one of {', '.join(known)}")
    return got


def run_name(model: str, data: str, profile: str, variant: str, seed: int) -> str:
    """dynast-people-cpu-without-pruning-seed2; what is as usual is not said."""
    return f"{model}-{data}-{profile}" + (f"-{variant}" if variant != "full" else "") + (f"-seed{seed}" if seed else "")


def prepared_pairs(folder: str | Path, size: int, wanted: Container[str] = STRUCTURES) -> PreparedPairs:
    """The training pairs of a folder that `exemplar-lab prepare` went through, without truth, signed with its digest.

    Raises ValueError where their structure is none of `wanted`.
    """
    source = PreparedPairs(folder, size, truth=False).signed()
    if (got := source.collection.structure) not in wanted:
        kinds = ", ".join(name for name in STRUCTURES if name in wanted)
        raise ValueError(f"got {folder}, prepared with {got} for structure, expected {kinds}: prepare it with another --task")
    return source


def data_name(source: PreparedPairs) -> str:
    """What runs on a prepared folder are called after: the folder of the images."""
    return source.collection.folder.resolve().name


def with_truth(source: Source) -> Source:
    """A source with the truth that it has; photographs always know their flow."""
    return replace(source, truth=True) if isinstance(source, (PreparedPairs, *TASKS.values())) else source
