"""Which quads of a portrait matter: those that can be seen at all, and those of which a part may be cut away."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from exemplar_lab.data.synth.faces.identity import Person
from exemplar_lab.data.synth.faces.layers import hairline
from exemplar_lab.data.synth.faces.mesh import GRIDS, INNER, MESHES, NUMBER, OWNER, START
from exemplar_lab.data.synth.faces.surface import OPEN, column

_UNDER = 0.30
"""How far above its edge flat hair surely covers the skull, in half heads: tufts leave 0.16 of it bare, and one sees a little
under them."""
_TUFT = 0.16
"""No tuft of hair is longer than this, in half heads."""


def _corners(own: Float[Tensor, "n 3 v"], name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Where the vertices of a layer lie on it, (n, rows, columns) each."""
    grid = GRIDS[name]
    part = own[:, :, START[name] : START[name] + grid.rows * grid.columns]
    return part.unflatten(2, (grid.rows, grid.columns)).unbind(1)


def _least(value: Float[Tensor, "n rows columns"], name: str) -> Float[Tensor, "n q"]:
    """The least of the four corners of each quad of a layer, in the order of the quads."""
    value = torch.minimum(value[:, 1:], value[:, :-1])
    return torch.minimum(value[..., 1:], value[..., :-1]).flatten(1).repeat(1, 2 if GRIDS[name].both else 1)


def _most(value: Float[Tensor, "n rows columns"], name: str) -> Float[Tensor, "n q"]:
    return -_least(-value, name)


def _place(name: str) -> slice:
    """Where the quads of a layer stand among all."""
    at = (NUMBER[name] == OWNER).nonzero().flatten()
    return slice(int(at[0]), int(at[-1]) + 1)


def useful(own: Float[Tensor, "n 3 v"], person: Person) -> Bool[Tensor, "n q"]:
    """The quads that can be seen at all: of the layers that a person has, without skull under hair, hair below its edge, and
    the inside of hair that lies on the skull. own: where vertices lie on their layers."""
    device = own.device
    there = torch.ones(len(own), len(MESHES), dtype=torch.bool, device=device)
    for names, present in (
        (("cap",), person["has_cap"]),
        (("drape",), (person["drape"] < 0).float()),
        (("bun",), person["bun"]),
        (("rim_right", "rim_left", "bridge", "arm_right", "arm_left"), person["glasses"]),
    ):
        for name in names:
            there[:, NUMBER[name]] = present > 0
    answer = there[:, OWNER.to(device)]
    _, y, turn = _corners(own, "head")
    above = y - hairline(turn.flatten(1), person).clamp_max(0.6).view_as(y)
    under = _UNDER + 1.2 * column(person, "volume")[0]
    answer[:, _place("head")] &= ~((_least(above, "head") > under) & (person["has_cap"] > 0)[:, None])
    _, y, above = _corners(own, "cap")
    inside = INNER[_place("cap")].to(device) & (_least(y, "cap") > 0.85) & (_least(above, "cap") > 0.5)
    answer[:, _place("cap")] &= ~((_most(above, "cap") <= 0) | inside)
    return answer


def doubtful(own: Float[Tensor, "n 3 v"], person: Person) -> Bool[Tensor, "n q"]:
    """The quads of which `keep` may cut a part away, and some more: skin about eyes and mouth, ends and edges of hair."""
    answer = torch.zeros(len(own), len(OWNER), dtype=torch.bool, device=own.device)
    x, y, turn = _corners(own, "head")
    side = x.abs()
    near, far, low, high = _least(side, "head"), _most(side, "head"), _least(y, "head"), _most(y, "head")
    # Where a quad crosses the middle, its corners do not tell how close it comes.
    near = near * (_least(x, "head") * _most(x, "head") > 0)
    eye_x, eye_y, wide, tall, mouth_y, mouth = column(person, "eye_x", "eye_y", "eye_wide", "eye_high", "mouth_y", "mouth_wide")
    reach = 1.5 * tall + column(person, "eye_tilt")[0].abs() * wide + 1e-3
    eyes = (near < eye_x + wide + 1e-3) & (far > eye_x - wide - 1e-3) & (low < eye_y + reach) & (high > eye_y - reach)
    lips = (near < mouth + 1e-3) & (low < mouth_y + OPEN + 1e-3) & (high > mouth_y - OPEN - 1e-3)
    answer[:, _place("head")] = (eyes | lips) & (_least(turn.abs(), "head") < 0.42)
    answer[:, _place("cap")] = _least(_corners(own, "cap")[2], "cap") < _TUFT
    turn, y, _ = _corners(own, "drape")
    end = column(person, "drape")[0]
    answer[:, _place("drape")] = (_most(turn.abs(), "drape") > 0.61) | (_least(y, "drape") < end + _TUFT)
    return answer
