"""Pictures side by side: samples in rows, what was made of them in columns."""

from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from exemplar_lab.translation import Batch, Translation
from exemplar_lab.viz.style import PAGE, frame, picture_axes, show_image, styled


@styled
def image_grid(
    columns: dict[str, Tensor], rows: list[str] | None = None, title: str | None = None, width: float | None = None
) -> Figure:
    """One row per sample, one column per name; the images (n c h w) may differ in resolution, not in shape.

    rows: a few words about each sample, at the left. width: of one picture, in inches.
    """
    samples = {len(images) for images in columns.values()}
    if len(samples) != 1:
        raise ValueError(f"got columns of {sorted(samples)} images, expected the same number in each: cut the longer ones")
    first = next(iter(columns.values()))
    figure, axes = picture_axes(
        len(first), len(columns), first.shape[-2] / first.shape[-1], title, width, room=0.06, words=0.18
    )
    for column, (name, images) in enumerate(columns.items()):
        for row, image in enumerate(images):
            show_image(axes[row, column], image, name if row == 0 else None)
    for row, words in enumerate(rows or []):
        axes[row, 0].text(-0.04, 0.5, words, transform=axes[row, 0].transAxes, rotation=90, ha="right", va="center")
    return figure


@styled
def dense_warps(
    batch: Batch, warp: Float[Tensor, "b 3 hq wq"], image: Float[Tensor, "b 3 h w"] | None = None, title: str | None = None
) -> Figure:
    """Fig. 17 of [CoCosNet]: structure, exemplar, the exemplar warped by the match, the output image if any, the target."""
    made = {} if image is None else {"output": image}
    columns = {"structure": batch.condition, "exemplar": batch.exemplar, "warped exemplar": warp} | made
    return image_grid(columns | {"target (never seen)": batch.target}, title=title)


@styled
def picture_wall(images: dict[str, Float[Tensor, "c h w"]], columns: int = 4, title: str | None = None) -> Figure:
    """Many results for one sample, each under its name, in lines of `columns`."""
    aspect = max(image.shape[-2] / image.shape[-1] for image in images.values())
    figure, axes = picture_axes(-(-len(images) // columns), columns, aspect, title, width=min(1.8, PAGE / columns), room=0.24)
    for axis, (name, image) in zip(axes.flat, images.items(), strict=False):
        show_image(axis, image, name)
    return figure


@styled
def translation_wall(translation: Translation, batch: Batch, title: str | None = None) -> Figure:
    """What was given and what came of it, of one pair: structure (`batch.target`), exemplar, image, then the exemplar as each
    layer carried it."""
    pictures = {"structure": batch.target[0], "exemplar": batch.exemplar[0], "image": translation.image[0]}
    for number, warp in enumerate(translation.warps, 1):
        pictures[f"warp {number}: {warp.shape[-2]} × {warp.shape[-1]}"] = warp[0]
    return picture_wall(pictures, min(len(pictures), 6 if len(pictures) > 8 else 4), title)


@styled
def scalar_maps(
    maps: dict[str, Float[Tensor, "h w"]], label: str, highest: float | None = None, title: str | None = None
) -> Figure:
    """Maps of one number per position (mass, entropy, how often a place is used) on one colour scale from 0."""
    first = next(iter(maps.values()))
    figure, axes = picture_axes(1, len(maps), first.shape[0] / first.shape[1], title, bar=0.75)
    highest = highest or max(float(one.max()) for one in maps.values())
    for axis, (name, one) in zip(axes.flat, maps.items(), strict=True):
        frame(axis)
        shown = axis.imshow(one.detach().float().cpu().numpy(), vmin=0, vmax=highest, cmap="viridis")
        axis.set_title(name)
    figure.colorbar(shown, ax=axes.ravel().tolist(), shrink=0.85, pad=0.01, aspect=25, label=label)
    return figure
