"""Colour before light, as a function of the point of the surface alone, and the name of the part that the point belongs to."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.synth.details import step, wave
from exemplar_lab.data.synth.face_identity import Person
from exemplar_lab.data.synth.face_layers import hairline
from exemplar_lab.data.synth.face_mesh import MESHES, NUMBER
from exemplar_lab.data.synth.face_surface import bump, lids, lips, soft
from exemplar_lab.data.synth.paint_noise import noise

PARTS = ("skin", "nose", "eye_right", "eye_left", "brow_right", "brow_left", "ear_right", "ear_left", "mouth", "lip_upper", "lip_lower",
         "neck", "clothes", "hair", "hair_back", "beard", "glasses", "earring_right", "earring_left")  # fmt: skip
"""CelebAMask-HQ's classes, without hat and necklace, with beard and hair_back beside. Right is the person's own."""
INDEX = {name: i for i, name in enumerate(PARTS)}


class Coat(NamedTuple):
    """What covers n points: colour (3, n), part (n), how glossy, how dark in a crease (1 open), how the light strays inside."""

    colour: Tensor
    part: Tensor
    gloss: Tensor
    open: Tensor
    skin: Tensor


class _Brush:
    """Numbers of the samples that n points belong to, as broad as the points. A record with a memory: each is gathered once."""

    def __init__(self, person: Person, sample: Tensor, fine: Tensor):
        self.person, self.sample, self.fine = person, sample, fine[sample]

    def __getitem__(self, name: str) -> Tensor:
        return self.person[name].index_select(0, self.sample).movedim(0, -1)


def _over(colour: Tensor, paint: Tensor | tuple[float, float, float], cover: Tensor) -> Tensor:
    paint = paint if isinstance(paint, Tensor) else torch.tensor(paint, device=colour.device)[:, None]
    return colour + (paint - colour) * cover


def _edge(x: Tensor, width: Tensor) -> Tensor:
    """0 below, 1 above zero, over `width`."""
    return (x / width + 0.5).clamp(0, 1)


def _grain(x: Tensor, y: Tensor, seed: Tensor) -> Tensor:
    """Mottling in −1 … 1, with nothing that repeats."""
    whole = (seed * 4096).int()
    return noise(whole, x * 6.1, y * 6.1) + noise(whole, x * 15.7, y * 15.7, 1) - 1


def _spots(x: Tensor, y: Tensor, scale: float, seed: Tensor, share: Tensor) -> Tensor:
    """Small dots, one per cell of a grid of `scale`, in a share of the cells."""
    x, y = x * scale + seed, y * scale + seed * 0.37
    cx, cy = x.floor(), y.floor()
    # Three unrelated numbers per cell by a hash of whole numbers.
    bits = cx.int() * 374761393 + cy.int() * 668265263
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * 739982445
    a, b, c = (((bits >> k) & 1023).float() * (1 / 1024) for k in (3, 11, 20))
    dx, dy = x - cx - 0.25 - 0.5 * a, y - cy - 0.25 - 0.5 * b
    radius = 0.10 + 0.12 * c
    return (1 - (dx * dx + dy * dy) / (radius * radius)).clamp(0, 1) * ((a * 7.3 + c * 3.1) % 1 < share)


def keep(person: Person):
    """What of the cut layers is there: the skin outside of eyes and mouth, hair above its edge and with ragged ends."""

    def kept(sample: Int[Tensor, " n"], mesh: Int[Tensor, " n"], point: Float[Tensor, "3 n"]) -> Bool[Tensor, " n"]:
        answer = torch.ones(len(sample), dtype=torch.bool, device=sample.device)
        for name, rule in (("head", _skin_there), ("cap", _cap_there), ("drape", _drape_there)):
            at = (mesh == NUMBER[name]).nonzero().flatten()
            if len(at):
                answer[at] = rule(person, sample[at], *point.index_select(1, at))
        return answer

    return kept


def _skin_there(person: Person, sample: Tensor, x: Tensor, y: Tensor, turn: Tensor) -> Tensor:
    near = ((x.abs() < 0.56) & (y > -0.75) & (y < 0.2) & (turn.abs() < 0.4)).nonzero().flatten()
    flat = {n: person[n][sample[near]] for n in ("eye_x", "eye_y", "eye_wide", "eye_high", "eye_tilt", "mouth_y", "mouth_wide")}
    side, height = x[near].abs()[:, None], y[near][:, None]
    low, high, _ = lids(side, flat)
    below, over, _ = lips(side, flat)
    hole = ((height > low) & (height < high)) | ((height > below) & (height < over))
    there = torch.ones_like(x, dtype=torch.bool)
    there[near] = ~hole[:, 0]
    return there


def _cap_there(person: Person, sample: Tensor, turn: Tensor, y: Tensor, above: Tensor) -> Tensor:
    curl, buzz, strand = (person[n][sample] for n in ("curl", "buzz", "strand"))
    long = 0.020 + 0.045 * (person["hairline"][sample, 0] < 0.4) * (turn.abs() < 0.3)
    tuft = wave(turn * 19 * strand + 0.4 * wave(turn * 7) + y * 0.7)
    jag = (
        tuft * long * (0.5 + wave(turn * 5.3 + 0.2))
        + wave(turn * 43 + y * 2) * 0.014
        + wave(turn * 97) * 0.010
        + curl * 0.03 * wave(turn * 17 + y * 9)
    )
    return above > jag * (1 - 0.5 * buzz)


def _drape_there(person: Person, sample: Tensor, turn: Tensor, y: Tensor, share: Tensor) -> Tensor:
    end, strand, curl = (person[n][sample] for n in ("drape", "strand", "curl"))
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
    """What covers n points. fine: the size of a pixel of each sample, in half heads, below which nothing is drawn."""
    device = point.device
    total = len(sample)
    coat = Coat(
        torch.zeros(3, total, device=device),
        torch.zeros(total, dtype=torch.long, device=device),
        *(torch.zeros(total, device=device) for _ in range(3)),
    )
    painters = {"head": _head, "neck": _body, "mouth": _inside, "cap": _hair, "drape": _hair_back, "bun": _hair_back}
    for number, name in enumerate(MESHES):
        at = (mesh == number).nonzero().flatten()
        if not len(at):
            continue
        brush = _Brush(person, sample[at], fine)
        painter = painters.get(name) or _PAIRED[name.split("_")[0]]
        made = painter(brush, *point.index_select(1, at).unbind(0), name)
        for whole, piece in zip(coat, made, strict=True):
            whole.index_copy_(-1, at, piece.to(whole.dtype))
    return coat


def _coat(colour: Tensor, part: Tensor | int, gloss: Tensor | float, open_: Tensor | float, skin: Tensor | float) -> Coat:
    ones = torch.ones_like(colour[0])
    return Coat(colour, *(v if isinstance(v, Tensor) else ones * v for v in (part, gloss, open_, skin)))


def lip_edges(side: Float[Tensor, "b v"], person: Person) -> tuple[Tensor, Tensor]:
    """Height of the lower edge of the lower lip and the upper edge of the upper lip at |x|, at rest."""
    below, over, across = lips(side, person)
    taper = (1 - across * across).clamp_min(0)
    bow = 1 - 0.30 * bump(side, side * 0, 0.055, 1) + 0.12 * bump(side - 0.075, side * 0, 0.07, 1)
    upper, lower = person["lip_upper"][:, None], person["lip_lower"][:, None]
    return below - lower * taper.sqrt() * (0.35 + 0.65 * taper), over + upper * taper * (0.55 + 0.45 * taper) * bow


def _head(at: _Brush, x: Tensor, y: Tensor, turn: Tensor, name: str) -> Coat:
    side, fine, skin = x.abs(), at.fine, at["skin"]
    front = turn.abs() < 0.5
    part = torch.zeros_like(x, dtype=torch.long)
    differs, seed = at["distinct"], at["seed"]
    eye_x, eye_y, mouth_y, mouth_wide = at["eye_x"], at["eye_y"], at["mouth_y"], at["mouth_wide"]
    nose_wide, tip = at["nose_wide"], -0.375 - at["nose_long"]
    age, soft_ = at["age"], at["soft"]
    # Skin: red where blood is near, darker around the eyes, mottled; left like right.
    # Where every point has a colour of its own, left is not like right.
    mottled = _grain(torch.where(at["texture"] > 0.5, x, side), y, seed)
    warm = (
        at["blush"]
        * (
            0.55 * bump(side - 0.40, y + 0.27, 0.30, 0.24)
            + 0.35 * bump(x, y - tip, 0.16, 0.14)
            + 0.2 * bump(x, y + 0.9, 0.3, 0.2)
        )
        * front
    )
    colour = skin * (1 + (0.02 + 0.18 * at["texture"]) * mottled)
    red = skin * torch.tensor((0.97, 0.66, 0.60), device=x.device)[:, None]
    colour = _over(colour, red, warm * 0.75)
    socket = bump(side - eye_x * 0.93, y - eye_y, 0.27, 0.20) * front
    colour = _over(colour, skin * torch.tensor((0.78, 0.62, 0.60), device=x.device)[:, None], socket * (0.30 + 0.15 * age))
    freckled = _spots(side, y, 21.0, seed, at["freckles"] * 0.7) * bump(side - 0.25, y + 0.22, 0.42, 0.30) * front
    colour = _over(
        colour, skin * torch.tensor((0.70, 0.52, 0.42), device=x.device)[:, None], freckled * 0.75 * (at["freckles"] > 0)
    )
    # Folds of age: forehead, between nose and mouth, beside the eyes.
    fold = 0.55 * bump(x, y - 0.42, 0.42, 0.13) * step(wave(y * 17 + side * side * 1.2) - 0.80, 0.3)
    line = side - nose_wide - 0.05 - (tip - y) * 0.42
    fold = fold + 0.8 * step(0.014 - line.abs(), 0.024) * soft((tip + 0.02 - y) / 0.08) * soft((y - mouth_y + 0.05) / 0.10)
    fold = fold + 0.6 * bump(side - 0.56, y - eye_y, 0.10, 0.12) * step(wave((y - eye_y) * 15 + 0.0 * x) - 0.72, 0.3)
    colour = colour * (1 - fold * age * 0.22 * front)
    # Nose: nostrils and the shadow below the tip.
    nostril = bump(side - nose_wide * 0.47, y - tip + 0.092, 0.052, 0.030) * front
    colour = _over(colour, skin * torch.tensor((0.34, 0.18, 0.16), device=x.device)[:, None], (nostril * 1.5).clamp(0, 0.9))
    on_nose = (
        (side < 0.07 + (nose_wide * 1.18 - 0.07) * soft((eye_y + 0.1 - y) / 0.42))
        & (y < eye_y + 0.07)
        & (y > tip - 0.125)
        & front
    )
    part = torch.where(on_nose, INDEX["nose"], part)
    # Beard.
    cheek = -0.50 + 0.62 * (side - 0.34).clamp_min(0) - 0.10 * bump(side - 0.3, y * 0, 0.2, 1)
    ragged = 0.05 * wave(side * 16 + y * 7)
    whole = _edge(cheek - y - ragged, fine + 0.07)
    under_nose = _edge(mouth_y + 0.145 - 0.16 * side - y - ragged * 0.4, fine + 0.03) * _edge(
        y - mouth_y + 0.03 + 0.35 * (side - 0.18).clamp_min(0), fine + 0.03
    )
    under_nose = under_nose * _edge(mouth_wide + 0.03 - side, fine + 0.05)
    chin = _edge(0.20 - side + 0.10 * wave(y * 4), fine + 0.06) * _edge(mouth_y - 0.12 - y, fine + 0.05)
    round_mouth = _edge(
        0.05 - (((x / (mouth_wide + 0.05)) ** 2 + ((y - mouth_y) / 0.20) ** 2 + 1e-6).sqrt() - 1).abs() * 0.25, fine + 0.03
    ) * _edge(mouth_y + 0.03 - y, 0.1)
    beard = at["full"] * torch.maximum(whole, under_nose) + at["moustache"] * under_nose
    beard = beard + at["goatee"] * torch.maximum(torch.maximum(under_nose, chin), round_mouth)
    beard = (beard + at["stubble"] * torch.maximum(whole, under_nose * 0.8) * 0.34) * (turn.abs() < 0.62)
    # Lips.
    flat = {n: at[n] for n in ("mouth_y", "mouth_wide", "lip_upper", "lip_lower")}
    below, over, _ = (v[:, 0] for v in lips(side[:, None], flat))
    bottom, top = (v[:, 0] for v in lip_edges(side[:, None], flat))
    inside = (side < mouth_wide) & front
    lip = _edge(top - y, fine * 0.8 + 0.012) * _edge(y - bottom, fine * 0.8 + 0.018) * inside
    upper_lip = y > mouth_y
    red = at["lip"] * (0.4 + 0.6 * soft_) + skin * torch.tensor((0.86, 0.60, 0.58), device=x.device)[:, None]
    red = _over(red, (0.74, 0.16, 0.20), at["makeup"] * 0.45)
    red = red * (1 - 0.12 * upper_lip) * (1 - 0.05 * wave(side * 40 + y * 3))
    beard = beard * (1 - lip)
    hair = at["hair"] * (0.72 + 0.35 * wave(side * 33 + y * 5 + wave(y * 9) * 0.7) * wave(side * 71 - y * 21))
    colour = _over(colour, hair, beard * 0.92)
    colour = _over(colour, red, lip * (0.80 + 0.12 * soft_))
    part = torch.where((beard > 0.5) & front | (beard > 0.5), INDEX["beard"], part)
    part = torch.where(lip > 0.5, torch.where(upper_lip, INDEX["lip_upper"], INDEX["lip_lower"]), part)
    line_ = bump(side, torch.where(upper_lip, y - over, y - below), mouth_wide * 1.04, 0.020) * front
    colour = colour * (1 - 0.45 * line_)
    # Brows: hair strokes that lean outwards, thick inside, thin outside.
    along = (side - 0.115) / 0.375
    arch = at["brow_y"] + 0.055 * at["brow_arch"] * (1 - (along - 0.62) * (along - 0.62) * 3.2) - 0.045
    thick = at["brow_thick"] * (1.0 - 0.72 * along.clamp(0, 1) * along.clamp(0, 1))
    stroke = wave(side * 27 - y * 22) * 0.35 + wave(side * 49 - y * 31) * 0.25
    brow = (
        _edge(thick - (y - arch).abs() - 0.010 * stroke, fine * 0.7 + 0.016)
        * _edge(along + 0.03 * stroke, 0.10)
        * _edge(1 - along, 0.14)
    )
    slit = at["slit"] * torch.sign(x) > 0
    brow = brow * (1 - _edge(0.016 - (side - 0.37 + 0.2 * (y - arch)).abs(), fine + 0.006) * slit) * front
    colour = _over(colour, at["brow"] * (0.85 + 0.35 * stroke), brow * 0.92)
    part = torch.where(brow > 0.5, torch.where(x < 0, INDEX["brow_right"], INDEX["brow_left"]), part)
    # Eyes: crease of the lid, lashes, a wing outside, a little pink inside.
    eyes = {n: at[n] for n in ("eye_x", "eye_y", "eye_wide", "eye_high", "eye_tilt")}
    low, high, place = (v[:, 0] for v in lids(side[:, None], eyes))
    eye_high = at["eye_high"]
    close = (place.abs() < 1.25) & front
    middle = eye_y + at["eye_tilt"] * (side - eye_x)
    bowed = (1 - place * place * 0.72).clamp_min(0)
    crease = y - middle - eye_high * bowed - 0.052 + 0.02 * place.clamp(-1, 0) ** 2
    colour = colour * (1 - 0.42 * bump(place, crease, 1.18, 0.020 + fine) * close)
    lid = _edge(y - high, 0.01) * _edge(-crease, 0.03) * (place.abs() < 1.12) * close
    colour = _over(colour, skin * torch.tensor((0.82, 0.60, 0.58), device=x.device)[:, None], lid * (0.30 + 0.25 * soft_))
    colour = _over(
        colour, at["brow"] * 0.5 + torch.tensor((0.22, 0.10, 0.20), device=x.device)[:, None], lid * at["makeup"] * 0.45
    )
    lash_thick = (0.014 + 0.012 * soft_ + 0.008 * at["makeup"]) * (0.55 + 0.45 * soft((place + 0.9) / 1.2))
    lash = _edge(lash_thick - (y - high), fine * 0.7 + 0.006) * _edge(y - high + 0.02, 0.01) * (place.abs() < 1.0)
    wing_y = y - middle - 0.05 * (side - eye_x - at["eye_wide"] * 0.9) / 0.05 * (0.25 + 0.5 * soft_)
    wing = _edge(0.010 - (wing_y).abs(), fine * 0.7 + 0.008) * (place > 0.92) * soft((1.22 + 0.06 * soft_ - place) / 0.2)
    dark = torch.tensor((0.10, 0.06, 0.06), device=x.device)[:, None]
    colour = _over(colour, dark, torch.maximum(lash * (0.80 + 0.20 * soft_), wing * (0.45 + 0.5 * soft_)) * close)
    rim = bump(place * 0, y - low, 1, 0.020) * (place.abs() < 0.98) * (y < low)
    colour = _over(colour, skin * torch.tensor((0.72, 0.45, 0.42), device=x.device)[:, None], rim * 0.7 * close)
    # One side only: a mole, a scar.
    mole = bump(x - at["mole_x"], y - at["mole_y"], 0.026 + fine * 0.5, 0.026 + fine * 0.5) * (differs > 0) * front
    colour = _over(colour, (0.24, 0.13, 0.10), (mole * 2).clamp(0, 1) * 0.85)
    scar = at["scar"] * torch.sign(x) > 0
    cut = bump(side - 0.43 - 0.25 * (y + 0.28), y + 0.28, 0.016 + fine * 0.5, 0.17) * scar * front
    colour = _over(
        colour, skin * torch.tensor((0.92, 0.62, 0.60), device=x.device)[:, None] + 0.08, (cut * 1.6).clamp(0, 1) * 0.9
    )
    # Shadows that shape the face, whatever the light.
    line = hairline(turn, at.person, lambda v: v.index_select(0, at.sample))
    covered = at["has_cap"] * soft(1 - (line - y) / (0.10 + 0.35 * at["volume"].clamp_max(0.2)))
    dim = 1 - 0.30 * covered
    fuzz = at["has_cap"] * soft((y - line + 0.075 + 0.03 * wave(turn * 61)) / 0.09) * (at["hairline"][0] > 0.4)
    colour = _over(colour, at["hair"] * 0.85, fuzz * 0.75)
    dim = dim - 0.20 * socket * soft((y - eye_y + 0.02) / 0.12) - 0.10 * bump(side - 0.10, y - eye_y, 0.09, 0.14) * front
    dim = dim - 0.32 * bump(x, y - tip + 0.115, nose_wide * 1.05, 0.06) * front
    dim = dim - 0.22 * bump(side - nose_wide - 0.02, y - tip + 0.04, 0.06, 0.10) * front
    dim = dim - 0.24 * bump(x, y - bottom + 0.035, 0.17, 0.045) * front - 0.30 * soft((-0.93 - y) / 0.12) * (1 - soft(y + 1.02))
    gloss = 0.13 + 0.12 * bump(x, y - tip, 0.12, 0.12) + (0.30 + 0.25 * at["makeup"]) * lip - 0.10 * beard - 0.1 * brow
    return _coat(colour.clamp(0, 1), part, gloss, dim.clamp(0.25, 1), 1 - 0.8 * beard.clamp(0, 1))


def _body(at: _Brush, x: Tensor, y: Tensor, turn: Tensor, name: str) -> Coat:
    side, fine, skin = x.abs(), at.fine, at["skin"]
    front = (1 - turn.abs() * 2).clamp_min(0)
    collar, cloth, second = at["collar"], at["cloth"], at["cloth_second"]
    round_ = -1.20 - 0.16 * soft(1 - side / 0.42) * (front > 0)
    vee = -1.16 - 0.52 * (1 - side / 0.40).clamp_min(0) * (front > 0)
    shirt = -1.05 - 0.36 * (1 - side / 0.24).clamp_min(0) * (front > 0)
    roll = -0.80 + 0 * side
    line = torch.where(collar < 0.5, round_, torch.where(collar < 1.5, vee, torch.where(collar < 2.5, shirt, roll)))
    covered = _edge(line - y, fine + 0.012)
    down = -y * 1.0
    pattern, around = at["pattern"], turn.abs() * 4.2
    stripe = _edge(wave(down * 4.2) - 0.5, fine * 6 + 0.06)
    check = (stripe + _edge(wave(around * 4.2 + 0.25) - 0.5, fine * 6 + 0.06)) * 0.5
    px, py = wave(around * 3.8) - 1, wave(down * 3.8) - 1
    dots = _edge(0.30 - (px * px + py * py + 1e-9).sqrt(), fine * 5 + 0.08)
    zigzag = _edge(wave(down * 3.4 + 0.35 * wave(around * 4)) - 0.5, fine * 6 + 0.06)
    mix = torch.zeros_like(x)
    for number, kind in enumerate((mix, stripe, check, dots, zigzag)):
        mix = torch.where(pattern == number, kind, mix)
    mix = mix * (y < -1.0)
    garment = _over(cloth, second, mix)
    mottled = _grain(torch.where(at["texture"] > 0.5, x + turn, side), y, at["seed"])
    garment = garment * (1 + (0.02 + 0.25 * at["texture"]) * mottled)
    garment = garment * (1 + 0.03 * (wave(around * 9 + down * 5) + wave(down * 11 - around * 6) - 1))
    # A hem of the other colour; the points of a shirt's collar; ribs of a roll-neck; where sleeves begin.
    hem = _edge(0.045 - (line - y), fine + 0.01) * (collar < 1.5)
    garment = _over(garment, _over(cloth * 0.80, second, (pattern < 0.5) * 0.6), hem)
    flap = (
        _edge(0.30 + 0.35 * (1 - side / 0.5) - (line - y) * 1.1 - side * 0.35, fine + 0.01)
        * _edge(line - y, 0.01)
        * (side < 0.52)
        * (front > 0)
    )
    flap = flap * ((collar > 1.5) & (collar < 2.5))
    garment = _over(garment, _over(cloth, (1.0, 1.0, 1.0), (mix * 0 + 0.35)), flap)
    button = (
        bump(x, wave(down * 2.2) * 0.22 - 0.22, 0.028 + fine * 0.5, 0.03)
        * ((collar > 1.5) & (collar < 2.5))
        * (front > 0)
        * (y < -1.5)
    )
    placket = bump(side - 0.0, y * 0, 0.012 + fine * 0.5, 1) * ((collar > 1.5) & (collar < 2.5)) * (front > 0) * (y < -1.42)
    garment = garment * (1 - 0.30 * placket) * (1 - 0.6 * button)
    fold = collar > 2.5
    ribs = wave(turn * 34) * fold * (y > -1.22)
    garment = garment * (1 - 0.14 * ribs) * (1 - 0.28 * fold * _edge(0.018 - (y + 1.04).abs(), 0.03))
    sleeve = bump(side - 1.05 - 0.06 * (y + 2), y * 0, 0.035, 1) * soft((-1.75 - y) / 0.3)
    garment = garment * (1 - 0.28 * sleeve)
    bare = skin * (1 - 0.10 * bump(side - 0.10 - 0.16 * (y + 1.25).clamp_min(0), y + 1.15, 0.05, 0.24) * (front > 0))
    bone = bump(side - 0.24, y + 1.36 + 0.10 * (side - 0.24), 0.22, 0.03) * (front > 0)
    bare = bare * (1 + 0.05 * bone) * (1 + (0.02 + 0.18 * at["texture"]) * mottled)
    colour = _over(bare, garment, covered)
    part = torch.where(covered > 0.5, INDEX["clothes"], INDEX["neck"])
    under = soft((y + 1.32) / 0.42) * (0.45 + 0.55 * soft(front * 2))
    dim = 1 - 0.58 * under * (1 - 0.35 * covered) - 0.22 * bump(turn * 0, (line - y) + 0.035, 1, 0.05) * (1 - covered)
    return _coat(colour.clamp(0, 1), part, 0.10 * (1 - covered) + 0.02, dim.clamp(0.2, 1), 1 - covered)


def _inside(at: _Brush, x: Tensor, y: Tensor, jaw: Tensor, name: str) -> Coat:
    """Upper teeth, tongue, a hint of the lower teeth; dark in between."""
    wide = at["mouth_wide"]
    arch = 0.022 * (x / wide) * (x / wide)
    upper = _edge(y - 0.020 - arch * 0.6, 0.010) * _edge(wide * 0.93 - x.abs(), 0.03)
    lower = _edge(-0.052 - y + arch, 0.010) * _edge(wide * 0.72 - x.abs(), 0.03) * (jaw < 0.45)
    gaps = 1 - 0.20 * (1 - step(wave(x * 11 + 0.5) - 0.06, 0.10))
    colour = torch.tensor((0.30, 0.08, 0.09), device=x.device)[:, None] + 0 * x
    tongue = bump(x, y + 0.085, wide * 0.80, 0.075)
    colour = _over(colour, (0.78, 0.36, 0.36), (tongue * 1.6).clamp(0, 1) * soft(jaw * 5))
    tooth = torch.tensor((0.97, 0.95, 0.91), device=x.device)[:, None] * gaps
    colour = _over(colour, tooth, torch.maximum(upper, lower * 0.9))
    dim = 0.62 + 0.38 * upper - 0.45 * soft((x.abs() / wide - 0.45) / 0.5)
    return _coat(colour, INDEX["mouth"], 0.12 * upper, dim.clamp(0.25, 1), 0.0)


def _strands(turn: Tensor, y: Tensor, at: _Brush) -> Tensor:
    """Light and dark strands in −1 … 1, that run down and sway."""
    strand, curl, sweep = at["strand"], at["curl"], at["sweep"]
    sway = turn + (0.018 + 0.03 * curl) * soft(wave(y * (1.3 + 1.6 * curl) + turn * 3)) + sweep * 0.10 * y * (1 - turn.abs())
    lock = wave(sway * 13 * strand)
    hair = 0.9 * lock + 0.6 * wave(sway * 37 * strand + lock * 0.4) + 0.45 * wave(sway * 83 + y * 1.1)
    return hair - 0.97


def _hair_coat(at: _Brush, turn: Tensor, y: Tensor, part: int, shade: Tensor) -> Coat:
    strands = _strands(turn, y, at) * (0.75 + 0.9 * at["texture"])
    hair = at["hair"]
    deep = hair * torch.tensor((0.55, 0.50, 0.52), device=y.device)[:, None]
    colour = _over(deep, hair * 1.12 + 0.02, (0.62 + 0.50 * strands).clamp(0, 1))
    return _coat(colour.clamp(0, 1), part, 0.26 + 0.20 * strands, shade, 0.0)


def _hair(at: _Brush, turn: Tensor, y: Tensor, above: Tensor, name: str) -> Coat:
    # Darker towards the edge and in the parting.
    shade = 0.70 + 0.30 * soft(above / 0.22)
    part_line = turn + at["sweep"] * 0.10
    parting = bump(part_line, y * 0, 0.022, 1) * soft((y - 0.5) / 0.2) * (at["sweep"].abs() > 0.3) * (at["quiff"] < 0.3)
    made = _hair_coat(at, turn, y, INDEX["hair"], shade * (1 - 0.45 * parting))
    thin = at["buzz"] * (at["volume"] < 0.06)
    colour = _over(made.colour, at["skin"] * 0.62 + made.colour * 0.25, 0.35 * thin)
    return made._replace(colour=colour, gloss=made.gloss * (1 - 0.8 * thin) * (1 - 0.6 * at["curl"]))


def _hair_back(at: _Brush, turn: Tensor, y: Tensor, share: Tensor, name: str) -> Coat:
    if name == "bun":
        return _hair_coat(at, turn + 0.06 * y, y * 0.6, INDEX["hair_back"], 0.72 + 0.28 * soft((y + 1) / 0.9))
    return _hair_coat(at, turn, y, INDEX["hair_back"], 0.62 + 0.38 * soft((y - at["drape"]) / 0.5))


def _ear(at: _Brush, p: Tensor, q: Tensor, radius: Tensor, name: str) -> Coat:
    side = name.split("_")[1]
    red = at["skin"] * torch.tensor((0.96, 0.66, 0.60), device=p.device)[:, None]
    colour = _over(at["skin"], red, 0.30 + 0.35 * soft((radius - 0.7) / 0.3))
    hollow = bump(p + 0.01, q + 0.02, 0.075, 0.11)
    colour = colour * (1 - 0.45 * hollow)
    ring = bump(p + 0.005, q + 0.175 * at["ear"], 0.034 + at.fine * 0.3, 0.036 + at.fine * 0.3)
    jewel = (ring > 0.25) & (at["earring"] > 0)
    gold = torch.tensor((0.95, 0.78, 0.38), device=p.device)[:, None] * (0.75 + 0.4 * ring)
    colour = torch.where(jewel, gold, colour)
    part = torch.where(jewel, INDEX[f"earring_{side}"], INDEX[f"ear_{side}"])
    return _coat(colour.clamp(0, 1), part, 0.10 + 0.6 * jewel, 0.86 - 0.25 * hollow, 1.0 - jewel.float())


def _eye(at: _Brush, x: Tensor, y: Tensor, z: Tensor, name: str) -> Coat:
    side = name.split("_")[1]
    away = (x * x + y * y + 1e-12).sqrt() + (z < 0)
    iris = at["iris"] / 0.195
    fine = at.fine / 0.195
    white = torch.tensor((0.95, 0.94, 0.925), device=x.device)[:, None] - 0.0 * x
    pink = soft((x.abs() - 0.55) / 0.3)
    white = _over(white, (0.90, 0.70, 0.66), pink * 0.5)
    hue = at[f"iris_{side}"]
    t = (away / iris).clamp(0, 1)
    # Rays: the slope y / x in the iris, waves of it, brighter below where light passes through.
    ray = (
        wave(x.abs() / (y.abs() + 0.35 * away + 1e-4) * 3.1 + 0.3) * 0.5 + wave(y / (x.abs() + 0.35 * away + 1e-4) * 4.3) * 0.5
    )
    glow = 0.72 + 0.55 * soft((0.25 - y / iris) / 1.4) + 0.30 * (ray - 0.5)
    colour = hue * glow * (1 + 0.25 * bump(t - 0.5, t * 0, 0.35, 1))
    colour = _over(colour, hue * 0.28, soft((t - 0.74) / 0.26) * 0.85)
    colour = _over(colour, (0.03, 0.02, 0.03), _edge(iris * 0.46 - away, fine * 0.8 + 0.03))
    colour = _over(white, colour, _edge(iris - away, fine * 0.8 + 0.05))
    return _coat(colour.clamp(0, 1), INDEX[f"eye_{side}"], 0.0, 1.0, -1.0)


def _frame(at: _Brush, along: Tensor, edge: Tensor, none: Tensor, name: str) -> Coat:
    colour = at["frame"] * (0.85 + 0.5 * bump(edge - 0.6, edge * 0, 0.5, 1))
    return _coat(colour.clamp(0, 1), INDEX["glasses"], 0.55, 1.0, 0.0)


_PAIRED = {"ear": _ear, "eye": _eye, "rim": _frame, "bridge": _frame, "arm": _frame}
