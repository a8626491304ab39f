"""Recipes of MSCA: each docstring says the command, how long it takes and what comes out, as measured."""

from dataclasses import replace
from pathlib import Path

from exemplar_lab.data.label_maps import CAMVID, find_pairs, read_names, survey
from exemplar_lab.data.labelled import LabelledPhotographs
from exemplar_lab.data.synth.scenes import Scenes
from exemplar_lab.models.msca import MSCAConfig
from exemplar_lab.training.patches import Patches
from exemplar_lab.training.recipe import Recipe
from exemplar_lab.training.recipes.defaults import LAB_FEATURE_WEIGHTS, data_name, one_of, prepared_pairs, run_name
from exemplar_lab.translation import Source

_NARROW = {
    "exemplar_widths": (16, 32, 48, 64, 64),
    "label_widths": (16, 24, 32, 48, 48),
    "generator_widths": (16, 32, 48, 64, 64),
    "style_hidden": 24,
    "norm": "position",
}
MSCA = {
    "smoke": MSCAConfig(
        size=32, exemplar_widths=(8,) * 5, label_widths=(8,) * 5, generator_widths=(8,) * 5, style_hidden=8, norm="position"
    ),
    "small": MSCAConfig(size=32, **_NARROW),
    "cpu": MSCAConfig(size=64, **_NARROW),
    "gpu": MSCAConfig(
        size=128,
        exemplar_widths=(32, 64, 96, 128, 128),
        label_widths=(32, 48, 64, 96, 96),
        generator_widths=(48, 96, 128, 192, 192),
        style_hidden=64,
        norm="position",
    ),
    "paper": MSCAConfig(),
}
"""The model of each profile. smoke: seconds, to see that it runs; small: a minute or two, for tables over many runs; cpu: a
laptop; gpu: one large GPU; paper: 256². Its F_vgg, and its losses, look through VGG-19 with `--features vgg19` only, and its
batch normalisation wants a single process."""

MSCA_VARIANTS = {
    "full": {},
    "gap": {"attention": "average"},
    "without-attention": {"attention": "labels"},
    "without-masking": {"gated": False},
    "without-global": {},
    "without-pretraining": {},
    "every-fifth": {},
}
"""The rows of Table 1: global average pooling, w/o att, w/o fm, w/o global. And two that the paper does not have: no App. G
(as many other steps), and the generator updated at every fifth step, as the paper prints and the short profiles do not do."""

_WEIGHTS = {"decoded": 1.0, "feat": 2.0, "gan": 0.5, "adv": 0.02, "pixel": 10.0}
"""λ of App. G, and of the terms of Eq. (11). "pixel" is not the paper's. "adv" is small because in minutes a discriminator
learns more than a generator."""

_SMALL_RUN = {
    "weights": _WEIGHTS,
    "batch_size": 4,
    "features": "lab",
    "feature_weights": LAB_FEATURE_WEIGHTS,
    "learning_rate": 2e-3,
    "discriminator_learning_rate": 2e-4,
    "betas": (0.5, 0.999),
    "discriminator_width": 16,
    "discriminator_layers": 3,
    "discriminator_scales": 1,
    "decay_from": 0.5,
}
_RUN = {
    "smoke": _SMALL_RUN | {"stages": (4, 4, 4), "batch_size": 2, "save_every": 6, "discriminator_width": 8},
    "small": _SMALL_RUN | {"stages": (480, 160, 160)},
    "cpu": _SMALL_RUN | {"stages": (1140, 380, 380)},
    "gpu": _SMALL_RUN | {"stages": (2400, 800, 800), "batch_size": 16, "save_every": 500, "discriminator_width": 64},
    "paper": {"stages": (87_000, 87_000, 87_000), "batch_size": 8, "save_every": 5000, "generator_every": 5}
    | {"features": "lab", "decay_from": 1.0}
    | {"weights": {"decoded": 1.0, "feat": 10.0, "gan": 10.0, "adv": 1.0}}
    | {"learning_rate": 2e-4, "discriminator_learning_rate": 2e-4, "betas": (0.9, 0.999)},
}
"""stages: steps of pretraining (App. G), with disjoint patches, and with large ones and the whole canvas (App. F). In the paper
20 epochs each, of 34,698 pictures, the batch not being printed. The short profiles pretrain for longer: such a step takes a
third of the time of another, and what a region is has to be learnt first."""

CAMVID_UNKNOWN = len(CAMVID) - 1
_NAMELESS = {"unlabelled", "unlabeled", "unknown", "void"}


def msca_scenes(profile: str = "cpu", seed: int = 0, variant: str = "full") -> Recipe:
    """MSCA from labels to procedural landscapes, each patch made from another patch of the same picture.

    exemplar-lab train msca --data scenes

    cpu, as measured: 1900 steps in 5.3 minutes on two quiet cores. 256 validation pairs whose exemplar is another land
    with similar labels: PSNR 22.3 dB (global average pooling 21.5, the mean colour of each label 21.2, copy 16.5); rank
    correlation of the transfer matrix with the true one 0.38 ± 0.04 (random −0.12), cophenetic correlation 0.84 ± 0.24. Two
    other runs, one of 1600 steps with its gradients cut, one whose attention began softer, had 0.51 and 0.41 of the first, 0.40
    and 0.32 of the second. gpu and paper: never run.
    """
    size = _model(profile).size
    source = Scenes(size=2 * size, truth=False)
    return _msca("scenes", source, Scenes(size=size, split="val", scheme="retrieval"), profile, seed, variant)


def msca_labelled(profile: str = "cpu", seed: int = 0, variant: str = "full", folder: str | None = None) -> Recipe:
    """MSCA on photographs with label maps, in a folder laid out as CamVid or COCO-Stuff (`data.labelled`).

    exemplar-lab train msca --data FOLDER

    small on CamVid, as measured: 800 steps in 2.4 minutes on one core of a busy machine; retrieving 17.7 ± 0.2 dB, below global
    average pooling (18.3): see notebook 15. cpu, gpu and paper: never run.
    """
    size = _model(profile).size
    where = {"folder": folder, "void": unknown_label(folder)}
    source = LabelledPhotographs(size=2 * size, closest=0.7, truth=False, **where)
    name = Path(folder).resolve().name
    return _msca(name, source, LabelledPhotographs(size=size, split="val", **where), profile, seed, variant)


def msca_prepared(profile: str = "cpu", seed: int = 0, variant: str = "full", folder: str = "") -> Recipe:
    """MSCA on a folder of real images and label maps that `exemplar-lab prepare` went through. Never measured.

    exemplar-lab prepare FOLDER --task labels
    exemplar-lab train msca --data FOLDER
    """
    size = _model(profile).size
    pairs = prepared_pairs(folder, size, ("labels",))
    canvases = replace(pairs, size=2 * size, closest=0.7)
    return _msca(data_name(pairs), canvases, replace(pairs, split="val", truth=True), profile, seed, variant)


def unknown_label(folder: str | Path) -> int | None:
    """The label that says "unknown" besides 255: the last in classes.txt if that is its name; 11 in CamVid; else None.

    CamVid is told by its folder of label maps, trainannot, by its largest label and by having no classes.txt.
    """
    names = read_names(folder)
    if names is not None:
        return len(names) - 1 if names[-1].lower() in _NAMELESS else None
    pairs = find_pairs(folder)
    paths = [path for split in pairs.values() for path in split.values()]
    is_camvid = (Path(folder) / "trainannot").is_dir() and max(facts[2] for facts in survey(paths)) == CAMVID_UNKNOWN
    return CAMVID_UNKNOWN if is_camvid else None


def _model(profile: str) -> MSCAConfig:
    return MSCA[one_of(MSCA, "profile", profile)]


def _msca(data: str, source: Source, validation: Source, profile: str, seed: int, variant: str) -> Recipe:
    """source: canvases of twice the size of the model's images."""
    settings = MSCA_VARIANTS[one_of(MSCA_VARIANTS, "variant", variant)]
    run = dict(_RUN[profile])
    model = _model(profile)
    pretraining, disjoint, enlarged = run.pop("stages")
    patch = 3 * model.size // 2
    match variant:
        case "without-pretraining":
            pretraining = 0
        case "without-global":
            disjoint, enlarged, patch = disjoint + enlarged, 0, None
        case "every-fifth":
            run["generator_every"] = 5
    return Recipe(
        name=run_name("msca", data, profile, variant, seed),
        model=replace(model, condition_channels=source.condition_channels, **settings),
        source=source,
        validation=validation,
        patches=Patches(pretraining, disjoint, patch),
        steps=pretraining + disjoint + enlarged,
        seed=seed,
        **run,
    )


MSCA_DATA = {"scenes": msca_scenes}
"""What `--data` names, apart from a folder."""
