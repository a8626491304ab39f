"""The recipe of undistorted style transfer: the docstring says the command, how long it takes, what comes out, as measured."""

from dataclasses import replace

from exemplar_lab.data.style_pairs import StylePairs
from exemplar_lab.models.dynast import DynaSTConfig
from exemplar_lab.training.recipe import Recipe
from exemplar_lab.training.recipes.defaults import data_name, one_of, prepared_pairs, run_name
from exemplar_lab.translation import Source

STYLE = {
    "smoke": DynaSTConfig(size=32, widths=(16, 16, 8), top_k=2, patches=4, style_hidden=8, tau=30.0),
    "cpu": DynaSTConfig(size=64, widths=(64, 48, 32, 16), patches=12, style_hidden=16, tau=30.0),
    "gpu": DynaSTConfig(size=128, widths=(256, 192, 128, 64), patches=32, style_hidden=32, tau=30.0),
    "paper": DynaSTConfig(),
}
"""The model of each profile; all of them answer at any size that their coarsest patch divides. paper: crops of 256²."""

_SMALL_RUN = {
    "weights": {"content": 1.5, "style": 1.0, "pixel": 50.0},
    "pseudo": 0.3,
    "betas": (0.5, 0.999),
    "decay_from": 0.4,
    "learning_rate": 2e-3,
    "longest_gradient": 5.0,
}
_RUN = {
    "smoke": _SMALL_RUN | {"steps": 12, "batch_size": 4, "save_every": 6},
    "cpu": _SMALL_RUN | {"steps": 1000, "batch_size": 2},
    "gpu": _SMALL_RUN | {"steps": 10_000, "batch_size": 32, "save_every": 500, "learning_rate": 5e-4},
    "paper": {"weights": {"content": 1.0, "style": 3.0}, "pseudo": 0.0}
    | {"steps": 160_000, "batch_size": 32, "save_every": 2000},
}
"""paper: Eq. (11) with λ_s = 3 and no term for the warps: section 4 sets λ_m = 1 and says that Eq. (14) is not adopted. The
short profiles differ in two points. Through the fixed features the content term sees colour rather than structure (a change of
colours alone has 0.7, an image that shows nothing of the content 0.9), hence its larger share. And three samples in ten have a
distorted copy of the content for their style, for which the content is the right answer, pixel by pixel: that teaches in
minutes that lines stay where they are. Such an identity term is usual in style transfer; the paper does not have it."""


def dynast_style(profile: str = "cpu", seed: int = 0, variant: str = "full") -> Recipe:
    """DynaST from a content photograph and a painting of something else to the content in that style.

    exemplar-lab train dynast --data style

    cpu, as measured: 1000 steps in 328 s on one core of a busy machine. 96 validation pairs of 64², through fixed-seed-v1:
    content SSIM 0.635 ± 0.021, correlation of edges 0.649 ± 0.030, style loss 0.331 ± 0.038, L1 to the true painting 0.153 ±
    0.013; the content itself has 1, 1, 4.12 ± 0.56, 0.112 ± 0.012, and a mere change of its colours 0.811 ± 0.027, 0.987 ±
    0.005, 0.257 ± 0.048, 0.159 ± 0.015: by the two numbers of Fig. 8 this small network is beaten by three means and three
    deviations. gpu and paper: never run.
    """
    size = STYLE[one_of(STYLE, "profile", profile)].size
    return _style("style", StylePairs(size=size), profile, seed, variant)


def dynast_style_prepared(profile: str = "cpu", seed: int = 0, variant: str = "full", folder: str = "") -> Recipe:
    """DynaST on a folder of contents and styles that `exemplar-lab prepare` went through. Never measured.

    exemplar-lab prepare FOLDER --task style
    exemplar-lab train dynast --data FOLDER
    """
    source = prepared_pairs(folder, STYLE[one_of(STYLE, "profile", profile)].size, ("photograph",))
    return _style(data_name(source), source, profile, seed, variant)


def _style(data: str, source: Source, profile: str, seed: int, variant: str) -> Recipe:
    one_of(("full",), "variant", variant)
    return Recipe(
        name=run_name("dynast", data, profile, variant, seed),
        model=STYLE[profile],
        source=source,
        validation=replace(source, split="val"),
        feature_weights={},
        seed=seed,
        **_RUN[profile],
    )
