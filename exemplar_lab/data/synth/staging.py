"""What happens to a finished pair of any task: something hides the figure, the exemplar repeats, the condition is lost."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data import edges
from exemplar_lab.data.seeds import fold, uniform
from exemplar_lab.data.synth.dials import GAPS
from exemplar_lab.data.synth.lattice import clouds, seed_of
from exemplar_lab.data.synth.occluder import draw_occluder, few_of, height, picture
from exemplar_lab.translation import Batch, Truth


def occlude(batch: Batch, figure: Bool[Tensor, "b h w"], key: Int[Tensor, " b"], share: tuple[float, float]) -> Batch:
    """Something in front of the exemplar hides a share of its `figure`, drawn evenly from `share` for each sample.

    Only the exemplar's image changes, and what is true of it: where the thing stands, exemplar_part is −1, exemplar_uv NaN and
    exemplar_albedo its own; target points behind it are not visible, count nothing and answer to no match but `flow`, which
    still says where they are. share (0, 0) gives the batch back.
    """
    if tuple(share) == (0.0, 0.0):
        return batch
    key = fold(key, "occlusion")
    thing = draw_occluder(key, figure, uniform(key, "share", (), *share))
    size = tuple(batch.exemplar.shape[-2:])
    image, albedo, cover, behind = picture(thing, size, _exposure(batch.exemplar))
    exemplar = batch.exemplar * behind
    exemplar = exemplar + (image - exemplar) * cover
    truth = batch.truth
    if truth is not None:
        hidden = cover[:, 0] >= 0.5

        def is_behind(points: Float[Tensor, "b 2 n"], asked: Bool[Tensor, "b n"]) -> Bool[Tensor, "b n"]:
            few = few_of(asked)
            x, y = (few.of(points[:, i] / size[1 - i]) for i in (0, 1))
            depth = few.back(height(thing, x, y), torch.full_like(points[:, 0], torch.inf))
            return depth < thing.edge[:, None]

        visible = truth.visible & ~is_behind(truth.flow.flatten(2), truth.visible.flatten(1)).unflatten(1, size)
        changed = {"visible": visible, "count": None if truth.count is None else truth.count * visible}
        if truth.match_set is not None:
            answers = truth.match_set.clone()
            for number in range(1, answers.shape[1]):
                points = answers[:, number].flatten(2)
                lost = is_behind(points, ~points[:, 0].isnan()).unflatten(1, size)
                answers[:, number] = torch.where(lost[:, None], torch.nan, answers[:, number])
            changed["match_set"] = answers
        if truth.exemplar_albedo is not None:
            changed["exemplar_albedo"] = truth.exemplar_albedo + (albedo - truth.exemplar_albedo) * cover
        if truth.exemplar_part is not None:
            changed["exemplar_part"] = torch.where(hidden, -1, truth.exemplar_part)
        if truth.exemplar_uv is not None:
            changed["exemplar_uv"] = torch.where(hidden[:, None], torch.nan, truth.exemplar_uv)
        truth = replace(truth, **changed)
    return replace(batch, exemplar=exemplar, truth=truth)


def repeat_halves(batch: Batch, copies: int) -> Batch:
    """The exemplar shows its leftmost strip `copies` times side by side, pixel by pixel; 1 gives the batch back.

    The strip is ⌈w / copies⌉ pixels wide, so that the last copy may be cut. A point of the strip has as many right answers as
    there are copies of it inside the frame; what the strip does not show is no longer visible. Key points stay.
    """
    if copies < 1:
        raise ValueError(f"got {copies} copies, expected at least 1: 1 leaves the exemplar as it is")
    if copies == 1:
        return batch
    width = batch.exemplar.shape[-1]
    strip = -(-width // copies)
    column = torch.arange(width, device=batch.exemplar.device) % strip
    truth = batch.truth
    if truth is not None:
        truth = replace(
            _repeat_answers(truth, strip, copies, width),
            **{
                name: None if value is None else value[..., column]
                for name in ("exemplar_albedo", "exemplar_part", "exemplar_uv")
                for value in [getattr(truth, name)]
            },
        )
    return replace(
        batch, exemplar=batch.exemplar[..., column], exemplar_condition=batch.exemplar_condition[..., column], truth=truth
    )


def _repeat_answers(truth: Truth, strip: int, copies: int, width: int) -> Truth:
    answers = truth.flow[:, None] if truth.match_set is None else truth.match_set
    visible = truth.visible & (truth.flow[:, 0] < strip)
    shown = (answers[:, :, 0] >= 0) & (answers[:, :, 0] < strip)
    shown[:, 0] &= truth.visible
    repeated = []
    for number in range(copies):
        moved = answers.clone()
        moved[:, :, 0] += number * strip
        moved = torch.where((shown & (moved[:, :, 0] < width))[:, :, None], moved, torch.nan)
        if number == 0:
            moved[:, 0] = truth.flow
        repeated.append(moved)
    count = None if truth.count is None else truth.count * visible
    return replace(truth, visible=visible, count=count, match_set=torch.cat(repeated, dim=1))


def drop_blocks(condition: Float[Tensor, "b cc h w"], key: Int[Tensor, " b"], share: float) -> Float[Tensor, "b cc h w"]:
    """The condition with smooth blobs set to 0 that cover `share` of each picture, 0 … 1; 0 gives the condition back."""
    if not 0 <= share <= 1:
        raise ValueError(f"got a share of {share}, expected 0 … 1: it is the part of the picture that is lost")
    if share == 0:
        return condition
    height_, width = condition.shape[-2:]
    device = condition.device
    down, across = ((torch.arange(n, device=device) + 0.5) / n for n in (height_, width))
    blobs = clouds(seed_of(key, "dropout")[:, None, None], across[None, None, :] * 5, down[None, :, None] * 5, 2)
    ordered = blobs.flatten(1).sort(dim=1).values
    lost = round(share * ordered.shape[1])
    kept = torch.zeros_like(blobs) if lost == ordered.shape[1] else (blobs >= ordered[:, lost, None, None]).to(condition.dtype)
    return condition * kept[:, None]


def drop_points(points: Float[Tensor, "n p 2"], key: Int[Tensor, " n"], share: float) -> Float[Tensor, "n p 2"]:
    """The key points, NaN for `share` of them, each picture its own."""
    lost = uniform(key, "dropout", (points.shape[1],)).argsort(dim=1).argsort(dim=1) < round(share * points.shape[1])
    return points.masked_fill(lost[..., None], torch.nan)


def condition_of(
    gap: str,
    structure: Float[Tensor, "b cs h w"],
    image: Float[Tensor, "b 3 h w"],
    part: Int[Tensor, "b h w"],
    parts: int,
) -> Float[Tensor, "b cc h w"]:
    """What the dial `gap` shows of an image: its `structure` as it is, one map for each of its `parts`, or its edges.

    part: −1 is background, and all maps are 0 there.
    """
    if gap == "structure":
        return structure
    if gap == "edges":
        return edges.edge_condition(image)
    if gap == "parts":
        return F.one_hot(part.long() + 1, parts + 1).movedim(-1, 1)[:, 1:].to(image.dtype)
    raise ValueError(f"got gap {gap!r}, expected one of {', '.join(GAPS)}: choose one of these")


def condition_channels(gap: str, structure_channels: int, parts: int) -> int:
    """The number of channels that `condition_of` answers with."""
    return {"structure": structure_channels, "parts": parts, "edges": edges.CHANNELS}[gap]


def _exposure(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """How strongly a thing in front is lit: medians of the brightness, because sorting rounds nothing."""
    down, across = (((torch.arange(32, device=image.device) + 0.5) / 32 * n).long() for n in image.shape[-2:])
    few = image[..., down[:, None], across]
    ordered = (few[:, 0] * 0.3 + few[:, 1] * 0.6 + few[:, 2] * 0.1).flatten(1).sort(dim=1).values
    level = (ordered[:, 256] + ordered[:, 512] + ordered[:, 768]) / 3
    return (0.2 + 1.15 * level).clamp(0.25, 1.1)
