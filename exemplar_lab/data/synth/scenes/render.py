"""Pictures of landscapes, painted from far to near: sky, clouds, plain, ridges, things; then water mirrors what is there."""

from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.scenes.canvas import Scenery, mix
from exemplar_lab.data.synth.scenes.cast import Fragments
from exemplar_lab.data.synth.scenes.layout import RIDGES
from exemplar_lab.data.synth.scenes.noise import numbers
from exemplar_lab.data.synth.scenes.plain import mirror_in_water, paint_plain, paint_shadows
from exemplar_lab.data.synth.scenes.relief import paint_ridge, paint_things
from exemplar_lab.data.synth.scenes.sky import paint_clouds, paint_sky


def paint(
    scene: Scenery, parts: Fragments, found: Float[Tensor, "8 f"], grain: Int[Tensor, "n 2"]
) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n 3 h w"], Int[Tensor, " p"]]:
    """Image, albedo, and the class of the plain or sky at each pixel, flat, where nothing stands before them."""
    size, samples = scene.size, len(scene.style)
    # Lit colour, albedo, how much of the pixel is water, and the row where what is seen stands.
    canvas = torch.zeros(8, samples * size * size, device=scene.colour.device)
    paint_sky(canvas, scene)
    paint_clouds(canvas, scene)
    behind = paint_plain(canvas, scene)
    paint_shadows(canvas, scene)
    for number in range(len(RIDGES)):
        paint_ridge(canvas, scene, number)
    bare = canvas[[0, 1, 2, 6]]
    paint_things(canvas, scene, parts, found)
    canvas = canvas.unflatten(1, (samples, size, size))
    lit = mirror_in_water(canvas, bare, scene)
    return _finish(lit, scene, grain), canvas[3:6].movedim(0, 1).clamp(0, 1), behind


def _finish(lit: Float[Tensor, "n 3 h w"], scene: Scenery, grain: Int[Tensor, "n 2"]) -> Float[Tensor, "n 3 h w"]:
    """Exposure, a shoulder for the highlights, vignette and grain."""
    size = scene.size
    at = (torch.arange(size, device=lit.device, dtype=torch.float32) + 0.5) / size - 0.5
    corner = at[:, None] * at[:, None] + at[None] * at[None]
    step = torch.arange(size, device=lit.device)
    speckle = _speckle(str(lit.device))[((step + grain[:, :1]) % 256)[:, :, None], ((step + grain[:, 1:]) % 256)[:, None, :]]
    grey = lit[:, :1] * 0.3 + lit[:, 1:2] * 0.58 + lit[:, 2:] * 0.12
    lit = mix(grey, lit, 1.12).clamp(0, 2)
    lit = lit * (1.34 - 0.30 * lit.clamp_max(1.6))
    lit = lit * (1 - 0.30 * corner) + (speckle * 0.016)[:, None]
    return lit.clamp(0, 1)


@lru_cache(maxsize=4)
def _speckle(device: str) -> Float[Tensor, "256 256"]:
    return torch.from_numpy(numbers("speckle", (256, 256)) - 0.5).float().to(device)
