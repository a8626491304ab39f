"""Pictures side by side: samples in rows, what was made of them in columns."""

from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from exemplar_lab.translation import Batch
from exemplar_lab.viz.style import picture_axes, show_image, styled


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
