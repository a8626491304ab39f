"""The recipes of the package: each docstring says the command, how long it takes and what comes out, as measured."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from exemplar_lab.data.photos import Photographs
from exemplar_lab.data.synth.people import People
from exemplar_lab.models.cocosnet import CoCosNetConfig
from exemplar_lab.training.recipe import Recipe

PROFILES = ("smoke", "cpu", "gpu", "paper")

_SMALL = CoCosNetConfig(
    size=64,
    adaptor_convolutions=((32, 1), (64, 2), (64, 1)),
    adaptor_blocks=(64, 64),
    shared_blocks=2,
    match_channels=64,
    generator_blocks=((64, False), (64, True), (64, True), (32, True)),
    nonlocal_after=None,
    style_hidden=32,
)
_TINY = replace(
    _SMALL,
    size=32,
    adaptor_convolutions=((16, 1), (16, 2)),
    adaptor_blocks=(16,),
    shared_blocks=1,
    match_channels=16,
    generator_blocks=((16, False), (16, True), (8, True)),
    style_hidden=8,
)
_MIDDLE = replace(
    _SMALL,
    size=128,
    adaptor_convolutions=((64, 1), (128, 2), (128, 1)),
    adaptor_blocks=(128, 128),
    shared_blocks=4,
    match_channels=128,
    generator_blocks=((256, False), (256, True), (256, True), (128, True), (64, True)),
    nonlocal_after=4,
    style_hidden=64,
)
_MODELS = {"smoke": _TINY, "cpu": _SMALL, "gpu": _MIDDLE, "paper": CoCosNetConfig()}

_WEIGHTS = {"feat": 1.0, "perc": 0.1, "context": 0.05, "adv": 0.1, "domain": 1.0, "reg": 0.3, "warp": 10.0}


def cocosnet_people(profile: str = "cpu", seed: int = 0) -> Recipe:
    """CoCosNet from poses to procedural people."""
    _check(profile)
    source = People(size=_MODELS[profile].size, split="train", truth=False)
    recipe = Recipe(
        name=f"cocosnet-people-{profile}",
        model=replace(_MODELS[profile], condition_channels=source.condition_channels),
        source=source,
        validation=replace(source, split="val", truth=True),
        weights=_WEIGHTS,
        steps=700,
        batch_size=8,
        learning_rate=1e-3,
        discriminator_learning_rate=1e-3,
        discriminator_width=32,
        discriminator_layers=3,
        discriminator_scales=1,
        seed=seed,
    )
    return recipe


def _check(profile: str) -> None:
    if profile not in PROFILES:
        raise ValueError(f"got the profile {profile!r}, expected one of {', '.join(PROFILES)}")
