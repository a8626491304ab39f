"""Commands that train: one model, or the demonstration of the whole package."""

import argparse
from pathlib import Path

from exemplar_lab.commands.paths import clickable


def train(given: argparse.Namespace) -> None:
    """Train a model; interrupted at any moment, the same command goes on from the last checkpoint.

    exemplar-lab train cocosnet --data people --profile cpu
    exemplar-lab train cocosnet --data photos
    exemplar-lab train cocosnet --data MY_FOLDER_OF_PHOTOGRAPHS
    exemplar-lab train dynast --data MY_PREPARED_FOLDER          (see exemplar-lab prepare)
    exemplar-lab train msca --data scenes
    exemplar-lab train msca --data MY_FOLDER_OF_PHOTOGRAPHS_AND_LABELS
    torchrun --nproc-per-node 8 -m exemplar_lab train cocosnet --profile paper
    exemplar-lab train features
    """
    if given.model == "features":
        return _train_features(given)
    from exemplar_lab.training.recipes import make_recipe

    recipe = make_recipe(given.model, given.data, given.profile, given.seed, given.variant, given.features, given.edges)
    _train(recipe, given.out or Path("runs") / recipe.name, given.device)


def _train_features(given: argparse.Namespace) -> None:
    """The network that losses and metrics look through; its file lies in the folder of the run, or where --ship says."""
    from exemplar_lab.training.feature_recipe import feature_recipe
    from exemplar_lab.training.feature_state import ship_features

    for option, without in (("data", None), ("variant", "full"), ("features", None), ("edges", "soft")):
        if (value := getattr(given, option)) != without:
            raise ValueError(f"got --{option} {value} for the features, which have one recipe: leave it out")
    recipe = feature_recipe(given.profile, given.seed)
    run = given.out or Path("runs") / recipe.name
    _train(recipe, run, given.device)
    print(ship_features(run, run / "features", recipe.name))


def _train(recipe, run: Path, device: str) -> Path:
    """Train to the end with a progress bar; prints the last checkpoint and gives it back."""
    from tqdm.auto import tqdm

    from exemplar_lab.data.prepared import skipped_words
    from exemplar_lab.training.checkpoint import last_checkpoint
    from exemplar_lab.training.loop import make_fabric, train

    fabric = make_fabric(device)
    bar = None
    for step in train(recipe, run, fabric):
        bar = bar or tqdm(
            total=step.of, initial=step.number - 1, unit="step", desc=recipe.name, disable=not fabric.is_global_zero
        )
        bar.set_postfix({name: f"{value:.3f}" for name, value in step.terms.items()}, refresh=False)
        bar.update()
    if bar:
        bar.close()
    else:
        print(f"{recipe.name}: trained already")
    if words := skipped_words():
        print(words)
    checkpoint = last_checkpoint(run)
    if fabric.is_global_zero:
        print(checkpoint)
    return checkpoint


def train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", help="cocosnet, dynast, matebit, msca, or features: the network that losses and metrics look through"
    )
    parser.add_argument(
        "--data",
        help="people, faces, scenes, paintings, photos, style (dynast alone), or a folder of photographs; of msca scenes, "
        "or a folder of photographs with label maps (default: people, of msca scenes)",
    )
    parser.add_argument("--profile", default="cpu", help="smoke, small (matebit and msca), cpu, gpu or paper (default: cpu)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--features",
        help="what perceptual losses look through: fixed, lab or vgg19 (default: lab for matebit and msca in "
        "short profiles, else fixed); msca itself looks through the same network",
    )
    parser.add_argument(
        "--edges",
        default="soft",
        help="what matebit's structural loss draws edges with: soft, or hed, whose weights EXEMPLAR_LAB_HED names",
    )
    parser.add_argument(
        "--variant",
        default="full",
        help="an ablation: without-domain, … (cocosnet); without-pruning, without-inner-scale, one-scale, once, … (dynast); "
        "without-relu, feed-forward, one-block, … (matebit); gap, without-attention, without-masking, … (msca)",
    )
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/NAME_OF_THE_RECIPE)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def demo(given: argparse.Namespace) -> None:
    """Train CoCosNet on procedural people, measure it, do the same with photographs, and show all of it in a notebook.

    Under 12 minutes on two cores, installing included. What is already trained is not trained again.
    """
    from exemplar_lab.training.recipes import make_recipe

    if not Path("notebooks/10_cocosnet.ipynb").exists():
        raise FileNotFoundError("no notebooks/10_cocosnet.ipynb here: start the demo in the folder of the checkout")
    checkpoints = []
    for number, (data, title) in enumerate({"people": "poses → people", "photos": "edges → photographs"}.items(), start=1):
        print(f"{number}/3  {title}: training", flush=True)
        recipe = make_recipe("cocosnet", data, given.profile)
        checkpoints.append(_train(recipe, Path("runs") / recipe.name, "auto"))
    print("3/3  measuring and drawing: notebooks/10_cocosnet.ipynb", flush=True)
    _show_demo(given.profile, checkpoints)


def _show_demo(profile: str, checkpoints: list[Path]) -> None:
    """Execute the notebook, unless that was done after these checkpoints were written; print its tables and what it wrote."""
    import json

    from exemplar_lab.metrics.tables import table
    from exemplar_lab.notebook import run_notebook

    notebook, out = Path("notebooks/10_cocosnet.ipynb"), Path(f"runs/notebooks/10_cocosnet-{profile}.ipynb")
    figures = Path("runs/figures", profile).resolve()
    newest = max(path.stat().st_mtime for path in (notebook, *checkpoints))
    last_written = figures / "10_photos.json"  # the notebook writes figures in its last cell
    if not last_written.exists() or last_written.stat().st_mtime < newest:
        run_notebook(notebook, out, {"profile": profile, "figures": str(figures)})
    columns = ("epe", "pck@0.1", "pck@0.05", "warp_l1_ratio", "image_l1", "image_ssim")
    for title, name in (("poses → people", "10_people"), ("edges → photographs", "10_photos")):
        made = json.loads((figures / f"{name}.json").read_text())["parameters"]
        print(f"\n{title}: {made['pairs']} validation pairs, mean ± half width of the 95 % interval")
        print(table(made["rows"], columns))
    print(f"\nnotebook  {out}")
    for path in sorted(figures.glob("10_*.png")):
        print(f"figure    {clickable(path)}")
