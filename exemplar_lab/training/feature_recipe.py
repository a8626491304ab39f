"""How the feature network of the package is trained: on what, with which questions, and for how long."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from exemplar_lab.data.photos import Photographs
from exemplar_lab.data.style_pairs import StylePairs
from exemplar_lab.data.synth.faces.coat import PARTS as FACE_PARTS
from exemplar_lab.data.synth.paintings.style import MEDIA, PALETTES
from exemplar_lab.data.synth.paintings.style import STYLE_COLUMNS as OF_PAINTINGS
from exemplar_lab.data.synth.people.body import PARTS as BODY_PARTS
from exemplar_lab.data.synth.scenes.materials import CLASSES
from exemplar_lab.data.synth.scenes.style import STYLE as OF_SCENES
from exemplar_lab.data.synth.world import TASKS
from exemplar_lab.nn.lab_features import WIDTHS
from exemplar_lab.training.recipes.defaults import one_of
from exemplar_lab.translation import Source

PARTS = {"people": 1 + len(BODY_PARTS), "faces": 1 + len(FACE_PARTS), "scenes": len(CLASSES)}
"""Task -> number of parts, its background being one of them; paintings show scenes."""

STYLES = {"scenes": len(OF_SCENES), "medium": len(MEDIA), "palette": len(PALETTES), "paintings": len(OF_PAINTINGS) - 2}
"""Question -> number of answers: the style vectors of scenes and paintings, of which two columns are classes."""

_PAIRS = {"people": 10, "faces": 8, "scenes": 10, "paintings": 8, "photographs": 8, "styles": 12}
_WEIGHTS = {"parts": 2.0, "contrast": 2.0, "identity": 0.3, "same_style": 1.0, "style": 1.0, "order": 4.0}


@dataclass(frozen=True)
class FeatureRecipe:
    """What decides the weights of the lab features.

    pairs: of every source and step: the four tasks of the world, distorted photographs of scikit-image ("photographs"), and
        pairs of contents painted in one style, photographs among them ("styles").
    sizes: sides of the images, one after the other; where they are larger than the first, half as many pairs.
    weights: of the six questions; see `feature_objective.feature_terms`.
    learning_rate: linear up over `warm_up` steps, constant until half of `steps`, then linear down to 0.
    """

    name: str
    steps: int
    pairs: Mapping[str, int] = field(default_factory=lambda: dict(_PAIRS))
    sizes: tuple[int, ...] = (64, 64, 96, 64)
    weights: Mapping[str, float] = field(default_factory=lambda: dict(_WEIGHTS))
    widths: tuple[int, ...] = WIDTHS
    points: int = 24
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warm_up: int = 30
    longest_gradient: float = 5.0
    save_every: int = 100
    seed: int = 0

    def describe(self) -> dict[str, Any]:
        """As JSON: what a checkpoint keeps and a run must share to be resumed; with the versions of the pictures."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return plain | {"versions": {name: _version(source) for name, source in self.sources(64).items()}}

    def rate(self, number: int) -> float:
        """The learning rate of step `number`, from 1."""
        half = self.steps / 2
        fall = 1.0 if number <= half else (self.steps - number + 1) / (self.steps - half + 1)
        return self.learning_rate * min(1.0, number / self.warm_up) * fall

    def size(self, number: int) -> int:
        return self.sizes[(number - 1) % len(self.sizes)]

    def sources(self, size: int) -> dict[str, Source]:
        """The source of each name in `pairs`, with its truth."""
        known = {name: kind(size=size) for name, kind in TASKS.items()}
        known |= {"photographs": Photographs(size=size), "styles": StylePairs(size=size, canvas=1)}
        return {name: known[one_of(known, "source", name)] for name in self.pairs}


def feature_recipe(profile: str = "cpu", seed: int = 0) -> FeatureRecipe:
    """The features that come with the package.

    exemplar-lab train features

    cpu, as measured: 900 steps in 28 minutes on one core of a busy machine. On 64 held-out images a question (`exemplar-lab
    features`), beside weights of a fixed seed: PCK@0.1 of the nearest neighbour at relu4_2 0.79, 0.73, 0.64 on people, faces,
    scenes (0.47, 0.45, 0.67); the same part in another sample 0.23, 0.57, 0.70 (0.12, 0.24, 0.49); style retrieval, reciprocal
    rank of 64, 0.31 (0.19); five families of distortions over all procedural images ρ 0.87 to 0.96 (0.71 to 0.86). gpu: never
    run.
    """
    profiles = {
        "smoke": {"steps": 4, "pairs": dict.fromkeys(_PAIRS, 2), "sizes": (32,), "widths": (4, 8, 8, 8, 8), "save_every": 2},
        "cpu": {"steps": 900},
        "gpu": {"steps": 20_000, "pairs": {name: 4 * n for name, n in _PAIRS.items()}, "sizes": (64, 128, 96, 64)},
    }
    settings = profiles[one_of(profiles, "profile", profile)]
    return FeatureRecipe(f"features-{profile}" + (f"-seed{seed}" if seed else ""), seed=seed, **settings)


def _version(source: Source) -> int:
    return sys.modules[type(source).__module__].VERSION
