"""The painted skin of a head: cheeks, nose, beard, lips, brows, lids, lashes, marks and the shadows that shape a face."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.data.synth.curves import step, wave
from exemplar_lab.data.synth.faces.coat import INDEX, Brush, Coat, coat_of, edge_of, grain, over_, spots, tint
from exemplar_lab.data.synth.faces.identity import Person
from exemplar_lab.data.synth.faces.layers import hairline
from exemplar_lab.data.synth.faces.surface import bump, lids, lips, soft


class _Layer(NamedTuple):
    """What a feature makes of n points: colour (3, n), part, gloss, openness and how much skin shows."""

    colour: Tensor
    part: Tensor
    gloss: Tensor
    open: Tensor
    skin: Tensor


def paint_head(at: Brush, x: Tensor, y: Tensor, turn: Tensor, name: str) -> Coat:
    """The skin, and then each feature on the points around it alone."""
    layer = _skin(at, x, y, turn)
    side, front = x.abs(), turn.abs() < 0.5
    bearded = at["stubble"] + at["moustache"] + at["goatee"] + at["full"] > 0
    features: tuple[tuple[Callable[..., _Layer], Tensor], ...] = (
        (_folds, (at["age"] > 0) & front & (y < 0.62) & (y > -0.72)),
        (_nose, front & (side < 0.34) & (y < 0.16) & (y > -0.68)),
        (_beard, bearded & (y < 0.02) & (turn.abs() < 0.62)),
        (_lips, front & (side < 0.36) & (y < -0.36) & (y > -0.90)),
        (_brows, front & (side < 0.56) & (y > 0.06) & (y < 0.42)),
        (_eyes, front & (side < 0.62) & (y > -0.30) & (y < 0.24)),
        (_marks, front & (at["distinct"] > 0)),
    )
    for feature, there in features:
        some = there.nonzero().flatten()
        if len(some):
            under = _Layer(*(v.index_select(-1, some) for v in layer))
            made = feature(at.at(some), x.index_select(0, some), y.index_select(0, some), under)
            for whole, piece, before in zip(layer, made, under, strict=True):
                if piece is not before:
                    whole.index_copy_(-1, some, piece)
    return coat_of(layer.colour.clamp(0, 1), layer.part, layer.gloss, layer.open.clamp(0.25, 1), layer.skin)


def _skin(at: Brush, x: Tensor, y: Tensor, turn: Tensor) -> _Layer:
    """Skin without features: red where blood is near, darker around the eyes, mottled, with freckles; shadows under hair."""
    side, front, skin, seed = x.abs(), (turn.abs() < 0.5).float(), at["skin"], at["seed"]
    eye_x, eye_y, tip = at["eye_x"], at["eye_y"], -0.375 - at["nose_long"]
    # Left is like right, but where every point has a colour of its own.
    texture = at["texture"]
    mottled = grain(torch.where(texture > 0.5, x, side), y, seed)
    warm = (
        0.55 * bump(side - 0.40, y + 0.27, 0.30, 0.24) + 0.35 * bump(x, y - tip, 0.16, 0.14) + 0.2 * bump(x, y + 0.9, 0.3, 0.2)
    )
    colour = skin * (1 + (0.02 + 0.18 * texture) * mottled)
    colour = over_(colour, tint(skin, 0.97, 0.66, 0.60), at["blush"] * warm * front * 0.75)
    socket = bump(side - eye_x * 0.93, y - eye_y, 0.27, 0.20) * front
    colour = over_(colour, tint(skin, 0.78, 0.62, 0.60), socket * (0.30 + 0.15 * at["age"]))
    some = ((at["freckles"] > 0) & (turn.abs() < 0.5)).nonzero().flatten()
    if len(some):
        few, s, v = at.at(some), side[some], y[some]
        dots = spots(s, v, 21.0, few["seed"], few["freckles"] * 0.7) * bump(s - 0.25, v + 0.22, 0.42, 0.30)
        colour.index_copy_(1, some, over_(colour[:, some], tint(few["skin"], 0.70, 0.52, 0.42), dots * 0.75))
    line = hairline(turn, at.person, lambda v: at.of(v).movedim(0, -1) if v.ndim > 1 else at.of(v))
    haired, volume = at["has_cap"], at["volume"].clamp_max(0.2)
    covered = haired * soft(1 - (line - y) / (0.10 + 0.35 * volume))
    fuzz = haired * soft((y - line + 0.075 + 0.03 * wave(turn * 61)) / 0.09) * (at.of(at.person["hairline"][:, 0]) > 0.4)
    colour = over_(colour, at["hair"] * 0.85, fuzz * 0.75)
    dim = 1 - 0.30 * covered - 0.20 * socket * soft((y - eye_y + 0.02) / 0.12)
    dim = dim - 0.10 * bump(side - 0.10, y - eye_y, 0.09, 0.14) * front - 0.30 * soft((-0.93 - y) / 0.12) * (1 - soft(y + 1.02))
    gloss = 0.13 + 0.12 * bump(x, y - tip, 0.12, 0.12)
    return _Layer(colour, torch.zeros_like(x, dtype=torch.long), gloss, dim, torch.ones_like(x))


def _folds(at: Brush, x: Tensor, y: Tensor, under: _Layer) -> _Layer:
    """Folds of age: forehead, between nose and mouth, beside the eyes."""
    side, tip = x.abs(), -0.375 - at["nose_long"]
    fold = 0.55 * bump(x, y - 0.42, 0.42, 0.13) * step(wave(y * 17 + side * side * 1.2) - 0.80, 0.3)
    line = side - at["nose_wide"] - 0.05 - (tip - y) * 0.42
    beside = soft((tip + 0.02 - y) / 0.08) * soft((y - at["mouth_y"] + 0.05) / 0.10)
    fold = fold + 0.8 * step(0.014 - line.abs(), 0.024) * beside
    fold = fold + 0.6 * bump(side - 0.56, y - at["eye_y"], 0.10, 0.12) * step(wave((y - at["eye_y"]) * 15) - 0.72, 0.3)
    return under._replace(colour=under.colour * (1 - fold * at["age"] * 0.22))


def _nose(at: Brush, x: Tensor, y: Tensor, under: _Layer) -> _Layer:
    side, wide, tip, eye_y = x.abs(), at["nose_wide"], -0.375 - at["nose_long"], at["eye_y"]
    nostril = bump(side - wide * 0.47, y - tip + 0.092, 0.052, 0.030)
    colour = over_(under.colour, tint(at["skin"], 0.42, 0.24, 0.22), (nostril * 1.5).clamp(0, 0.85))
    broad = 0.07 + (wide * 1.18 - 0.07) * soft((eye_y + 0.1 - y) / 0.42)
    here = (side < broad) & (y < eye_y + 0.07) & (y > tip - 0.125)
    dim = under.open - 0.14 * bump(x, y - tip + 0.115, wide * 1.05, 0.06)
    dim = dim - 0.22 * bump(side - wide - 0.02, y - tip + 0.04, 0.06, 0.10)
    return under._replace(colour=colour, part=torch.where(here, INDEX["nose"], under.part), open=dim)


def _beard(at: Brush, x: Tensor, y: Tensor, under: _Layer) -> _Layer:
    side, fine, mouth_y, mouth_wide = x.abs(), at.fine, at["mouth_y"], at["mouth_wide"]
    cheek = -0.50 + 0.62 * (side - 0.34).clamp_min(0) - 0.10 * bump(side - 0.3, y * 0, 0.2, 1)
    ragged = 0.05 * wave(side * 16 + y * 7)
    whole = edge_of(cheek - y - ragged, fine + 0.07)
    lip = edge_of(mouth_y + 0.145 - 0.16 * side - y - ragged * 0.4, fine + 0.03)
    lip = lip * edge_of(y - mouth_y + 0.03 + 0.35 * (side - 0.18).clamp_min(0), fine + 0.03)
    lip = lip * edge_of(mouth_wide + 0.03 - side, fine + 0.05)
    chin = edge_of(0.20 - side + 0.10 * wave(y * 4), fine + 0.06) * edge_of(mouth_y - 0.12 - y, fine + 0.05)
    u, v = x / (mouth_wide + 0.05), (y - mouth_y) / 0.20
    around = edge_of(0.05 - ((u * u + v * v + 1e-6).sqrt() - 1).abs() * 0.25, fine + 0.03) * edge_of(mouth_y + 0.03 - y, 0.1)
    beard = at["full"] * torch.maximum(whole, lip) + at["moustache"] * lip
    beard = beard + at["goatee"] * torch.maximum(torch.maximum(lip, chin), around)
    beard = beard + at["stubble"] * torch.maximum(whole, lip * 0.8) * 0.34
    beard = beard * (1 - _lip_cover(at, x, y)[0])
    hair = at["hair"] * (0.72 + 0.35 * wave(side * 33 + y * 5 + wave(y * 9) * 0.7) * wave(side * 71 - y * 21))
    colour = over_(under.colour, hair, beard * 0.92)
    part = torch.where(beard > 0.5, INDEX["beard"], under.part)
    return _Layer(colour, part, under.gloss - 0.10 * beard, under.open, 1 - 0.8 * beard.clamp(0, 1))


def lip_edges(side: Float[Tensor, "b v"], person: Person) -> tuple[Tensor, Tensor]:
    """Height of the lower edge of the lower lip and the upper edge of the upper lip at |x|, at rest."""
    below, over, across = lips(side, person)
    taper = (1 - across * across).clamp_min(0)
    bow = 1 - 0.30 * bump(side, side * 0, 0.055, 1) + 0.12 * bump(side - 0.075, side * 0, 0.07, 1)
    upper, lower = person["lip_upper"][:, None], person["lip_lower"][:, None]
    return below - lower * taper.sqrt() * (0.35 + 0.65 * taper), over + upper * taper * (0.55 + 0.45 * taper) * bow


def _lip_cover(at: Brush, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """How much of the lips there is at points, and the height of the lower lip's edge."""
    shape = {name: at[name] for name in ("mouth_y", "mouth_wide", "lip_upper", "lip_lower")}
    bottom, top = (v[:, 0] for v in lip_edges(x.abs()[:, None], shape))
    cover = edge_of(top - y, at.fine * 0.8 + 0.012) * edge_of(y - bottom, at.fine * 0.8 + 0.018)
    return cover * (x.abs() < shape["mouth_wide"]), bottom


def _lips(at: Brush, x: Tensor, y: Tensor, under: _Layer) -> _Layer:
    side, made_up, soft_ = x.abs(), at["makeup"], at["soft"]
    lip, bottom = _lip_cover(at, x, y)
    upper = y > at["mouth_y"]
    red = at["lip"] * (0.4 + 0.6 * soft_) + tint(at["skin"], 0.86, 0.60, 0.58)
    red = over_(red, (0.74, 0.16, 0.20), made_up * 0.45)
    red = red * (1 - 0.12 * upper) * (1 - 0.05 * wave(side * 40 + y * 3))
    colour = over_(under.colour, red, lip * (0.80 + 0.12 * soft_))
    part = torch.where(lip > 0.5, torch.where(upper, INDEX["lip_upper"], INDEX["lip_lower"]), under.part)
    below, over, _ = (v[:, 0] for v in lips(side[:, None], {name: at[name] for name in ("mouth_y", "mouth_wide")}))
    line = bump(side, torch.where(upper, y - over, y - below), at["mouth_wide"] * 1.04, 0.020)
    dim = under.open - 0.24 * bump(x, y - bottom + 0.035, 0.17, 0.045)
    return _Layer(colour * (1 - 0.45 * line), part, under.gloss + (0.30 + 0.25 * made_up) * lip, dim, under.skin)


def _brows(at: Brush, x: Tensor, y: Tensor, under: _Layer) -> _Layer:
    """Hair strokes that lean outwards, thick inside, thin outside; a slit in one brow of some."""
    side, fine = x.abs(), at.fine
    along = (side - 0.115) / 0.375
    arch = at["brow_y"] + 0.055 * at["brow_arch"] * (1 - (along - 0.62) * (along - 0.62) * 3.2) - 0.045
    thick = at["brow_thick"] * (1.0 - 0.72 * along.clamp(0, 1) * along.clamp(0, 1))
    stroke = wave(side * 27 - y * 22) * 0.35 + wave(side * 49 - y * 31) * 0.25
    brow = edge_of(thick - (y - arch).abs() - 0.010 * stroke, fine * 0.7 + 0.016)
    brow = brow * edge_of(along + 0.03 * stroke, 0.10) * edge_of(1 - along, 0.14)
    slit = at["slit"] * torch.sign(x) > 0
    brow = brow * (1 - edge_of(0.016 - (side - 0.37 + 0.2 * (y - arch)).abs(), fine + 0.006) * slit)
    colour = over_(under.colour, at["brow"] * (0.85 + 0.35 * stroke), brow * 0.92)
    part = torch.where(brow > 0.5, torch.where(x < 0, INDEX["brow_right"], INDEX["brow_left"]), under.part)
    return under._replace(colour=colour, part=part, gloss=under.gloss - 0.1 * brow)


def _eyes(at: Brush, x: Tensor, y: Tensor, under: _Layer) -> _Layer:
    """Around the opening: crease of the lid, shadow, lashes, a wing outside, a pink rim below."""
    side, fine, skin, soft_, made_up = x.abs(), at.fine, at["skin"], at["soft"], at["makeup"]
    shape = {name: at[name] for name in ("eye_x", "eye_y", "eye_wide", "eye_high", "eye_tilt")}
    low, high, place = (v[:, 0] for v in lids(side[:, None], shape))
    eye_x, eye_high = shape["eye_x"], shape["eye_high"]
    middle = shape["eye_y"] + shape["eye_tilt"] * (side - eye_x)
    close = place.abs() < 1.25
    bowed = (1 - place * place * 0.72).clamp_min(0)
    inner = place.clamp(-1, 0)
    crease = y - middle - eye_high * bowed - 0.052 + 0.02 * inner * inner
    colour = under.colour * (1 - 0.42 * bump(place, crease, 1.18, 0.020 + fine) * close)
    lid = edge_of(y - high, 0.01) * edge_of(-crease, 0.03) * (place.abs() < 1.12)
    colour = over_(colour, tint(skin, 0.82, 0.60, 0.58), lid * (0.30 + 0.25 * soft_))
    shadow = at["brow"] * 0.5 + torch.tensor((0.22, 0.10, 0.20), device=x.device)[:, None]
    colour = over_(colour, shadow, lid * made_up * 0.45)
    thick = (0.014 + 0.012 * soft_ + 0.008 * made_up) * (0.55 + 0.45 * soft((place + 0.9) / 1.2))
    lash = edge_of(thick - (y - high), fine * 0.7 + 0.006) * edge_of(y - high + 0.02, 0.01) * (place.abs() < 1.0)
    wing = y - middle - (side - eye_x - shape["eye_wide"] * 0.9) * (0.25 + 0.5 * soft_)
    wing = edge_of(0.010 - wing.abs(), fine * 0.7 + 0.008) * (place > 0.92) * soft((1.22 + 0.06 * soft_ - place) / 0.2)
    dark = torch.maximum(lash * (0.80 + 0.20 * soft_), wing * (0.45 + 0.5 * soft_)) * close
    colour = over_(colour, (0.10, 0.06, 0.06), dark)
    rim = bump(place * 0, y - low, 1, 0.020) * (place.abs() < 0.98) * (y < low)
    return under._replace(colour=over_(colour, tint(skin, 0.72, 0.45, 0.42), rim * 0.7 * close))


def _marks(at: Brush, x: Tensor, y: Tensor, under: _Layer) -> _Layer:
    """On one side only: a mole, a scar."""
    half = at.fine * 0.5
    mole = bump(x - at["mole_x"], y - at["mole_y"], 0.026 + half, 0.026 + half)
    colour = over_(under.colour, (0.24, 0.13, 0.10), (mole * 2).clamp(0, 1) * 0.85)
    scar = at["scar"] * torch.sign(x) > 0
    cut = bump(x.abs() - 0.43 - 0.25 * (y + 0.28), y + 0.28, 0.016 + half, 0.17) * scar
    return under._replace(colour=over_(colour, tint(at["skin"], 0.92, 0.62, 0.60) + 0.08, (cut * 1.6).clamp(0, 1) * 0.9))
