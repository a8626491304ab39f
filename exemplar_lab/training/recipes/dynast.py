"""Recipes of DynaST: each docstring says the command, how long it takes and what comes out, as measured."""

from dataclasses import replace
from pathlib import Path

from exemplar_lab.data.photos import Photographs
from exemplar_lab.data.synth.faces import Faces
from exemplar_lab.data.synth.paintings import Paintings
from exemplar_lab.data.synth.people import People
from exemplar_lab.data.synth.scenes import Scenes
from exemplar_lab.models.dynast import DynaSTConfig
from exemplar_lab.training.recipe import Recipe
from exemplar_lab.training.recipes.defaults import (
    COPIES,
    DRAWN,
    FIXED_FEATURE_WEIGHTS,
    data_name,
    one_of,
    prepared_pairs,
    run_name,
    with_truth,
)
from exemplar_lab.translation import Source

DYNAST = {
    "smoke": DynaSTConfig(size=32, widths=(16, 16, 8), top_k=2, patches=4, style_hidden=8, tau=30.0),
    "cpu": DynaSTConfig(size=64, widths=(96, 64, 48, 32), patches=16, style_hidden=16, tau=30.0),
    "gpu": DynaSTConfig(size=128, widths=(256, 192, 128, 64, 32), patches=32, style_hidden=32, tau=30.0),
    "paper": DynaSTConfig(),
}
"""The model of each profile. smoke: seconds, to see that it runs; cpu: a laptop, scales 8 → 64; gpu: one large GPU, scales
8 → 128; paper: 256², scales 32 → 256, τ = 100. The short profiles have a softer τ: with 100 the rows are decided before they
have learnt anything. In one short run each of an earlier version, without pruning and in the open, PCK@0.05 after 75 steps was
0.22 with 100, 0.43 with 30 and 0.31 with 10."""

DYNAST_VARIANTS = {
    "full": {},
    "without-pruning": {"pruning": False},
    "without-inner-scale": {"inner_scale": False},
    "one-scale": {"matching_scales": 1},
    "two-scales": {"matching_scales": 2},
    "three-scales": {"matching_scales": 3},
    "once": {"once": True},
    "released-mask": {"released_mask": True},
}
"""The rows of Table 1, whose Ours-32, -64 and -128 match at the coarsest one, two and three of four scales; and the two choices
of the released code: whether equal candidates count once, and which links the matching loss warps with."""

_WEIGHTS = {"pixel": 1.0, "feat": 0.1, "adv": 0.001, "match": 100.0}
"""λ of Eq. (10), (15) for images in [0, 1] and means over all elements: λ_m as printed, and a small λ_adv, since in minutes a
discriminator learns more than a generator; the paper profile has the printed 10."""

_SMALL_RUN = {
    "weights": _WEIGHTS,
    "batch_size": 8,
    "feature_weights": FIXED_FEATURE_WEIGHTS,
    "learning_rate": 1e-3,
    "discriminator_learning_rate": 5e-4,
    "betas": (0.5, 0.999),
    "discriminator_width": 16,
    "discriminator_layers": 3,
    "discriminator_scales": 1,
    "decay_from": 0.4,
    "longest_gradient": 5.0,
}
_RUN = {
    "smoke": _SMALL_RUN | {"steps": 12, "batch_size": 4, "save_every": 6, "discriminator_width": 8},
    "cpu": _SMALL_RUN | {"steps": 700},
    "gpu": _SMALL_RUN | {"steps": 6000, "batch_size": 32, "save_every": 500, "discriminator_width": 64},
    "paper": {"steps": 160_000, "batch_size": 32, "save_every": 2000, "decay_from": 0.8, "learning_rate": 1e-4}
    | {"weights": _WEIGHTS | {"adv": 10.0}},
}


def dynast_people(profile: str = "cpu", seed: int = 0, variant: str = "full") -> Recipe:
    """DynaST from poses to procedural people of the medium tier, occluders included.

    exemplar-lab train dynast --data people

    cpu, as measured: 700 steps in 869 s on one core of a busy machine; 0.66 s a step, 8 minutes, on two quiet ones. 256
    validation pairs: PCK@0.1 0.803 ± 0.016 and PCK@0.05 0.544 ± 0.023 (copy 0.461 and 0.181), end-point error 4.3 px (8.2 for
    CoCosNet, trained on the same people for longer, with PCK@0.05 0.327),
    warp L1 0.549 × that of copying (oracle 0.425), image L1 0.038. It prunes
    nothing: no-match AUROC 0.50, rank correlation of links and count 0.02. Notebook 03 shows why: the losses as printed hardly
    ask for it, and our start, which keeps all links, makes it harder still. gpu and paper: never run.
    """
    return _dynast("people", People(size=_model(profile).size, truth=False), profile, seed, variant)


def dynast_faces(profile: str = "cpu", seed: int = 0, variant: str = "full") -> Recipe:
    """DynaST from landmarks and edges to procedural faces. exemplar-lab train dynast --data faces. Never measured."""
    return _dynast("faces", Faces(size=_model(profile).size, truth=False), profile, seed, variant)


def dynast_scenes(profile: str = "cpu", seed: int = 0, variant: str = "full") -> Recipe:
    """DynaST from labels to procedural landscapes. exemplar-lab train dynast --data scenes. Never measured."""
    return _dynast("scenes", Scenes(size=_model(profile).size, truth=False), profile, seed, variant)


def dynast_paintings(profile: str = "cpu", seed: int = 0, variant: str = "full") -> Recipe:
    """DynaST from a photograph to a painting. exemplar-lab train dynast --data paintings. Never measured."""
    return _dynast("paintings", Paintings(size=_model(profile).size, truth=False), profile, seed, variant)


def dynast_photos(profile: str = "cpu", seed: int = 0, variant: str = "full", folder: str | None = None) -> Recipe:
    """DynaST from edges to photographs, the exemplar a bent copy. exemplar-lab train dynast --data photos. Never measured."""
    source = Photographs(size=_model(profile).size, folder=folder)
    return _dynast("photos" if folder is None else Path(folder).resolve().name, source, profile, seed, variant)


def dynast_prepared(profile: str = "cpu", seed: int = 0, variant: str = "full", folder: str = "") -> Recipe:
    """DynaST on a folder of real images that `exemplar-lab prepare` went through; of contents and styles see `style`.

    exemplar-lab prepare FOLDER --task labels
    exemplar-lab train dynast --data FOLDER

    cpu on CamVid (367 photographs), as measured: 700 steps in 642 s on one core of a busy machine. Its 101 validation frames,
    each with the training frame whose labels are most alike: warp L1 0.070 ± 0.001 and 19.3 dB (copy 0.105 and 15.5, nearest
    label 0.088 and 17.3), image 0.071 and 19.4 dB. On distorted copies of these frames, whose flow is exact: PCK@0.1 0.741 ±
    0.016 (copy 0.359), end-point error 5.3 px. After 150 steps warps of other frames were as good (0.067), images less (0.075).
    """
    source = prepared_pairs(folder, _model(profile).size, DRAWN)
    return replace(_dynast(data_name(source), source, profile, seed, variant), pseudo=COPIES)


def _model(profile: str) -> DynaSTConfig:
    return DYNAST[one_of(DYNAST, "profile", profile)]


def _dynast(data: str, source: Source, profile: str, seed: int, variant: str) -> Recipe:
    settings = dict(DYNAST_VARIANTS[one_of(DYNAST_VARIANTS, "variant", variant)])
    model = replace(_model(profile), condition_channels=source.condition_channels)
    if scales := settings.pop("matching_scales", None):
        settings["finest_match"] = model.sides[min(scales, len(model.sides)) - 1]
    return Recipe(
        name=run_name("dynast", data, profile, variant, seed),
        model=replace(model, **settings),
        source=source,
        validation=with_truth(replace(source, split="val")),
        pseudo=0.0 if isinstance(source, Photographs) else 0.3,
        seed=seed,
        **_RUN[profile],
    )


DYNAST_DATA = {
    "people": dynast_people,
    "faces": dynast_faces,
    "scenes": dynast_scenes,
    "paintings": dynast_paintings,
    "photos": dynast_photos,
}
"""What `--data` names, apart from a folder."""
