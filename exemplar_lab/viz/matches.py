"""What a match says, drawn: rows, columns, points, the whole matrix, the whole field.

All functions draw one sample of the batch and ask the match only what `Correspondence` answers. Positions are indices of the
query or key grid; images may have any resolution of the same shape.
"""

import matplotlib
import numpy as np
import torch
from jaxtyping import Float
from kornia.color import lab_to_rgb
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.grid import index_to_xy, sample_at
from exemplar_lab.translation import Truth
from exemplar_lab.viz.style import COLOURS, FAINT, PAGE, as_rgb, frame, headline, mark, picture_axes, ring, show_image, styled

HEAT = "inferno"
_CLOSE = 40
"""Cells; a row spread over fewer is too small to be read without a lens."""


@styled
def row_heatmaps(
    match: Correspondence,
    target: Float[Tensor, "b 3 h w"],
    exemplar: Float[Tensor, "b 3 h w"],
    query: list[int],
    truth: Truth | None = None,
    sample: int = 0,
    title: str | None = None,
) -> Figure:
    """Where do these target positions look? The row of each `query`, as heat over the exemplar; a ring is the true point."""
    rows = match[sample : sample + 1].rows(torch.tensor(query, device=target.device))[0]
    true = None if truth is None else _true_points(truth, match.query_size, query, sample)
    return _heatmaps(target[sample], exemplar[sample], match.query_size, match.key_size, query, rows, true, title, "target")


@styled
def column_heatmaps(
    match: Correspondence,
    target: Float[Tensor, "b 3 h w"],
    exemplar: Float[Tensor, "b 3 h w"],
    key: list[int],
    sample: int = 0,
    title: str | None = None,
) -> Figure:
    """Who uses these exemplar positions? The column of each `key`, as heat over the target."""
    columns = match[sample : sample + 1].columns(torch.tensor(key, device=target.device))[0]
    return _heatmaps(exemplar[sample], target[sample], match.key_size, match.query_size, key, columns, None, title, "exemplar")


def _heatmaps(marked, painted, from_size, to_size, index, weights, true, title, name) -> Figure:
    """The marked picture large at the left, one heat map per index at the right, in one line or two."""
    lines = 1 if len(index) < 4 else 2
    columns = -(-len(index) // lines)
    aspect, words, bar, head = marked.shape[1] / marked.shape[2], 0.48, 0.65, 0.3 if title else 0.0
    width = min(2.2, (PAGE - bar - lines * words) / (columns + lines))
    height = lines * (width * aspect + words)
    large = (height - 0.25) / aspect
    figure = Figure(figsize=(large + columns * width + bar, height + head))
    if title:
        headline(figure, title)
    grid = figure.add_gridspec(lines, columns + 1, width_ratios=[large] + [width] * columns)
    left = figure.add_subplot(grid[:, 0])
    show_image(left, marked, name)
    scale = marked.shape[2] / from_size[1]
    ground = in_the_dark(painted)
    maps = []
    for number, (place, weight) in enumerate(zip(index, weights, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        mark(left, *(index_to_xy(torch.tensor(place), from_size) * scale).tolist(), colour, str(number + 1))
        axis = figure.add_subplot(grid[number // columns, number % columns + 1])
        maps.append(axis)
        heated = with_heat(ground, weight.detach().cpu().unflatten(0, to_size))
        show_image(axis, heated)
        badge = {"boxstyle": "round,pad=0.25", "facecolor": colour, "edgecolor": "white"}
        axis.text(0.04, 0.96, str(number + 1), transform=axis.transAxes, ha="left", va="top", color="white",
                  fontweight="bold", bbox=badge)  # fmt: skip
        share = (weight / weight.sum().clamp_min(1e-12)).double()
        reach = torch.special.entr(share).sum().exp().item() if weight.sum() > 0 else 0
        axis.set_title(
            f"sum {weight.sum():.2f}, peak {weight.max():.2g}\nspread over {reach:.0f} cells",
            fontsize=7.5, color=FAINT, linespacing=1.3, y=-0.04, va="top",
        )  # fmt: skip
        if true is not None and true[number].isfinite().all():
            ring(axis, *true[number].tolist())
        if reach < _CLOSE:
            peak = index_to_xy(weight.argmax().cpu(), to_size) * (painted.shape[2] / to_size[1])
            _magnify(axis, heated, *peak.tolist(), colour)
    heat = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0, 1), HEAT)
    figure.colorbar(heat, ax=maps, shrink=0.8, pad=0.02, aspect=30, label="weight / largest weight")
    return figure


def _magnify(axis: Axes, picture: np.ndarray, x: float, y: float, colour: str) -> None:
    """A corner of the picture, far from (x, y), shows the neighbourhood of that point four times as large."""
    height, width = picture.shape[:2]
    left, top = x > width / 2, y > 0.6 * height
    lens = axis.inset_axes([0.02 if left else 0.58, (0.44 if left else 0.58) if top else 0.02, 0.4, 0.4])
    show_image(lens, picture)
    reach = 0.05 * width
    x, y = np.clip(x, reach, width - reach), np.clip(y, reach, height - reach)
    lens.set(xlim=(x - reach, x + reach), ylim=(y + reach, y - reach))
    for spine in lens.spines.values():
        spine.set(linewidth=1.4, color=colour)


@styled
def sparse_links(
    match: Correspondence,
    target: Float[Tensor, "b 3 h w"],
    exemplar: Float[Tensor, "b 3 h w"],
    query: list[int],
    truth: Truth | None = None,
    sample: int = 0,
    title: str | None = None,
) -> Figure:
    """Fig. 8 of [CoCosNet]: points of the target and, in the same colour, the point of the exemplar that each looks at most."""
    figure, axes = picture_axes(1, 2, target.shape[2] / target.shape[3], title, width=3.1)
    show_image(axes[0, 0], target[sample], "target")
    show_image(axes[0, 1], exemplar[sample], "exemplar" + ("" if truth is None else "   (ring: true point)"))
    start = index_to_xy(torch.tensor(query), match.query_size) * (target.shape[3] / match.query_size[1])
    end = match[sample : sample + 1].xy()[0].flatten(1).T[query].detach().cpu() * (exemplar.shape[3] / match.key_size[1])
    true = None if truth is None else _true_points(truth, match.query_size, query, sample)
    for number, (from_point, to_point) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        mark(axes[0, 0], *from_point, colour, str(number + 1))
        mark(axes[0, 1], *to_point, colour, str(number + 1))
        if true is not None and true[number].isfinite().all():
            point = true[number].tolist()
            axes[0, 1].plot([to_point[0], point[0]], [to_point[1], point[1]], color=colour, lw=1.4, zorder=4)
            ring(axes[0, 1], *point)
    return figure


@styled
def matrix_view(
    matches: dict[str, Correspondence],
    query: list[int] | None = None,
    key: list[int] | None = None,
    order: str = "row by row",
    sample: int = 0,
    cells: int = 256,
    lowest: float = 1e-4,
    title: str | None = None,
) -> Figure:
    """The weights as a matrix, the mass of each row beside it; a large one shows the largest weight of each block.

    query, key: which positions, in which order; by default all of them. order: that order in words, for the labels.
    """
    figure = Figure(figsize=(min(PAGE, 3.0 * len(matches) + 0.5), 3.1 if title else 2.8))
    if title:
        headline(figure, title)
    axes = figure.subplots(1, 2 * len(matches), gridspec_kw={"width_ratios": [7, 1] * len(matches)}, squeeze=False)[0]
    for number, (name, match) in enumerate(matches.items()):
        asked = torch.arange(match.query_size[0] * match.query_size[1]) if query is None else torch.tensor(query)
        given = torch.arange(match.key_size[0] * match.key_size[1]) if key is None else torch.tensor(key)
        picture, mass = _blocks(match[sample : sample + 1], asked, given, cells)
        matrix, bar = axes[2 * number], axes[2 * number + 1]
        extent = (0, len(given), len(asked), 0)
        norm = LogNorm(lowest, 1)
        shown = matrix.imshow(picture.clamp_min(lowest).numpy(), norm=norm, extent=extent, aspect="auto", cmap="viridis")
        matrix.set_title(name, loc="left")
        matrix.set_xlabel(f"exemplar position,\n{order}")
        matrix.set_ylabel(f"target position, {order}" if number == 0 else "")
        bar.fill_betweenx(np.linspace(0, len(asked), len(mass)), mass.numpy(), color=COLOURS[1], step="mid", linewidth=0)
        bar.set(xlim=(0, max(1.05, float(mass.max()))), ylim=(len(asked), 0), yticks=[], xticks=[0, 1])
        bar.set_xlabel("mass")
        for axis in (matrix, bar):
            axis.spines[:].set_visible(axis is matrix)
        matrix.set_xticks([0, len(given) // 2])
        matrix.set_yticks([0, len(asked) // 2, len(asked)] if number == 0 else [])
    figure.colorbar(shown, ax=axes.tolist(), pad=0.01, aspect=30, label="weight (log scale)", extend="min")
    return figure


def _blocks(match: Correspondence, query: Tensor, key: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """The matrix reduced to at most `cells` × `cells`, each block by its largest weight, and the mean mass of each line."""
    mass = match.mass()[0].detach().float().flatten()
    lines, sums = [], []
    for some in query.tensor_split(min(cells, len(query))):
        line = match.rows(some.to(mass.device))[0].detach().float()[:, key.to(mass.device)].amax(0)
        lines.append(torch.stack([block.max() for block in line.tensor_split(min(cells, len(key)))]))
        sums.append(mass[some.to(mass.device)].mean())
    return torch.stack(lines).cpu(), torch.stack(sums).cpu()


@styled
def correspondence_field(
    match: Correspondence,
    target: Float[Tensor, "b 3 h w"],
    exemplar: Float[Tensor, "b 3 h w"],
    truth: Truth | None = None,
    sample: int = 0,
    title: str | None = None,
) -> Figure:
    """Every target position in the colour of the exemplar position it looks at; fainter where mass was lost.

    With truth: the true field, and the distance between the two in pixels.
    """
    one = match[sample : sample + 1]
    height, width = exemplar.shape[-2:]
    chart = _position_colours((height, width))
    point = one.xy().detach().cpu() * (width / match.key_size[1])
    mass = one.mass()[:, None].detach().cpu().clamp(0, 1)
    field = sample_at(chart, point) * mass + (1 - mass)
    figure, axes = picture_axes(1, 2 if truth is None else 4, height / width, title, bar=0.0 if truth is None else 0.7)
    light = exemplar[sample : sample + 1].detach().cpu().mean(1, keepdim=True)
    show_image(axes[0, 0], (chart * (0.55 + 0.45 * light))[0], "exemplar: each place its colour")
    show_image(axes[0, 1], field[0], "target: where it looks")
    if truth is not None:
        seen = truth.visible[sample].cpu()
        flow = truth.flow[sample : sample + 1].cpu()
        show_image(axes[0, 2], torch.where(seen, sample_at(chart, flow)[0], 1.0), "truth (white: nothing to see)")
        nearest = torch.nn.functional.interpolate(point, seen.shape[-2:], mode="nearest")
        error = torch.where(seen, (nearest - flow).norm(dim=1)[0], torch.nan)
        shown = axes[0, 3].imshow(error.clamp_min(0.5).numpy(), cmap="cividis", norm=LogNorm(0.5, max(height, width)))
        axes[0, 3].set_title("error")
        frame(axes[0, 3])
        bar = figure.colorbar(
            shown, ax=axes[0, :].tolist(), shrink=0.85, pad=0.01, aspect=25, label="error in pixels (log scale)"
        )
        bar.ax.yaxis.set_major_formatter("{x:g}")
    return figure


def _true_points(truth: Truth, size: tuple[int, int], index: list[int], sample: int) -> Float[Tensor, "n 2"]:
    """The true flow at the pixel that holds the cell's centre; NaN where that pixel's counterpart cannot be seen."""
    height, width = truth.flow.shape[-2:]
    xy = index_to_xy(torch.tensor(index), size) * torch.tensor([width / size[1], height / size[0]])
    x, y = xy.long().unbind(-1)
    return torch.where(truth.visible[sample].cpu()[y, x][:, None], truth.flow[sample].cpu()[:, y, x].T, torch.nan)


def in_the_dark(image: Tensor) -> np.ndarray:
    """Grey and dim, as a ground that heat can be read on."""
    return as_rgb(image).mean(-1, keepdims=True).repeat(3, -1) * 0.42 + 0.05


def with_heat(ground: np.ndarray, weight: Float[Tensor, "h w"]) -> np.ndarray:
    """Heat over a dark ground, relative to the largest weight, and fainter where there is little of it."""
    height, width = ground.shape[:2]
    relative = (weight.clamp_min(0) / weight.max().clamp_min(1e-12)).float()
    relative = torch.nn.functional.interpolate(relative[None, None], (height, width), mode="nearest")[0, 0].numpy()
    opacity = np.sqrt(relative)[..., None]
    return ground * (1 - opacity) + matplotlib.colormaps[HEAT](relative)[..., :3] * opacity


def heat_colours() -> bytes:
    """The colours of heat from least to most, 256 times red, green, blue, for those who draw it without matplotlib."""
    return (matplotlib.colormaps[HEAT](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8).tobytes()


def _position_colours(size: tuple[int, int]) -> Float[Tensor, "1 3 h w"]:
    """A colour for every place: hue from left to right, lightness from top to bottom; a checkerboard shows distances."""
    y, x = torch.meshgrid(*(torch.linspace(0, 1, n) for n in size), indexing="ij")
    checker = ((x * 7.99).floor() + (y * 7.99).floor()) % 2
    hue = torch.deg2rad(300 * x - 110)
    lightness = 88 - 46 * y - 9 * checker
    return lab_to_rgb(torch.stack([lightness, 52 * hue.cos(), 52 * hue.sin()])[None]).clamp(0, 1)
