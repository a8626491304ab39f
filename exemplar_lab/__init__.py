"""Exemplar-guided image generation: give a structure and an exemplar, get an image, and see where every pixel came from.

Importing the package loads nothing heavy; `exemplar_lab.DenseMatch` and friends import torch on first use.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "DenseMatch": "correspondence",
    "SparseMatch": "correspondence",
    "FactoredMatch": "correspondence",
    "Correspondence": "correspondence",
    "Batch": "translation",
    "Truth": "translation",
    "Translation": "translation",
}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"exemplar_lab.{_HOME[name]}"), name)
    raise AttributeError(f"module 'exemplar_lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
