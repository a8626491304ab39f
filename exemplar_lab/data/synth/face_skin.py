"""The painted skin of a head: cheeks, nose, beard, lips, brows, lids, lashes, marks and the shadows that shape a face."""

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.data.synth.details import step, wave
from exemplar_lab.data.synth.face_coat import INDEX, Brush, Coat, coat_of, edge_of, grain, over_, spots
from exemplar_lab.data.synth.face_identity import Person
from exemplar_lab.data.synth.face_layers import hairline
from exemplar_lab.data.synth.face_surface import bump, lids, lips, soft


def lip_edges(side: Float[Tensor, "b v"], person: Person) -> tuple[Tensor, Tensor]:
    """Height of the lower edge of the lower lip and the upper edge of the upper lip at |x|, at rest."""
    below, over, across = lips(side, person)
    taper = (1 - across * across).clamp_min(0)
    bow = 1 - 0.30 * bump(side, side * 0, 0.055, 1) + 0.12 * bump(side - 0.075, side * 0, 0.07, 1)
    upper, lower = person["lip_upper"][:, None], person["lip_lower"][:, None]
    return below - lower * taper.sqrt() * (0.35 + 0.65 * taper), over + upper * taper * (0.55 + 0.45 * taper) * bow


def paint_head(at: Brush, x: Tensor, y: Tensor, turn: Tensor, name: str) -> Coat:
    side, fine, skin = x.abs(), at.fine, at["skin"]
    front = turn.abs() < 0.5
    part = torch.zeros_like(x, dtype=torch.long)
    differs, seed = at["distinct"], at["seed"]
    eye_x, eye_y, mouth_y, mouth_wide = at["eye_x"], at["eye_y"], at["mouth_y"], at["mouth_wide"]
    nose_wide, tip = at["nose_wide"], -0.375 - at["nose_long"]
    age, soft_ = at["age"], at["soft"]
    # Skin: red where blood is near, darker around the eyes, mottled; left like right.
    # Where every point has a colour of its own, left is not like right.
    mottled = grain(torch.where(at["texture"] > 0.5, x, side), y, seed)
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
    colour = over_(colour, red, warm * 0.75)
    socket = bump(side - eye_x * 0.93, y - eye_y, 0.27, 0.20) * front
    colour = over_(colour, skin * torch.tensor((0.78, 0.62, 0.60), device=x.device)[:, None], socket * (0.30 + 0.15 * age))
    freckled = spots(side, y, 21.0, seed, at["freckles"] * 0.7) * bump(side - 0.25, y + 0.22, 0.42, 0.30) * front
    colour = over_(
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
    colour = over_(colour, skin * torch.tensor((0.42, 0.24, 0.22), device=x.device)[:, None], (nostril * 1.5).clamp(0, 0.85))
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
    whole = edge_of(cheek - y - ragged, fine + 0.07)
    under_nose = edge_of(mouth_y + 0.145 - 0.16 * side - y - ragged * 0.4, fine + 0.03) * edge_of(
        y - mouth_y + 0.03 + 0.35 * (side - 0.18).clamp_min(0), fine + 0.03
    )
    under_nose = under_nose * edge_of(mouth_wide + 0.03 - side, fine + 0.05)
    chin = edge_of(0.20 - side + 0.10 * wave(y * 4), fine + 0.06) * edge_of(mouth_y - 0.12 - y, fine + 0.05)
    round_mouth = edge_of(
        0.05 - (((x / (mouth_wide + 0.05)) ** 2 + ((y - mouth_y) / 0.20) ** 2 + 1e-6).sqrt() - 1).abs() * 0.25, fine + 0.03
    ) * edge_of(mouth_y + 0.03 - y, 0.1)
    beard = at["full"] * torch.maximum(whole, under_nose) + at["moustache"] * under_nose
    beard = beard + at["goatee"] * torch.maximum(torch.maximum(under_nose, chin), round_mouth)
    beard = (beard + at["stubble"] * torch.maximum(whole, under_nose * 0.8) * 0.34) * (turn.abs() < 0.62)
    # Lips.
    flat = {n: at[n] for n in ("mouth_y", "mouth_wide", "lip_upper", "lip_lower")}
    below, over, _ = (v[:, 0] for v in lips(side[:, None], flat))
    bottom, top = (v[:, 0] for v in lip_edges(side[:, None], flat))
    inside = (side < mouth_wide) & front
    lip = edge_of(top - y, fine * 0.8 + 0.012) * edge_of(y - bottom, fine * 0.8 + 0.018) * inside
    upper_lip = y > mouth_y
    red = at["lip"] * (0.4 + 0.6 * soft_) + skin * torch.tensor((0.86, 0.60, 0.58), device=x.device)[:, None]
    red = over_(red, (0.74, 0.16, 0.20), at["makeup"] * 0.45)
    red = red * (1 - 0.12 * upper_lip) * (1 - 0.05 * wave(side * 40 + y * 3))
    beard = beard * (1 - lip)
    hair = at["hair"] * (0.72 + 0.35 * wave(side * 33 + y * 5 + wave(y * 9) * 0.7) * wave(side * 71 - y * 21))
    colour = over_(colour, hair, beard * 0.92)
    colour = over_(colour, red, lip * (0.80 + 0.12 * soft_))
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
        edge_of(thick - (y - arch).abs() - 0.010 * stroke, fine * 0.7 + 0.016)
        * edge_of(along + 0.03 * stroke, 0.10)
        * edge_of(1 - along, 0.14)
    )
    slit = at["slit"] * torch.sign(x) > 0
    brow = brow * (1 - edge_of(0.016 - (side - 0.37 + 0.2 * (y - arch)).abs(), fine + 0.006) * slit) * front
    colour = over_(colour, at["brow"] * (0.85 + 0.35 * stroke), brow * 0.92)
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
    lid = edge_of(y - high, 0.01) * edge_of(-crease, 0.03) * (place.abs() < 1.12) * close
    colour = over_(colour, skin * torch.tensor((0.82, 0.60, 0.58), device=x.device)[:, None], lid * (0.30 + 0.25 * soft_))
    colour = over_(
        colour, at["brow"] * 0.5 + torch.tensor((0.22, 0.10, 0.20), device=x.device)[:, None], lid * at["makeup"] * 0.45
    )
    lash_thick = (0.014 + 0.012 * soft_ + 0.008 * at["makeup"]) * (0.55 + 0.45 * soft((place + 0.9) / 1.2))
    lash = edge_of(lash_thick - (y - high), fine * 0.7 + 0.006) * edge_of(y - high + 0.02, 0.01) * (place.abs() < 1.0)
    wing_y = y - middle - 0.05 * (side - eye_x - at["eye_wide"] * 0.9) / 0.05 * (0.25 + 0.5 * soft_)
    wing = edge_of(0.010 - (wing_y).abs(), fine * 0.7 + 0.008) * (place > 0.92) * soft((1.22 + 0.06 * soft_ - place) / 0.2)
    dark = torch.tensor((0.10, 0.06, 0.06), device=x.device)[:, None]
    colour = over_(colour, dark, torch.maximum(lash * (0.80 + 0.20 * soft_), wing * (0.45 + 0.5 * soft_)) * close)
    rim = bump(place * 0, y - low, 1, 0.020) * (place.abs() < 0.98) * (y < low)
    colour = over_(colour, skin * torch.tensor((0.72, 0.45, 0.42), device=x.device)[:, None], rim * 0.7 * close)
    # One side only: a mole, a scar.
    mole = bump(x - at["mole_x"], y - at["mole_y"], 0.026 + fine * 0.5, 0.026 + fine * 0.5) * (differs > 0) * front
    colour = over_(colour, (0.24, 0.13, 0.10), (mole * 2).clamp(0, 1) * 0.85)
    scar = at["scar"] * torch.sign(x) > 0
    cut = bump(side - 0.43 - 0.25 * (y + 0.28), y + 0.28, 0.016 + fine * 0.5, 0.17) * scar * front
    colour = over_(
        colour, skin * torch.tensor((0.92, 0.62, 0.60), device=x.device)[:, None] + 0.08, (cut * 1.6).clamp(0, 1) * 0.9
    )
    # Shadows that shape the face, whatever the light.
    line = hairline(turn, at.person, lambda v: v.index_select(0, at.sample))
    covered = at["has_cap"] * soft(1 - (line - y) / (0.10 + 0.35 * at["volume"].clamp_max(0.2)))
    dim = 1 - 0.30 * covered
    fuzz = at["has_cap"] * soft((y - line + 0.075 + 0.03 * wave(turn * 61)) / 0.09) * (at["hairline"][0] > 0.4)
    colour = over_(colour, at["hair"] * 0.85, fuzz * 0.75)
    dim = dim - 0.20 * socket * soft((y - eye_y + 0.02) / 0.12) - 0.10 * bump(side - 0.10, y - eye_y, 0.09, 0.14) * front
    dim = dim - 0.14 * bump(x, y - tip + 0.115, nose_wide * 1.05, 0.06) * front
    dim = dim - 0.22 * bump(side - nose_wide - 0.02, y - tip + 0.04, 0.06, 0.10) * front
    dim = dim - 0.24 * bump(x, y - bottom + 0.035, 0.17, 0.045) * front - 0.30 * soft((-0.93 - y) / 0.12) * (1 - soft(y + 1.02))
    gloss = 0.13 + 0.12 * bump(x, y - tip, 0.12, 0.12) + (0.30 + 0.25 * at["makeup"]) * lip - 0.10 * beard - 0.1 * brow
    return coat_of(colour.clamp(0, 1), part, gloss, dim.clamp(0.25, 1), 1 - 0.8 * beard.clamp(0, 1))
