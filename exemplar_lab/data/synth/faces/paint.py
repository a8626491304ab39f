"""Colour before light, as a function of the point of the surface alone, and the name of the part that the point belongs to."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.synth.curves import step, wave
from exemplar_lab.data.synth.faces.coat import INDEX, PARTS, Brush, Coat, coat_of, edge_of, grain, over_
from exemplar_lab.data.synth.faces.identity import Person
from exemplar_lab.data.synth.faces.mesh import MESHES, NUMBER
from exemplar_lab.data.synth.faces.skin import paint_head
from exemplar_lab.data.synth.faces.surface import bump, lids, lips, soft


def keep(person: Person):
    """What of the cut layers is there: the skin outside of eyes and mouth, hair above its edge and with ragged ends."""

    def kept(sample: Int[Tensor, " n"], mesh: Int[Tensor, " n"], point: Float[Tensor, "3 n"]) -> Bool[Tensor, " n"]:
        answer = torch.ones(len(sample), dtype=torch.bool, device=sample.device)
        for name, rule in (("head", _skin_there), ("cap", _cap_there), ("drape", _drape_there)):
            at = (mesh == NUMBER[name]).nonzero().flatten()
            if len(at):
                answer.index_copy_(0, at, rule(person, sample.index_select(0, at), *point.index_select(1, at)))
        return answer

    return kept


def _skin_there(person: Person, sample: Tensor, x: Tensor, y: Tensor, turn: Tensor) -> Tensor:
    near = ((x.abs() < 0.56) & (y > -0.75) & (y < 0.2) & (turn.abs() < 0.4)).nonzero().flatten()
    names = ("eye_x", "eye_y", "eye_wide", "eye_high", "eye_tilt", "mouth_y", "mouth_wide")
    flat = {name: person[name].index_select(0, sample[near]) for name in names}
    side, height = x[near].abs()[:, None], y[near][:, None]
    low, high, _ = lids(side, flat)
    below, over, _ = lips(side, flat)
    hole = ((height > low) & (height < high)) | ((height > below) & (height < over))
    there = torch.ones_like(x, dtype=torch.bool)
    there[near] = ~hole[:, 0]
    return there


def _cap_there(person: Person, sample: Tensor, turn: Tensor, y: Tensor, above: Tensor) -> Tensor:
    curl, buzz, strand = (person[n].index_select(0, sample) for n in ("curl", "buzz", "strand"))
    long = 0.020 + 0.045 * (person["hairline"][:, 0].index_select(0, sample) < 0.4) * (turn.abs() < 0.3)
    tuft = wave(turn * 19 * strand + 0.4 * wave(turn * 7) + y * 0.7)
    jag = (
        tuft * long * (0.5 + wave(turn * 5.3 + 0.2))
        + wave(turn * 43 + y * 2) * 0.014
        + wave(turn * 97) * 0.010
        + curl * 0.03 * wave(turn * 17 + y * 9)
    )
    return above > jag * (1 - 0.5 * buzz)


def _drape_there(person: Person, sample: Tensor, turn: Tensor, y: Tensor, share: Tensor) -> Tensor:
    end, strand, curl = (person[n].index_select(0, sample) for n in ("drape", "strand", "curl"))
    away = 1 - turn.abs()  # half turns from the front
    opening = 0.30 + 0.05 * soft((y + 0.2) / -0.4) - 0.06 * soft((y + 0.7) / -0.7)
    jag = wave(y * 2.7 * strand + 0.2) * (0.012 + 0.02 * curl)
    tips = (wave(turn * 23 * strand) * 0.10 + wave(turn * 57) * 0.05) * soft((end + 2.2) * 3 + 0.35)
    return (away > opening + jag) & (y > end + tips)


def alike(person: Person) -> Bool[Tensor, "n parts"]:
    """Of which parts the mirrored point has the same albedo: of all but hair, unless one side bears a mark of its own, or every
    point has a colour of its own."""
    same, plain = person["distinct"] == 0, person["texture"] <= 0.5
    marked = {"skin", "beard", "lip_upper", "lip_lower", "nose", "eye_right", "eye_left", "brow_right", "brow_left"}
    free = {"mouth", "glasses", "ear_right", "ear_left", "earring_right", "earring_left"}
    never = torch.zeros_like(same)
    rows = [
        never if n.startswith("hair") else same & plain if n in marked else same | True if n in free else plain for n in PARTS
    ]
    return torch.stack(rows, dim=1)


def paint(
    person: Person, sample: Int[Tensor, " n"], mesh: Int[Tensor, " n"], point: Float[Tensor, "3 n"], fine: Tensor
) -> Coat:
    """What covers n points, in the order of their layers. fine: the size of a pixel of each sample, in half heads, below which
    nothing is drawn."""
    painters = {"head": paint_head, "neck": _body, "mouth": _inside, "cap": _hair, "drape": _hair_back, "bun": _hair_back}
    coats, end = [], 0
    for name, many in zip(MESHES, torch.bincount(mesh, minlength=len(MESHES)).tolist(), strict=True):
        if not many:
            continue
        some, end = slice(end, end + many), end + many
        brush = Brush(person, sample[some], fine.index_select(0, sample[some]))
        painter = painters.get(name) or _PAIRED[name.split("_")[0]]
        coats.append(painter(brush, *point[:, some].unbind(0), name))
    return coats[0] if len(coats) == 1 else Coat(*(torch.cat(of, dim=-1) for of in zip(*coats, strict=True)))


def _body(at: Brush, x: Tensor, y: Tensor, turn: Tensor, name: str) -> Coat:
    side, fine, skin = x.abs(), at.fine, at["skin"]
    front = (1 - turn.abs() * 2).clamp_min(0)
    collar, cloth, second = at["collar"], at["cloth"], at["cloth_second"]
    round_ = -1.10 - 0.15 * soft(1 - side / 0.42) * (front > 0)
    vee = -1.06 - 0.50 * (1 - side / 0.40).clamp_min(0) * (front > 0)
    shirt = -0.96 - 0.36 * (1 - side / 0.24).clamp_min(0) * (front > 0)
    roll = -0.78 + 0 * side
    line = torch.where(collar < 0.5, round_, torch.where(collar < 1.5, vee, torch.where(collar < 2.5, shirt, roll)))
    covered = edge_of(line - y, fine + 0.012)
    # Along the cloth: over the shoulders it runs outwards more than down.
    down = -y + 1.3 * (-1.12 - y).clamp(0, 0.40)
    pattern, around = at["pattern"], turn.abs() * 4.2
    stripe = edge_of(wave(down * 4.2) - 0.5, fine * 6 + 0.06)
    check = (stripe + edge_of(wave(around * 4.2 + 0.25) - 0.5, fine * 6 + 0.06)) * 0.5
    px, py = wave(around * 3.8) - 1, wave(down * 3.8) - 1
    dots = edge_of(0.30 - (px * px + py * py + 1e-9).sqrt(), fine * 5 + 0.08)
    zigzag = edge_of(wave(down * 3.4 + 0.35 * wave(around * 4)) - 0.5, fine * 6 + 0.06)
    mix = torch.zeros_like(x)
    for number, kind in enumerate((mix, stripe, check, dots, zigzag)):
        mix = torch.where(pattern == number, kind, mix)
    mix = mix * (y < -0.92)
    garment = over_(cloth, second, mix)
    mottled = grain(torch.where(at["texture"] > 0.5, x + turn, side), y, at["seed"])
    garment = garment * (1 + (0.02 + 0.25 * at["texture"]) * mottled)
    garment = garment * (1 + 0.03 * (wave(around * 9 + down * 5) + wave(down * 11 - around * 6) - 1))
    # A hem of the other colour; the points of a shirt's collar; ribs of a roll-neck; where sleeves begin.
    hem = edge_of(0.045 - (line - y), fine + 0.01) * (collar < 1.5)
    garment = over_(garment, over_(cloth * 0.80, second, (pattern < 0.5) * 0.6), hem)
    flap = (
        edge_of(0.30 + 0.35 * (1 - side / 0.5) - (line - y) * 1.1 - side * 0.35, fine + 0.01)
        * edge_of(line - y, 0.01)
        * (side < 0.52)
        * (front > 0)
    )
    flap = flap * ((collar > 1.5) & (collar < 2.5))
    garment = over_(garment, over_(cloth, (1.0, 1.0, 1.0), (mix * 0 + 0.35)), flap)
    button = (
        bump(x, wave(down * 2.2) * 0.22 - 0.22, 0.028 + fine * 0.5, 0.03)
        * ((collar > 1.5) & (collar < 2.5))
        * (front > 0)
        * (y < -1.4)
    )
    placket = bump(side - 0.0, y * 0, 0.012 + fine * 0.5, 1) * ((collar > 1.5) & (collar < 2.5)) * (front > 0) * (y < -1.32)
    garment = garment * (1 - 0.30 * placket) * (1 - 0.6 * button)
    fold = collar > 2.5
    ribs = wave(turn * 34) * fold * (y > -1.12)
    garment = garment * (1 - 0.14 * ribs) * (1 - 0.28 * fold * edge_of(0.018 - (y + 0.95).abs(), 0.03))
    sleeve = bump(side - 1.05 - 0.06 * (y + 2), y * 0, 0.035, 1) * soft((-1.65 - y) / 0.3)
    garment = garment * (1 - 0.28 * sleeve)
    bare = skin * (1 - 0.10 * bump(side - 0.10 - 0.16 * (y + 1.15).clamp_min(0), y + 1.05, 0.05, 0.24) * (front > 0))
    bone = bump(side - 0.24, y + 1.27 + 0.10 * (side - 0.24), 0.22, 0.03) * (front > 0)
    bare = bare * (1 + 0.05 * bone) * (1 + (0.02 + 0.18 * at["texture"]) * mottled)
    colour = over_(bare, garment, covered)
    part = torch.where(covered > 0.5, INDEX["clothes"], INDEX["neck"])
    under = soft((y + 1.24) / 0.42) * (0.45 + 0.55 * soft(front * 2))
    dim = 1 - 0.58 * under * (1 - 0.35 * covered) - 0.22 * bump(turn * 0, (line - y) + 0.035, 1, 0.05) * (1 - covered)
    return coat_of(colour.clamp(0, 1), part, 0.10 * (1 - covered) + 0.02, dim.clamp(0.2, 1), 1 - covered)


def _inside(at: Brush, x: Tensor, y: Tensor, jaw: Tensor, name: str) -> Coat:
    """Upper teeth, tongue, a hint of the lower teeth; dark in between."""
    wide = at["mouth_wide"]
    arch = 0.022 * (x / wide) * (x / wide)
    upper = edge_of(y - 0.020 - arch * 0.6, 0.010) * edge_of(wide * 0.93 - x.abs(), 0.03)
    lower = edge_of(-0.052 - y + arch, 0.010) * edge_of(wide * 0.72 - x.abs(), 0.03) * (jaw < 0.45)
    gaps = 1 - 0.20 * (1 - step(wave(x * 11 + 0.5) - 0.06, 0.10))
    colour = torch.tensor((0.30, 0.08, 0.09), device=x.device)[:, None] + 0 * x
    tongue = bump(x, y + 0.085, wide * 0.80, 0.075)
    colour = over_(colour, (0.78, 0.36, 0.36), (tongue * 1.6).clamp(0, 1) * soft(jaw * 5))
    tooth = torch.tensor((0.97, 0.95, 0.91), device=x.device)[:, None] * gaps
    colour = over_(colour, tooth, torch.maximum(upper, lower * 0.9))
    dim = 0.62 + 0.38 * upper - 0.45 * soft((x.abs() / wide - 0.45) / 0.5)
    return coat_of(colour, INDEX["mouth"], 0.12 * upper, dim.clamp(0.25, 1), 0.0)


def _strands(turn: Tensor, y: Tensor, at: Brush) -> Tensor:
    """Light and dark strands in −1 … 1, that run down and sway."""
    strand, curl, sweep = at["strand"], at["curl"], at["sweep"]
    sway = turn + (0.018 + 0.03 * curl) * soft(wave(y * (1.3 + 1.6 * curl) + turn * 3)) + sweep * 0.10 * y * (1 - turn.abs())
    lock = wave(sway * 13 * strand)
    hair = 0.9 * lock + 0.6 * wave(sway * 37 * strand + lock * 0.4) + 0.45 * wave(sway * 83 + y * 1.1)
    return hair - 0.97


def _hair_coat(at: Brush, turn: Tensor, y: Tensor, part: int, shade: Tensor) -> Coat:
    strands = _strands(turn, y, at) * (0.75 + 0.9 * at["texture"])
    hair = at["hair"]
    deep = hair * torch.tensor((0.55, 0.50, 0.52), device=y.device)[:, None]
    colour = over_(deep, hair * 1.12 + 0.02, (0.62 + 0.50 * strands).clamp(0, 1))
    return coat_of(colour.clamp(0, 1), part, 0.26 + 0.20 * strands, shade, 0.0)


def _hair(at: Brush, turn: Tensor, y: Tensor, above: Tensor, name: str) -> Coat:
    # Darker towards the edge and in the parting.
    shade = 0.70 + 0.30 * soft(above / 0.22)
    part_line = turn + at["sweep"] * 0.10
    parting = bump(part_line, y * 0, 0.022, 1) * soft((y - 0.5) / 0.2) * (at["sweep"].abs() > 0.3) * (at["quiff"] < 0.3)
    made = _hair_coat(at, turn, y, INDEX["hair"], shade * (1 - 0.45 * parting))
    thin = at["buzz"] * (at["volume"] < 0.06)
    colour = over_(made.colour, at["skin"] * 0.62 + made.colour * 0.25, 0.35 * thin)
    return made._replace(colour=colour, gloss=made.gloss * (1 - 0.8 * thin) * (1 - 0.6 * at["curl"]))


def _hair_back(at: Brush, turn: Tensor, y: Tensor, share: Tensor, name: str) -> Coat:
    if name == "bun":
        return _hair_coat(at, turn + 0.06 * y, y * 0.6, INDEX["hair_back"], 0.72 + 0.28 * soft((y + 1) / 0.9))
    return _hair_coat(at, turn, y, INDEX["hair_back"], 0.62 + 0.38 * soft((y - at["drape"]) / 0.5))


def _ear(at: Brush, p: Tensor, q: Tensor, radius: Tensor, name: str) -> Coat:
    side = name.split("_")[1]
    red = at["skin"] * torch.tensor((0.96, 0.66, 0.60), device=p.device)[:, None]
    colour = over_(at["skin"], red, 0.30 + 0.35 * soft((radius - 0.7) / 0.3))
    hollow = bump(p + 0.01, q + 0.02, 0.075, 0.11)
    colour = colour * (1 - 0.45 * hollow)
    ring = bump(p + 0.005, q + 0.175 * at["ear"], 0.034 + at.fine * 0.3, 0.036 + at.fine * 0.3)
    jewel = (ring > 0.25) & (at["earring"] > 0)
    gold = torch.tensor((0.95, 0.78, 0.38), device=p.device)[:, None] * (0.75 + 0.4 * ring)
    colour = torch.where(jewel, gold, colour)
    part = torch.where(jewel, INDEX[f"earring_{side}"], INDEX[f"ear_{side}"])
    return coat_of(colour.clamp(0, 1), part, 0.10 + 0.6 * jewel, 0.86 - 0.25 * hollow, 1.0 - jewel.float())


def _eye(at: Brush, x: Tensor, y: Tensor, z: Tensor, name: str) -> Coat:
    side = name.split("_")[1]
    away = (x * x + y * y + 1e-12).sqrt() + (z < 0)
    iris = at["iris"] / 0.195
    fine = at.fine / 0.195
    white = torch.tensor((0.95, 0.94, 0.925), device=x.device)[:, None] - 0.0 * x
    pink = soft((x.abs() - 0.55) / 0.3)
    white = over_(white, (0.90, 0.70, 0.66), pink * 0.5)
    hue = at[f"iris_{side}"]
    t = (away / iris).clamp(0, 1)
    # Rays: the slope y / x in the iris, waves of it, brighter below where light passes through.
    ray = (
        wave(x.abs() / (y.abs() + 0.35 * away + 1e-4) * 3.1 + 0.3) * 0.5 + wave(y / (x.abs() + 0.35 * away + 1e-4) * 4.3) * 0.5
    )
    glow = 0.72 + 0.55 * soft((0.25 - y / iris) / 1.4) + 0.30 * (ray - 0.5)
    colour = hue * glow * (1 + 0.25 * bump(t - 0.5, t * 0, 0.35, 1))
    colour = over_(colour, hue * 0.28, soft((t - 0.74) / 0.26) * 0.85)
    colour = over_(colour, (0.03, 0.02, 0.03), edge_of(iris * 0.46 - away, fine * 0.8 + 0.03))
    colour = over_(white, colour, edge_of(iris - away, fine * 0.8 + 0.05))
    return coat_of(colour.clamp(0, 1), INDEX[f"eye_{side}"], 0.0, 1.0, -1.0)


def _frame(at: Brush, along: Tensor, edge: Tensor, none: Tensor, name: str) -> Coat:
    colour = at["frame"] * (0.85 + 0.5 * bump(edge - 0.6, edge * 0, 0.5, 1))
    return coat_of(colour.clamp(0, 1), INDEX["glasses"], 0.55, 1.0, 0.0)


_PAIRED = {"ear": _ear, "eye": _eye, "rim": _frame, "bridge": _frame, "arm": _frame}
