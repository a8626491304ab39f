"""Recipes of MATEBIT: each docstring says the command, how long it takes and what comes out, as measured."""

from dataclasses import replace
from pathlib import Path

from exemplar_lab.data.photos import Photographs
from exemplar_lab.data.synth.faces import Faces
from exemplar_lab.data.synth.paintings import Paintings
from exemplar_lab.data.synth.people import People
from exemplar_lab.data.synth.scenes import Scenes
from exemplar_lab.models.matebit import MATEBITConfig
from exemplar_lab.training.recipe import Recipe
from exemplar_lab.training.recipes.defaults import (
    COPIES,
    DRAWN,
    LAB_FEATURE_WEIGHTS,
    data_name,
    one_of,
    prepared_pairs,
    run_name,
    with_truth,
)
from exemplar_lab.translation import Source

MATEBIT = {
    "smoke": MATEBITConfig(
        size=32, widths=(8, 16), encoder_blocks=1, decoder_blocks=1, blocks=2, style_hidden=8, style=8, queue=16
    ),
    "small": MATEBITConfig(size=32, widths=(32, 64), encoder_blocks=1, decoder_blocks=2, style_hidden=24, style=32, queue=256),
    "cpu": MATEBITConfig(size=64, widths=(32, 64), encoder_blocks=2, decoder_blocks=2, style_hidden=24, style=64, queue=256),
    "gpu": MATEBITConfig(size=128, widths=(48, 96, 192), encoder_blocks=2, decoder_blocks=2, style_hidden=64, style=128),
    "paper": MATEBITConfig(),
}
"""The model of each profile. smoke: seconds, to see that it runs; small: two minutes, for tables over many runs, match on 16²;
cpu: a laptop, match on 32²; gpu: one large GPU, match on 32²; paper: 256², match on 32². Of the last the paper prints neither λ
nor steps nor batch; its losses look through VGG-19 and HED with `--features vgg19 --edges hed` only."""

MATEBIT_VARIANTS = {
    "full": {},
    "without-mat": {"blocks": 0},
    "without-relu": {"matching": "unmasked"},
    "full-correspondence": {"matching": "full"},
    "feed-forward": {"augmentation": "feed-forward"},
    "without-style-loss": {},
    "exemplars-loss": {},
    "cast-loss": {},
    "without-structure-loss": {},
    "without-skips": {"skips": False},
    "without-global-style": {"global_style": False},
    "one-block": {"blocks": 1},
    "two-blocks": {"blocks": 2},
    "four-blocks": {"blocks": 4},
    "printed": {"form": "printed"},
    "mass": {"form": "mass"},
}
"""The rows of Table 2, the released code's choice of negatives, the blocks of Fig. 7, and the forms of Eq. (3) and (5). With a
few photographs, exemplars-loss and cast-loss hold other crops of the same photograph against an image."""

_WEIGHTS = {
    "style": 0.3, "align": 1.0, "corr": 10.0, "str": 1.0, "perc": 1.0, "context": 0.1, "adv": 0.005, "feat": 3.0, "pixel": 15.0,
}  # fmt: skip
"""λ of Eq. (14); the paper prints none. The last two terms are not the paper's: with relu4_2 and the contextual loss alone the
images of a short training stay grey. "adv" is small because in minutes a discriminator learns more than a generator."""

_SMALL_RUN = {
    "weights": _WEIGHTS,
    "batch_size": 8,
    "features": "lab",
    "feature_weights": LAB_FEATURE_WEIGHTS,
    "learning_rate": 1e-3,
    "discriminator_learning_rate": 2e-4,
    "betas": (0.5, 0.999),
    "discriminator_width": 16,
    "discriminator_layers": 3,
    "discriminator_scales": 1,
    "decay_from": 0.4,
    "longest_gradient": 5.0,
    "pseudo": 0.3,
}
_RUN = {
    "smoke": _SMALL_RUN | {"steps": 12, "batch_size": 4, "save_every": 6, "discriminator_width": 8},
    "small": _SMALL_RUN | {"steps": 150},
    "cpu": _SMALL_RUN | {"steps": 500, "weights": _WEIGHTS | {"pixel": 30.0}},
    "gpu": _SMALL_RUN | {"steps": 4000, "batch_size": 32, "save_every": 500, "discriminator_width": 64},
    "paper": {"steps": 300_000, "batch_size": 32, "save_every": 2000, "decay_from": 0.5, "pseudo": 1.0}
    | {"weights": {"style": 1.0, "align": 10.0, "corr": 100.0, "str": 1.0, "perc": 1.0, "context": 1.0, "adv": 1.0}},
}


def matebit_faces(profile: str = "cpu", seed: int = 0, variant: str = "full") -> Recipe:
    """MATEBIT from landmarks and edges to procedural portraits of the medium tier, occluders included.

    exemplar-lab train matebit --data faces

    cpu, as measured: 500 steps in 14 minutes on one core of a busy machine. 256 validation pairs: PCK@0.1 0.348 ± 0.020 (copy
    0.266, nearest label 0.424; CoCosNet 0.251), end-point error from block to block 13.5, 12.9, 11.1 px, warp L1 0.537 ± 0.021
    × that of copying (oracle 0.488). Its style code finds the exemplar of an image among 32 in about half of the cases, not in
    the 0.8 that were hoped for: nothing in Eq. (7) holds one exemplar against another. gpu and paper: never run.
    """
    return _matebit("faces", Faces(size=_model(profile).size, truth=False), profile, seed, variant)


def matebit_people(profile: str = "cpu", seed: int = 0, variant: str = "full") -> Recipe:
    """MATEBIT from poses to procedural people. exemplar-lab train matebit --data people. Never measured."""
    return _matebit("people", People(size=_model(profile).size, truth=False), profile, seed, variant)


def matebit_scenes(profile: str = "cpu", seed: int = 0, variant: str = "full") -> Recipe:
    """MATEBIT from labels to procedural landscapes. exemplar-lab train matebit --data scenes. Never measured."""
    return _matebit("scenes", Scenes(size=_model(profile).size, truth=False), profile, seed, variant)


def matebit_paintings(profile: str = "cpu", seed: int = 0, variant: str = "full") -> Recipe:
    """MATEBIT from a photograph to a painting, by the same hand as the exemplar.

    exemplar-lab train matebit --data paintings

    cpu, as measured: 500 steps in 14 minutes on one core of a busy machine; tones and media are taken over, single strokes are
    not. The exemplar's photograph is not asked for, so that any painting can be one. gpu and paper: never run.
    """
    source = Paintings(size=_model(profile).size, truth=False)
    return _matebit("paintings", source, profile, seed, variant, sees_condition=False)


def matebit_photos(profile: str = "cpu", seed: int = 0, variant: str = "full", folder: str | None = None) -> Recipe:
    """MATEBIT from edges to photographs, the exemplar a bent copy. exemplar-lab train matebit --data photos. Never measured."""
    source = Photographs(size=_model(profile).size, folder=folder)
    return _matebit("photos" if folder is None else Path(folder).resolve().name, source, profile, seed, variant)


def matebit_prepared(profile: str = "cpu", seed: int = 0, variant: str = "full", folder: str = "") -> Recipe:
    """MATEBIT on a folder of real images that `exemplar-lab prepare` went through. Never measured.

    exemplar-lab prepare FOLDER --task edges --soft
    exemplar-lab train matebit --data FOLDER
    """
    source = prepared_pairs(folder, _model(profile).size, DRAWN)
    return replace(_matebit(data_name(source), source, profile, seed, variant), pseudo=COPIES)


def _model(profile: str) -> MATEBITConfig:
    return MATEBIT[one_of(MATEBIT, "profile", profile)]


def _matebit(data: str, source: Source, profile: str, seed: int, variant: str, sees_condition: bool = True) -> Recipe:
    """sees_condition: whether E_B sees the exemplar's structure.

    Both that and the colours in the values are for short trainings, measured at 32² after 200 to 250 steps, one run each: with
    the structure PCK@0.1 is 0.27 (0.19 without), with the colours the perceptual distance 0.51 (0.56).
    """
    settings = MATEBIT_VARIANTS[one_of(MATEBIT_VARIANTS, "variant", variant)]
    run = dict(_RUN[profile])
    weights = dict(run.pop("weights"))
    match variant:
        case "without-style-loss":
            weights["style"] = 0.0
        case "exemplars-loss":
            weights["style_exemplars"] = weights.pop("style")
        case "cast-loss":
            weights["style_cast"] = weights.pop("style")
        case "without-structure-loss":
            weights["str"] = 0.0
        case "without-mat":
            weights["corr"] = 0.0
    pseudo = run.pop("pseudo")
    return Recipe(
        name=run_name("matebit", data, profile, variant, seed),
        model=replace(
            _model(profile),
            condition_channels=source.condition_channels,
            exemplar_sees_condition=sees_condition and profile != "paper",
            values_see_colours=profile != "paper",
            **settings,
        ),
        source=source,
        validation=with_truth(replace(source, split="val")),
        weights=weights,
        pseudo=0.0 if isinstance(source, Photographs) else pseudo,
        seed=seed,
        **run,
    )


MATEBIT_DATA = {
    "people": matebit_people,
    "faces": matebit_faces,
    "scenes": matebit_scenes,
    "paintings": matebit_paintings,
    "photos": matebit_photos,
}
"""What `--data` names, apart from a folder."""
