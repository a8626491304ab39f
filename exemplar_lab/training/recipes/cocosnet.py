"""Recipes of CoCosNet: each docstring says the command, how long it takes and what comes out, as measured."""

from dataclasses import replace
from pathlib import Path

from exemplar_lab.data.photos import Photographs
from exemplar_lab.data.synth.dials import TIERS
from exemplar_lab.data.synth.faces import Faces
from exemplar_lab.data.synth.paintings import Paintings
from exemplar_lab.data.synth.people import People
from exemplar_lab.data.synth.scenes import Scenes
from exemplar_lab.models.cocosnet import CoCosNetConfig
from exemplar_lab.training.recipe import Recipe
from exemplar_lab.training.recipes.defaults import (
    COPIES,
    DRAWN,
    FIXED_FEATURE_WEIGHTS,
    IN_THE_OPEN,
    data_name,
    one_of,
    prepared_pairs,
    run_name,
    with_truth,
)
from exemplar_lab.translation import Source

COCOSNET = {
    "smoke": CoCosNetConfig(
        size=32,
        adaptor_convolutions=((16, 2),),
        adaptor_blocks=(16,),
        shared_blocks=1,
        match_channels=16,
        generator_blocks=((16, False), (16, True), (8, True)),
        nonlocal_after=None,
        style_hidden=8,
    ),
    "cpu": CoCosNetConfig(
        size=64,
        adaptor_convolutions=((32, 2), (64, 1)),
        adaptor_blocks=(64,),
        shared_blocks=2,
        match_channels=64,
        generator_blocks=((64, False), (64, True), (48, True), (32, True)),
        nonlocal_after=None,
        style_hidden=24,
    ),
    "gpu": CoCosNetConfig(
        size=128,
        adaptor_convolutions=((64, 1), (128, 2), (128, 1)),
        adaptor_blocks=(128, 128),
        shared_blocks=4,
        match_channels=128,
        generator_blocks=((256, False), (256, True), (256, True), (128, True), (64, True)),
        nonlocal_after=4,
        style_hidden=64,
    ),
    "paper": CoCosNetConfig(),
}
"""The model of each profile. smoke: seconds, to see that it runs; cpu: a laptop; gpu: one large GPU; paper: 256², Table 5."""

VARIANTS = ("full", "without-domain", "without-cycle", "batch-norm", "spatial-centring", "occluded")
"""The paper's own comparisons: Fig. 9 takes away the domain loss or the cycle term, Fig. 18 has batch for positional
normalisation, Fig. 19 centres features over space and not over channels. "occluded": people of the
medium tier with its occluders, 1000 steps, which took 1065 s beside 869 s for the 700 of DynaST."""

_WEIGHTS = {"feat": 2.0, "perc": 0.1, "context": 0.01, "adv": 0.02, "domain": 3.0, "reg": 1.0, "warp": 50.0}
"""ψ of Eq. (14); the paper prints none. With the small fixed features these keep the image terms from blurring the match;
"warp", from the released code, weighs most, as it does there (100 on DeepFashion)."""

_SMALL_RUN = {
    "batch_size": 8,
    "feature_weights": FIXED_FEATURE_WEIGHTS,
    "learning_rate": 2e-3,
    "discriminator_learning_rate": 5e-4,
    "discriminator_width": 32,
    "discriminator_layers": 3,
    "discriminator_scales": 1,
    "decay_from": 0.4,
}
_RUN = {
    "smoke": _SMALL_RUN | {"steps": 12, "batch_size": 4, "save_every": 6, "discriminator_width": 8},
    "cpu": _SMALL_RUN | {"steps": 400},
    "gpu": _SMALL_RUN | {"steps": 4000, "batch_size": 32, "save_every": 500, "discriminator_width": 64},
    "paper": {"steps": 300_000, "batch_size": 32, "save_every": 2000, "decay_from": 0.5},
}


def cocosnet_people(profile: str = "cpu", seed: int = 0, variant: str = "full") -> Recipe:
    """CoCosNet from poses to procedural people: the exemplar is the same person in another pose, or a distorted copy (30 %).

    exemplar-lab train cocosnet --data people

    cpu, as measured: 400 steps in about 190 s on two cores. 256 validation pairs: PCK@0.1 0.729 ± 0.028 (copy 0.453, random
    0.032), PCK@0.05 0.489, warp L1 0.503 × that of copying (oracle 0.441), image L1 0.032, SSIM 0.801. gpu and paper: never
    run.
    """
    tier = TIERS["medium"] if variant == "occluded" else IN_THE_OPEN
    people = People(size=_model(profile).size, tier=tier, truth=False)
    recipe = _cocosnet("people", people, profile, seed, variant, pseudo=0.3)
    return replace(recipe, steps=recipe.steps * 5 // 2) if variant == "occluded" else recipe


def cocosnet_faces(profile: str = "cpu", seed: int = 0, variant: str = "full") -> Recipe:
    """CoCosNet from landmarks and edges to procedural faces: the same person with another pose and expression.

    exemplar-lab train cocosnet --data faces

    cpu, as measured: 400 steps in about 7 minutes on one core. 256 validation pairs of the medium tier, occluders included:
    PCK@0.1 0.251 ± 0.017, below copying (0.266; random 0.031), warp L1 0.608 × that of copying (oracle 0.488): so short a
    training among occluders finds colours, not places.
    """
    return _cocosnet("faces", Faces(size=_model(profile).size, truth=False), profile, seed, variant, pseudo=0.3)


def cocosnet_scenes(profile: str = "cpu", seed: int = 0, variant: str = "full") -> Recipe:
    """CoCosNet from labels to procedural landscapes: the same land from another place, the target in the exemplar's style.

    exemplar-lab train cocosnet --data scenes

    cpu, as measured: 400 steps in about 5 minutes on one core. 256 validation pairs of the medium tier: PCK@0.1 0.286 ± 0.013
    (copy 0.254, random 0.031: sky and meadow look alike everywhere), warp L1 0.531 × that of copying (oracle 0.317).
    """
    return _cocosnet("scenes", Scenes(size=_model(profile).size, truth=False), profile, seed, variant, pseudo=0.3)


def cocosnet_paintings(profile: str = "cpu", seed: int = 0, variant: str = "full") -> Recipe:
    """CoCosNet from a photograph to a painting: the same land painted from another place lends its hand.

    exemplar-lab train cocosnet --data paintings

    cpu, as measured: 400 steps in about 6 minutes on one core. 256 validation pairs of the medium tier: PCK@0.1 0.325 ± 0.016
    (copy 0.254, random 0.031), warp L1 0.458 × that of copying; the oracle has 0.575, because strokes do not follow the flow
    and a blurred warp errs less than a sharp one.
    """
    return _cocosnet("paintings", Paintings(size=_model(profile).size, truth=False), profile, seed, variant, pseudo=0.3)


def cocosnet_photos(profile: str = "cpu", seed: int = 0, variant: str = "full", folder: str | None = None) -> Recipe:
    """CoCosNet from edges to photographs: the exemplar is a distorted copy, mirrored half of the time.

    exemplar-lab train cocosnet --data photos

    The exemplar's adaptor sees the exemplar's own edges, and the softmax is warmer than the paper's 0.01: with neither, PCK@0.1
    was 0.09 after 200 steps, below copying. cpu, as measured on two cores: 400 steps in 169 s; 256 pairs from photographs held
    out: PCK@0.1 0.468 ± 0.014 (copy 0.366, random 0.030), warp L1 0.720 × that of copying (oracle 0.108). gpu and paper: never
    run.
    """
    source = Photographs(size=_model(profile).size, folder=folder)
    name = "photos" if folder is None else Path(folder).resolve().name
    return _seeing_condition(_cocosnet(name, source, profile, seed, variant, pseudo=0.0))


def cocosnet_prepared(profile: str = "cpu", seed: int = 0, variant: str = "full", folder: str = "") -> Recipe:
    """CoCosNet on a folder of real images that `exemplar-lab prepare` went through.

    exemplar-lab prepare FOLDER --task labels
    exemplar-lab train cocosnet --data FOLDER

    cpu on CamVid (367 photographs), as measured: 400 steps in 361 s on one core of a busy machine. Its 101 validation frames,
    each with the training frame whose labels are most alike: warp L1 0.068 ± 0.001 and 19.6 dB (copy 0.099 and 16.0, nearest
    label 0.084 and 17.8), image 0.077 and 18.8 dB. On distorted copies of these frames, whose flow is exact: PCK@0.1 0.777 ±
    0.015 (copy 0.358), end-point error 5.0 px.
    """
    source = prepared_pairs(folder, _model(profile).size, DRAWN)
    return _seeing_condition(_cocosnet(data_name(source), source, profile, seed, variant, pseudo=COPIES))


def _seeing_condition(recipe: Recipe) -> Recipe:
    """For photographs: the exemplar's adaptor sees the exemplar's own structure, and rows are softer than the paper's."""
    model = replace(recipe.model, exemplar_sees_condition=True, temperature=0.03)
    return replace(recipe, model=model, learning_rate=1e-3, betas=(0.9, 0.999))


def _model(profile: str) -> CoCosNetConfig:
    return COCOSNET[one_of(COCOSNET, "profile", profile)]


def _cocosnet(data: str, source: Source, profile: str, seed: int, variant: str, pseudo: float) -> Recipe:
    one_of(VARIANTS, "variant", variant)
    model = replace(_model(profile), condition_channels=source.condition_channels)
    weights = dict(_WEIGHTS)
    match variant:
        case "without-domain":
            weights["domain"] = 0.0
        case "without-cycle":
            weights["reg"] = 0.0
        case "batch-norm":
            model = replace(model, norm="batch")
        case "spatial-centring":
            model = replace(model, centring="space")
    validation = with_truth(replace(source, split="val"))
    return Recipe(
        name=run_name("cocosnet", data, profile, variant, seed),
        model=model,
        source=source,
        validation=validation,
        weights=weights,
        pseudo=pseudo,
        seed=seed,
        **_RUN[profile],
    )


COCOSNET_DATA = {
    "people": cocosnet_people,
    "faces": cocosnet_faces,
    "scenes": cocosnet_scenes,
    "paintings": cocosnet_paintings,
    "photos": cocosnet_photos,
}
"""What `--data` names, apart from a folder."""
