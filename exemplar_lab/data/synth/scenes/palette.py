"""The colours of things in a style: leaves and trunks, walls and roofs, the gores of balloons."""

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.data.synth.scenes.layout import World
from exemplar_lab.data.synth.scenes.materials import CLASSES, pigments
from exemplar_lab.data.synth.scenes.sprites import FIRST
from exemplar_lab.data.synth.scenes.style import anchors, ramp

_C = {name: number for number, name in enumerate(CLASSES)}

_WALLS = (
    (0.94, 0.91, 0.85),
    (0.93, 0.83, 0.64),
    (0.86, 0.62, 0.48),
    (0.90, 0.87, 0.82),
    (0.62, 0.26, 0.22),
    (0.72, 0.78, 0.82),
)
_ROOFS = ((0.66, 0.30, 0.22), (0.50, 0.24, 0.20), (0.36, 0.36, 0.42), (0.72, 0.40, 0.26), (0.42, 0.34, 0.30))
_BLOSSOMS = ((0.96, 0.94, 0.92), (0.93, 0.55, 0.66), (0.85, 0.36, 0.50), (0.96, 0.82, 0.38), (0.68, 0.52, 0.82))
_SILK = (
    *((0.86, 0.22, 0.20), (0.95, 0.52, 0.16), (0.97, 0.80, 0.24), (0.42, 0.68, 0.28), (0.12, 0.56, 0.56)),
    *((0.18, 0.46, 0.78), (0.36, 0.32, 0.70), (0.74, 0.30, 0.62), (0.86, 0.22, 0.20)),
)
_SECOND = ((0.98, 0.95, 0.86), (0.98, 0.95, 0.86), (0.98, 0.84, 0.40), (0.20, 0.24, 0.40), (0.96, 0.62, 0.30))


def thing_colours(world: World, style: Float[Tensor, "n 9"]) -> Float[Tensor, "n k 5 3"]:
    """The five paints of each thing: 0 its body, 1 … 4 as the drawings use them."""
    samples, count = world.thing_x.shape
    pigment = pigments(style)
    season = style[:, 3].double()[:, None].expand(-1, count)
    hue = world.thing_hue.double()
    green, earth, rock = (pigment[:, None, i].expand(-1, count, -1) for i in (0, 2, 1))

    def table(at, colours):
        return anchors(at.flatten(), colours).unflatten(0, (samples, count))

    bright = (0.90 + 0.20 * hue[..., 1])[..., None]
    # In autumn every tree turns in its own time, to yellow, orange or red.
    turned = (ramp(season + 0.5 * (hue[..., 2] - 0.5), 0.55, 0.95) * 0.85)[..., None]
    autumn = table(hue[..., 0], ((0.86, 0.66, 0.18), (0.88, 0.50, 0.14), (0.76, 0.28, 0.14), (0.62, 0.40, 0.16)))
    leaf = (green * 0.80 * (1 - turned) + autumn * turned) * bright
    leaf = leaf + (hue[..., :1] - 0.5) * torch.tensor([0.10, 0.02, -0.06], dtype=torch.float64, device=hue.device)
    steady = green.mean(-1, keepdim=True) * torch.tensor([0.50, 0.84, 0.52], dtype=torch.float64, device=hue.device) * bright
    evergreen = world.thing_sprite < FIRST["broadleaf"]
    palm = (world.thing_sprite >= FIRST["palm"]) & (world.thing_sprite < FIRST["bush"])
    leaf = torch.where(evergreen[..., None], steady, leaf)
    leaf = torch.where(
        palm[..., None], green * torch.tensor([0.80, 0.92, 0.70], dtype=torch.float64, device=hue.device) * bright, leaf
    )
    bush = green * 0.84 * bright + (hue[..., :1] - 0.5) * torch.tensor(
        [0.08, 0.03, -0.05], dtype=torch.float64, device=hue.device
    )
    bush = bush + (autumn * 0.8 - bush) * turned * 0.6
    trunk = earth * 0.62 + rock * 0.16
    wall = table(hue[..., 0], _WALLS)
    roof = table(hue[..., 1], _ROOFS)
    window = torch.tensor([0.26, 0.34, 0.44], dtype=torch.float64, device=hue.device).expand_as(wall)
    door = table(hue[..., 2], ((0.36, 0.24, 0.18), (0.22, 0.36, 0.40), (0.50, 0.22, 0.18), (0.30, 0.34, 0.26)))
    silk, second = table(hue[..., 0], _SILK), table(hue[..., 1], _SECOND)
    basket = torch.tensor([0.46, 0.32, 0.19], dtype=torch.float64, device=hue.device).expand_as(wall)
    blossom = table(hue[..., 2], _BLOSSOMS)
    nut = trunk * 0.6
    of_class = {
        "tree": (leaf, trunk, blossom, nut, trunk),
        "bush": (bush, trunk, blossom, nut, trunk),
        "house": (wall, roof, window, door, roof * 0.8),
        "balloon": (silk, second, second, basket, basket),
    }
    colours = torch.zeros(samples, count, 5, 3, dtype=torch.float64, device=hue.device)
    for name, paints in of_class.items():
        mine = (world.thing_class == _C[name])[..., None, None]
        colours = torch.where(mine, torch.stack(paints, dim=2), colours)
    tint = pigment[:, 6] / pigment[:, 6].mean(-1, keepdim=True)
    painted = ((world.thing_class == _C["house"]) | (world.thing_class == _C["balloon"]))[..., None, None]
    colours = torch.where(painted, colours * (0.82 + 0.18 * tint[:, None, None]), colours)
    return colours.clamp(0.02, 1).float()
