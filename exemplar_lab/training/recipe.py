"""A recipe: everything that decides what a training run gives, in one frozen record."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

from exemplar_lab.data.labelled import LabelledPhotographs
from exemplar_lab.data.photos import Photographs
from exemplar_lab.data.prepared import PreparedPairs
from exemplar_lab.data.style_pairs import StylePairs
from exemplar_lab.data.synth.dials import dials_of
from exemplar_lab.data.synth.world import TASKS
from exemplar_lab.losses.perceptual import FEATURE_WEIGHTS
from exemplar_lab.models import ModelConfig
from exemplar_lab.training.patches import Patches
from exemplar_lab.translation import Source

SOURCES = {kind.__name__: kind for kind in (Photographs, LabelledPhotographs, PreparedPairs, StylePairs, *TASKS.values())}


@dataclass(frozen=True)
class Recipe:
    """What to train, on what, with which weights and for how long.

    weights: ψ of CoCosNet Eq. (14), λ of DynaST Eq. (10), (11), (15), λ of MATEBIT Eq. (14), or those
        of MSCA ("decoded" in App. G; "adv", "feat" and "gan" in Eq. 11), by term. features: the network
        that perceptual terms look through; feature_weights: λ of Eq. (8) of the one and Eq. (10) of the other, by its layers.
    pseudo: fraction of samples whose exemplar is replaced by a distorted copy of the target (Eq. 8); the others keep their own.
    learning_rate, discriminator_learning_rate: TTUR, constant until `decay_from` × steps and then linear down to 0.
    discriminator_width, discriminator_layers, discriminator_scales: its size; none is trained when the weight "adv" is 0.
    longest_gradient: a gradient of the generator with a larger norm is scaled down to it; None lets all pass.
    edges: H of Eq. (12) of [MATEBIT], a name that `nn.edges.edge_network` knows.
    patches: the schedule of MSCA's self-supervision; the source then gives canvases. generator_every: the generator is updated
        at every so many steps, at the others the discriminator alone (5 in [MSCA]).
    warm_up_steps: for CoCosNet with `exemplar_sees_condition`: steps until noise takes its place (App. E); None: it never does.
        With the weight "mask" it wants label maps, one-hot, as conditions, which no source gives yet.
    """

    name: str
    model: ModelConfig
    source: Source
    validation: Source
    weights: Mapping[str, float]
    steps: int
    batch_size: int
    features: str = "fixed"
    feature_weights: Mapping[str, float] = field(default_factory=lambda: dict(FEATURE_WEIGHTS))
    pseudo: float = 0.3
    learning_rate: float = 1e-4
    discriminator_learning_rate: float = 4e-4
    betas: tuple[float, float] = (0.0, 0.999)
    decay_from: float = 0.5
    discriminator_width: int = 64
    discriminator_layers: int = 4
    discriminator_scales: int = 2
    longest_gradient: float | None = None
    edges: str = "soft"
    patches: Patches | None = None
    generator_every: int = 1
    warm_up_steps: int | None = None
    save_every: int = 100
    seed: int = 0

    def describe(self) -> dict[str, Any]:
        """As JSON: what a checkpoint keeps, and what must be equal for a run to be resumed."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: _plain(value) for name, value in values.items()}

    def learning_rates(self, step: int) -> tuple[float, float]:
        """Of the generator (with the correspondence) and of the discriminator, at `step`."""
        start = self.decay_from * self.steps
        factor = 1.0 if step < start else max(0.0, (self.steps - step) / (self.steps - start))
        return factor * self.learning_rate, factor * self.discriminator_learning_rate


def make_source(described: dict[str, Any]) -> Source:
    """The source that `Recipe.describe` wrote down."""
    values = dict(described)
    kind = values.pop("kind")
    version = values.pop("version", None)
    if kind not in SOURCES:
        raise ValueError(f"got a source of kind {kind!r}, expected one of {', '.join(SOURCES)}: it was made by another version")
    if version != _version(SOURCES[kind]):
        raise ValueError(
            f"got samples of version {version} of {kind}, expected {_version(SOURCES[kind])}: these pictures are no longer "
            "made; train again, or install the version of the package that wrote this"
        )
    if isinstance(values.get("tier"), Mapping):  # JSON keeps dials by name
        values["tier"] = dials_of(dict(values["tier"]), next(name for name, one in TASKS.items() if one.__name__ == kind))
    return SOURCES[kind](**values)


def _version(kind: type) -> int | None:
    """VERSION of the module that makes the samples; None for what has none, as a config."""
    return getattr(sys.modules[kind.__module__], "VERSION", None)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        origin = {"kind": type(value).__name__, "version": _version(type(value))}
        known = {name: part for name, part in origin.items() if part is not None}
        return known | {name: _plain(part) for name, part in asdict(value).items()}
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)
