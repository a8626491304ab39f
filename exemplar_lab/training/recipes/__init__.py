"""The recipes of the package, one file per model."""

from dataclasses import replace
from pathlib import Path

from exemplar_lab.data.collection import prepared_file, read_collection
from exemplar_lab.data.layouts.finding import find_collection
from exemplar_lab.models.msca import MSCAConfig
from exemplar_lab.nn.edges import NETWORKS as EDGE_NETWORKS
from exemplar_lab.training.recipe import Recipe
from exemplar_lab.training.recipes.cocosnet import COCOSNET_DATA, cocosnet_photos, cocosnet_prepared
from exemplar_lab.training.recipes.defaults import LAMBDAS, one_of
from exemplar_lab.training.recipes.dynast import DYNAST_DATA, dynast_photos, dynast_prepared
from exemplar_lab.training.recipes.matebit import MATEBIT_DATA, matebit_photos, matebit_prepared
from exemplar_lab.training.recipes.msca import MSCA_DATA, msca_labelled, msca_prepared
from exemplar_lab.training.recipes.style import dynast_style, dynast_style_prepared

_OF_MODEL = {
    "cocosnet": (COCOSNET_DATA, cocosnet_photos, cocosnet_prepared),
    "dynast": (DYNAST_DATA | {"style": dynast_style}, dynast_photos, dynast_prepared),
    "matebit": (MATEBIT_DATA, matebit_photos, matebit_prepared),
    "msca": (MSCA_DATA, msca_labelled, msca_prepared),
}
"""Model -> what `--data` names, the recipe for a folder of photographs as it is, and for one that was prepared."""


def _check_plain(model: str, folder: str) -> None:
    """Raise ValueError for a folder whose label maps or masks would be taken for photographs."""
    for task in ("labels", "pose", "style") if model != "msca" else ():
        try:
            found = find_collection(folder, task)
        except (OSError, ValueError):
            continue
        raise ValueError(
            f"got {folder}, laid out as {found.layout}, expected it to be prepared first: exemplar-lab prepare {folder} --task "
            f"{task} (or --task edges, which draws edges from its photographs)"
        )


def make_recipe(
    model: str,
    data: str | None = None,
    profile: str = "cpu",
    seed: int = 0,
    variant: str = "full",
    features: str | None = None,
    edges: str = "soft",
) -> Recipe:
    """The recipe that the command line names: `exemplar-lab train MODEL --data DATA --profile PROFILE`.

    data: a task of the procedural world (people, faces, scenes, paintings), "photos", a folder of photographs, or for DynaST
        "style". MSCA wants labels: "scenes", or a folder of photographs with label maps. A folder that `exemplar-lab prepare`
        went through has its own structures and exemplars. None: people, for MSCA scenes.
    features: what perceptual losses look through: "fixed", "lab", or "vgg19", the papers' network, which needs its weights (see
        `nn.features.load_vgg19`); each with λ of its own. None: what the recipe says. MSCA looks through it too.
    edges: what Eq. (12) of MATEBIT draws edges with: "soft", or "hed", the paper's network, which needs its weights (see
        `nn.edges.edge_network`).

    Raises ValueError for anything unknown.
    """
    recipes, of_folder, of_prepared = _OF_MODEL[one_of(_OF_MODEL, "model", model)]
    data = data or next(iter(recipes))
    if data in recipes and prepared_file(data) is not None:
        raise ValueError(
            f"got the data {data!r}, which is a name of this package and a prepared folder here; expected ./{data} for the "
            "folder, or the command to be started elsewhere"
        )
    if data in recipes:
        recipe = recipes[data](profile, seed, variant)
    elif Path(data).is_dir():
        if prepared_file(data) is None:
            _check_plain(model, data)
            recipe = of_folder(profile, seed, variant, folder=data)
        else:
            style = model == "dynast" and read_collection(data)[0].structure == "photograph"
            recipe = (dynast_style_prepared if style else of_prepared)(profile, seed, variant, folder=data)
    else:
        labelled = " with label maps" if model == "msca" else ""
        raise ValueError(
            f"got the data {data!r}, expected {', '.join(recipes)}, or an existing folder of photographs{labelled}"
        )
    if one_of(EDGE_NETWORKS, "edges", edges) != recipe.edges:
        if not recipe.weights.get("str"):
            raise ValueError(f"got the edges {edges!r} for {recipe.name}, which has no term that looks at edges: leave it out")
        recipe = replace(recipe, name=f"{recipe.name}-{edges}", edges=edges)
    looks_through = {recipe.features, getattr(recipe.model, "features", recipe.features)}
    if features is None or {one_of(LAMBDAS, "features", features)} == looks_through:
        return recipe
    weights = LAMBDAS[features] if recipe.feature_weights else {}
    seen = replace(recipe.model, features=features) if isinstance(recipe.model, MSCAConfig) else recipe.model
    named = f"{recipe.name}-{features}"
    return replace(recipe, name=named, model=seen, features=features, feature_weights=dict(weights))
