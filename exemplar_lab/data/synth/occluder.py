"""Things that stand in the way: curtains, hedges, awnings, fences and pillars, each as an exact shape and as a picture.

A shape is a height: point (x, y) of the plane is covered where `height` lies below `edge`. Moving the edge lets in more of the
thing, which is how a wanted share of a figure can be hidden exactly. Lengths are fractions of the image side, heights grow from
where the thing comes in.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import choose, uniform
from exemplar_lab.data.synth.lattice import clouds, hashed, noise, seed_of

KINDS = ("curtain", "hedge", "awning", "fence", "pillar")

_WEIGHTS = (3, 3, 2, 2, 2)
_LEAF = 0.065
_PALETTES = {
    "curtain": ((0.52, 0.10, 0.14), (0.12, 0.28, 0.30), (0.16, 0.19, 0.40), (0.62, 0.42, 0.16), (0.42, 0.30, 0.44)),
    "hedge": ((0.20, 0.38, 0.14), (0.32, 0.43, 0.16), (0.14, 0.34, 0.24), (0.45, 0.36, 0.14), (0.27, 0.40, 0.20)),
    "awning": ((0.72, 0.16, 0.13), (0.13, 0.36, 0.55), (0.10, 0.42, 0.32), (0.85, 0.60, 0.18), (0.36, 0.36, 0.42)),
    "fence": ((0.47, 0.33, 0.21), (0.60, 0.51, 0.42), (0.72, 0.70, 0.66), (0.30, 0.36, 0.38), (0.40, 0.24, 0.17)),
    "pillar": ((0.80, 0.77, 0.70), (0.66, 0.63, 0.60), (0.78, 0.68, 0.56), (0.55, 0.57, 0.60), (0.70, 0.60, 0.54)),
}
_TRIMS = ((0.83, 0.68, 0.34), (0.90, 0.87, 0.80), (0.94, 0.93, 0.90), (0.20, 0.18, 0.18), (0.86, 0.42, 0.45))


class Occluder(NamedTuple):
    """One thing per sample, float32 throughout, (b,) unless said otherwise.

    kind: index in KINDS. right, down: the unit vector along which it comes into the picture. axis: where a pillar stands. edge:
    up to which height the picture is covered. seed: for `hashed`. form: four numbers in [0, 1), (b, 4). colour, trim: (b, 3).
    """

    kind: Tensor
    right: Tensor
    down: Tensor
    axis: Tensor
    edge: Tensor
    seed: Tensor
    form: Tensor
    colour: Tensor
    trim: Tensor

    def of(self, which: Tensor) -> "Occluder":
        return Occluder(*(field[which] for field in self))


def draw_occluder(key: Int[Tensor, " b"], figure: Bool[Tensor, "b h w"], share: Float[Tensor, " b"]) -> Occluder:
    """A thing per sample that hides `share` of the pixels of `figure`; nothing where the figure is empty."""
    kind = choose(key, "kind", _WEIGHTS)
    from_right = uniform(key, "side") < 0.5
    lean = uniform(key, "lean", (), -0.12, 0.12)
    sideways = torch.where(from_right, -1.0, 1.0).double()
    down = torch.tensor([0.0, -1.0, 1.0, -1.0, 0.0], dtype=torch.float64, device=key.device)[kind]
    right = torch.where(kind == 0, sideways, torch.where(kind == 4, 1.0, lean * (kind != 2)))
    length = (right * right + down * down).sqrt()
    palette = torch.tensor([_PALETTES[name] for name in KINDS], device=key.device)
    shade = uniform(key, "shade", (), 0.85, 1.15).float()[:, None]
    thing = Occluder(
        kind,
        (right / length).float(),
        (down / length).float(),
        torch.full_like(right, 0.5).float(),
        torch.full_like(right, -1.0).float(),
        seed_of(key, "surface"),
        uniform(key, "form", (4,)).float(),
        (palette[kind, choose(key, "colour", (1,) * 5)] * shade).clamp(0, 1),
        torch.tensor(_TRIMS, device=key.device)[choose(key, "trim", (1,) * len(_TRIMS))],
    )
    few = few_of(figure.flatten(1))
    x, y = (few.of(v.expand(len(key), -1)) for v in _centres(figure))
    thing = thing._replace(axis=_quantile(x, few.valid, uniform(key, "axis", (), 0.3, 0.7)))
    return thing._replace(edge=_quantile(height(thing, x, y), few.valid, share))


class Few(NamedTuple):
    """The points that matter of b rows of n, moved to the front: most points of a picture need not be asked."""

    sample: Int[Tensor, " k"]
    point: Int[Tensor, " k"]
    slot: Int[Tensor, " k"]
    """Place among the points kept."""
    valid: Bool[Tensor, "b m"]

    def of(self, value: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
        front = value.new_zeros(self.valid.shape)
        front[self.sample, self.slot] = value[self.sample, self.point]
        return front

    def back(self, front: Float[Tensor, "b m"], whole: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """`whole` with the points kept in their places."""
        whole[self.sample, self.point] = front[self.sample, self.slot]
        return whole


def few_of(kept: Bool[Tensor, "b n"]) -> Few:
    sample, point = kept.nonzero(as_tuple=True)
    total = kept.sum(1)
    slot = (kept.cumsum(1) - 1)[sample, point]
    most = max(int(total.max()), 1) if len(total) else 1
    return Few(sample, point, slot, torch.arange(most, device=kept.device) < total[:, None])


def height(thing: Occluder, x: Float[Tensor, "#b n"], y: Float[Tensor, "#b n"]) -> Float[Tensor, "b n"]:
    """How far in each point lies: it is covered when this is less than `thing.edge`. Continuous; built of exactly rounded
    operations."""
    x, y = (v.expand(len(thing.kind), -1) for v in (x, y))
    result = torch.zeros_like(x)
    for number, name in enumerate(KINDS):
        which = (thing.kind == number).nonzero().flatten()
        if len(which):
            result[which] = _HEIGHTS[name](thing.of(which), x[which], y[which])
    return result


def picture(
    thing: Occluder, size: tuple[int, int], exposure: Float[Tensor, " b"]
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """Image, albedo, coverage and the light left on what stands behind (1 unshaded). `exposure` is the light of the scene."""
    samples = len(thing.kind)
    blank = torch.zeros(samples, *size, device=thing.edge.device, dtype=torch.bool)
    x, y = _centres(blank)
    inner = thing.edge[:, None] - height(thing, x, y)
    cover = (inner * min(size) * 0.8 + 0.5).clamp(0, 1)
    behind = (1 + inner / 0.05).clamp(0, 1)
    behind = 1 - 0.42 * behind * behind
    few = few_of(cover > 0)
    x, y, inner = (few.of(v.expand(samples, -1)) for v in (x, y, inner))
    colours = torch.zeros(samples, 6, x.shape[1], device=x.device)
    for number, name in enumerate(KINDS):
        which = (thing.kind == number).nonzero().flatten()
        if len(which):
            one = thing.of(which)
            albedo, light = _SURFACES[name](one, x[which], y[which], inner[which])
            # Light falls off a little towards the floor; edges catch some from behind.
            light = light * (1.06 - 0.16 * y[which]) * exposure[which][:, None]
            colours[which] = torch.cat([(albedo * light[:, None]).clamp(0, 1), albedo.clamp(0, 1)], dim=1)
    # What is not covered stays black; it is never seen.
    whole = torch.zeros(samples, cover.shape[1], 6, device=x.device)
    whole[few.sample, few.point] = colours.mT[few.sample, few.slot]
    image, albedo = whole.mT.unflatten(2, size).chunk(2, dim=1)
    return image, albedo, *(v.unflatten(1, size)[:, None] for v in (cover, behind))


def _centres(figure: Bool[Tensor, "b h w"]) -> tuple[Float[Tensor, "1 n"], Float[Tensor, "1 n"]]:
    height, width = figure.shape[-2:]
    y, x = torch.meshgrid(*(torch.arange(n, device=figure.device) for n in (height, width)), indexing="ij")
    return ((x + 0.5) / width).reshape(1, -1), ((y + 0.5) / height).reshape(1, -1)


def _quantile(value: Float[Tensor, "b n"], kept: Bool[Tensor, "b n"], share: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """A threshold with `share` of the values kept below it; −1 where none is kept. Sorting rounds nothing."""
    ordered = torch.where(kept, value, torch.inf).sort(dim=1).values
    total = kept.sum(1)
    below = (share * total).round().long()
    at = torch.stack([below - 1, below], dim=1).clamp_min(0).minimum((total - 1).clamp_min(0)[:, None])
    low, high = ordered.gather(1, at).unbind(1)
    edge = (low + high) * 0.5 + torch.where(below == 0, -1e-4, 0.0) + torch.where(below == total, 1e-4, 0.0)
    return torch.where(total > 0, edge, -1.0).float()


def _wave(x: Tensor) -> Tensor:
    """A smooth wave between 0 and 1 made of parabolas, 1 at halves."""
    t = x - x.floor()
    return t * (1 - t) * 4


def _hill(x: Tensor) -> Tensor:
    return 1 / (1 + x * x)


def _step(x: Tensor, softness: float) -> Tensor:
    return (x * (1 / softness) + 0.5).clamp(0, 1)


def _frame(thing: Occluder, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """How far in, and how far along the edge."""
    right, down = thing.right[:, None], thing.down[:, None]
    across, below = x - 0.5, y - 0.5
    return across * right + below * down + 0.5, below * right - across * down + 0.5


def _mix(first: Tensor, second: Tensor, share: Tensor) -> Float[Tensor, "b 3 n"]:
    """From colours (b, 3) or (b, 3, n) to others, by a share (b, n)."""
    first, second = (v[..., None] if v.dim() == 2 else v for v in (first, second))
    return first + (second - first) * share[:, None]


def _curtain_gather(thing: Occluder, y: Tensor) -> Tensor:
    """How far the edge is drawn back: a tie at some height, and the fall of the cloth."""
    tie = 0.5 + 0.25 * thing.form[:, :1]
    drawn = 0.16 * thing.form[:, 1:2] * _hill((y - tie) / 0.13)
    return drawn - 0.05 * noise(thing.seed[:, None], torch.zeros_like(y), y * 3)


def _curtain_height(thing: Occluder, x: Tensor, y: Tensor) -> Tensor:
    return _frame(thing, x, y)[0] + _curtain_gather(thing, y)


def _curtain_surface(thing: Occluder, x: Tensor, y: Tensor, inner: Tensor) -> tuple[Tensor, Tensor]:
    far = _frame(thing, x, y)[0]
    width = (far + inner).clamp_min(0.04)
    # Folds share whatever width the cloth has left, so that they run together at the tie.
    folds = 2 + (thing.edge * 9).clamp(0, 9).floor()[:, None]
    sway = 0.35 * noise(thing.seed[:, None], far * 2, y * 2.3, 1)
    fold = _wave(far / width * folds + sway)
    fine = _wave(far / width * folds * 2.3 + sway * 2)
    trim = _step(inner - 0.006, 0.004) - _step(inner - 0.022, 0.004)
    weave = _wave(far / width * folds * 2 + y * 9) * _wave(y * 18)
    damask = _step(weave - 0.6, 0.3) * (thing.form[:, 2:3] < 0.6)
    albedo = _mix(_mix(thing.colour, thing.colour * 1.2, damask), thing.trim, trim * 0.9)
    light = 0.42 + 0.62 * fold * (0.75 + 0.25 * fold) + 0.12 * (fine - 0.5)
    return albedo, light * (1 + 0.5 * _step(0.004 - inner, 0.01))


def _leaves(thing: Occluder, x: Tensor, y: Tensor):
    """The nine leaves around each point: numbers of its own (by salt), its place, and the point's along and across it."""
    # All leaves of the picture are drawn once and looked up: there are hundreds of them and many thousands of points.
    seed, side = thing.seed[:, None], int(1 / _LEAF) + 3
    cell = torch.arange(side, device=x.device, dtype=torch.int32) - 1
    here_y, here_x = (v.reshape(1, -1) for v in torch.meshgrid(cell, cell, indexing="ij"))
    drawn = {salt: hashed(seed, here_x, here_y, salt) for salt in range(1, 8)}
    turn_x, turn_y = drawn[3] - 0.5, drawn[4] - 0.62
    norm = (turn_x * turn_x + turn_y * turn_y).sqrt().clamp_min(0.05)
    turn_x, turn_y = turn_x / norm, turn_y / norm
    column, row = (x / _LEAF).floor(), (y / _LEAF).floor()
    centre = ((row + 1) * side + column + 1).long()
    for by_y in (-1, 0, 1):
        for by_x in (-1, 0, 1):
            index = (centre + (by_y * side + by_x)).clamp(0, side * side - 1)
            at_x = x / _LEAF - (column + by_x) - drawn[1].gather(1, index)
            at_y = y / _LEAF - (row + by_y) - drawn[2].gather(1, index)
            to_x, to_y = turn_x.gather(1, index), turn_y.gather(1, index)
            along, across = at_x * to_x + at_y * to_y, at_y * to_x - at_x * to_y

            def own(salt, index=index):
                return drawn[salt].gather(1, index)

            yield own, (x - at_x * _LEAF, y - at_y * _LEAF), along, across


def _hedge_height(thing: Occluder, x: Tensor, y: Tensor) -> Tensor:
    # A leaf is a cone that grows as the edge passes it. What lies half a cell deep is covered anyway, and no leaf further away
    # than one cell reaches it: the nine cells around a point are enough, and the height is continuous.
    bumps = 0.06 * noise(thing.seed[:, None], x * 5, y * 5, 9)
    far = _frame(thing, x, y)[0]
    lowest = far + 0.5 * _LEAF
    for _, (leaf_x, leaf_y), along, across in _leaves(thing, x, y):
        distance = (along * along + 4 * across * across).sqrt() + 0.5 * across.abs()
        centre = _frame(thing, leaf_x, leaf_y)[0]
        lowest = torch.minimum(lowest, centre + 1.5 * _LEAF * distance)
    return lowest - bumps


def _hedge_surface(thing: Occluder, x: Tensor, y: Tensor, inner: Tensor) -> tuple[Tensor, Tensor]:
    best = torch.full_like(x, -1.0)
    tone, lit, bloom = torch.full_like(x, 0.1), torch.full_like(x, 0.45), torch.zeros_like(x)
    for own, _, along, across in _leaves(thing, x, y):
        # Pointed at both ends: a lens.
        inside = 0.30 * (1 - along * along * 1.4) - across.abs()
        order = own(5)
        wins = (inside > 0) & (order > best) & (along.abs() < 0.84)
        vein = 1 - 0.25 * _step(0.02 - across.abs(), 0.03)
        side = 0.62 + 0.55 * order + 0.22 * (across > 0) + 0.25 * along
        best = torch.where(wins, order, best)
        tone = torch.where(wins, 0.25 + 0.75 * own(6), tone)
        lit = torch.where(wins, side * vein * (0.75 + 0.25 * _step(inside - 0.03, 0.06)), lit)
        round_ = 0.10 - (along * along + across * across)
        flower = (own(7) < 0.10 * (thing.form[:, :1] < 0.6)) & (round_ > 0)
        bloom = torch.where(flower, _step(round_ - 0.02, 0.02), bloom)
        lit = torch.where(flower, 0.85 + 1.5 * round_, lit)
    sunny = thing.colour * 1.5 + torch.tensor([0.10, 0.10, 0.0], device=x.device)
    albedo = _mix(_mix(thing.colour * 0.7, sunny, tone), thing.trim * 0.6 + 0.4, bloom)
    deep = (inner / 0.3).clamp(0, 1)
    return albedo, lit * (1.05 - 0.4 * deep)


def _awning_lobes(thing: Occluder) -> Tensor:
    return 7 + (thing.form[:, :1] * 5).floor()


def _awning_height(thing: Occluder, x: Tensor, y: Tensor) -> Tensor:
    far, along = _frame(thing, x, y)
    lobe = along * _awning_lobes(thing)
    lobe = (lobe - lobe.floor()) * 2 - 1
    return far - 0.035 * (1 - lobe * lobe).clamp_min(0).sqrt()


def _awning_surface(thing: Occluder, x: Tensor, y: Tensor, inner: Tensor) -> tuple[Tensor, Tensor]:
    far, along = _frame(thing, x, y)
    lobes = _awning_lobes(thing)
    up = (thing.edge[:, None] - 0.055 - far).clamp_min(0)  # above the seam the cloth leans away, and its stripes run together
    stripe = (0.5 + (along - 0.5) * (1 + 0.7 * up)) * lobes
    odd = (stripe * 0.5 - (stripe * 0.5).floor()) * 2
    band = _step(1 - odd, 0.05) * _step(odd, 0.05)
    albedo = _mix(thing.colour, thing.trim * 0.25 + 0.70, band)
    valance = _step(far - (thing.edge[:, None] - 0.055), 0.008)
    ripple = _wave(stripe)
    light = (0.98 - 0.5 * up + 0.06 * ripple) * (1 - valance) + (0.70 + 0.20 * ripple) * valance
    seam = _step(0.005 - (far - thing.edge[:, None] + 0.055).abs(), 0.005)
    piping = _step(0.008 - inner, 0.004)
    return _mix(albedo, thing.colour * 0.8, piping), light * (1 - 0.3 * seam)


def _fence_boards(thing: Occluder, along: Tensor) -> tuple[Tensor, Tensor]:
    """The number of the board, and the place on it, −1 … 1."""
    board = along * (8 + 6 * thing.form[:, :1])
    number = board.floor()
    return number.int(), (board - number) * 2 - 1


def _fence_height(thing: Occluder, x: Tensor, y: Tensor) -> Tensor:
    far, along = _frame(thing, x, y)
    number, at = _fence_boards(thing, along)
    uneven = 0.05 * hashed(thing.seed[:, None], number, torch.zeros_like(number)) * thing.form[:, 1:2]
    pointed = torch.where(thing.form[:, 2:3] < 0.5, 0.06 * at.abs(), 0.035 * at * at)
    return far + uneven + pointed


def _fence_surface(thing: Occluder, x: Tensor, y: Tensor, inner: Tensor) -> tuple[Tensor, Tensor]:
    far, along = _frame(thing, x, y)
    number, at = _fence_boards(thing, along)
    zero = torch.zeros_like(number)
    seed = thing.seed[:, None]
    tone = 0.82 + 0.36 * hashed(seed, number, zero, 3)
    shift = hashed(seed, number, zero, 4) * 40
    grain = noise(seed, along * 150 + shift, far * 5, 5) * 0.6 + noise(seed, along * 60 + shift, far * 2.5, 6) * 0.4
    rail = _step(0.035 - (far - thing.edge[:, None] * 0.55).abs(), 0.01)
    nail = _step(0.012 - ((far - thing.edge[:, None] * 0.55).abs() + 0.05 * (at.abs() - 0.5).abs()), 0.006)
    gap = _step(at.abs() - 0.93, 0.06)
    albedo = thing.colour[..., None] * (tone * (0.78 + 0.44 * grain))[:, None]
    light = (0.92 + 0.14 * at * (1 - 2 * (thing.form[:, 3:] < 0.5).float())) * (1 - 0.7 * gap)
    return albedo, light * (1 - 0.06 * rail) * (1 - 0.55 * nail) * (1 + 0.25 * _step(0.006 - inner, 0.006))


def _pillar_wide(y: Tensor) -> Tensor:
    """How much wider a pillar is: a capital, a base and a slight swelling between them."""
    swell = 0.012 * _wave(y * 0.5 + 0.25)
    return swell + 0.03 * _step(0.07 - y, 0.02) + 0.018 * _step(0.10 - y, 0.01) + 0.03 * _step(y - 0.93, 0.02)


def _pillar_height(thing: Occluder, x: Tensor, y: Tensor) -> Tensor:
    return (x - thing.axis[:, None]).abs() - _pillar_wide(y)


def _pillar_surface(thing: Occluder, x: Tensor, y: Tensor, inner: Tensor) -> tuple[Tensor, Tensor]:
    off = x - thing.axis[:, None]
    half = (off.abs() + inner).clamp_min(0.01)
    u = (off / half).clamp(-1, 1)
    facing = (1 - u * u).sqrt()
    shaft = _step(y - 0.105, 0.01) * _step(0.925 - y, 0.01)
    angle = u * (1 + 0.19 * u * u) * 5.5  # close to an arcsine, so that flutes crowd towards the sides
    flute = _wave(angle) * shaft * (thing.form[:, :1] < 0.65)
    light_from = torch.where(thing.form[:, 1:2] < 0.5, -0.6, 0.6)
    lambert = (u * light_from + facing * 0.8).clamp(0, 1)
    slope = (angle - angle.floor() - 0.5) * flute * light_from
    rings = _step(0.004 - (y - 0.10).abs(), 0.004) + _step(0.004 - (y - 0.93).abs(), 0.004)
    stone = clouds(thing.seed[:, None], off * 14, y * 14, 4)
    albedo = thing.colour[..., None] * (0.84 + 0.32 * stone)[:, None]
    return albedo, (0.42 + 0.66 * lambert) * (0.84 + 0.16 * flute) * (1 - 0.35 * slope) * (1 - 0.35 * rings)


_HEIGHTS = {
    "curtain": _curtain_height,
    "hedge": _hedge_height,
    "awning": _awning_height,
    "fence": _fence_height,
    "pillar": _pillar_height,
}
_SURFACES = {
    "curtain": _curtain_surface,
    "hedge": _hedge_surface,
    "awning": _awning_surface,
    "fence": _fence_surface,
    "pillar": _pillar_surface,
}
