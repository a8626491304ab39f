"""Noise that neither repeats nor aliases: one spectrum, cut at half octaves, and ridge lines known at every scale.

Tables are made once, by NumPy's own FFT and numbers from `seeds`, and rounded to 2⁻¹² so that no platform's last digit shows.
"""

from functools import lru_cache

import numpy
import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import fold, sample_keys, uniform

SIDES = (512, 362, 256, 181, 128, 90, 64, 45, 32, 22, 16, 11, 8)
"""Sides of the tile at its levels: level i holds what a footprint of 2^(i/2) texels can show."""

CHANNELS = 4
"""Soft clouds, a rougher kin, billows with creases, and grit; each about −1 … 1, standard deviation 0.35."""

PROFILES = 16
"""Ridge lines: the first half mountains with peaks, the second half hills."""

NODES, SCALES = 4096, 14
"""Nodes of a ridge line, one period; and its blurs, σ = 2^(i/2) nodes."""


def numbers(name: str, shape: tuple[int, ...]) -> numpy.ndarray:
    """Fixed numbers in [0, 1) for the tables, float64."""
    total = int(numpy.prod(shape))
    key = fold(sample_keys(1, "train", torch.arange(total)), "table")
    return uniform(key, name).numpy().reshape(shape)


def _spectrum(name: str, side: int, slope: float, low: float) -> numpy.ndarray:
    """Half spectrum of a tile whose power falls as frequency^−2·slope above `low` cycles."""
    y, x = numpy.fft.fftfreq(side, 1 / side)[:, None], numpy.fft.rfftfreq(side, 1 / side)[None]
    frequency = numpy.sqrt(x * x + y * y)
    amplitude = numpy.where(frequency < 1, 0, numpy.maximum(frequency, low) ** -slope * numpy.minimum(1, frequency / low))
    amplitude[frequency > side / 2] = 0
    white = numpy.fft.rfft2(numbers(name, (side, side)) - 0.5)
    return white * amplitude


def _cut(spectrum: numpy.ndarray, side: int) -> numpy.ndarray:
    """The tile at a smaller side: the same waves, those too short left out."""
    full, half = spectrum.shape[0], side // 2
    kept = numpy.zeros((side, half + 1), complex)
    reach = (side - 1) // 2
    kept[: reach + 1, : reach + 1] = spectrum[: reach + 1, : reach + 1]
    kept[side - reach :, : reach + 1] = spectrum[full - reach :, : reach + 1]
    return numpy.fft.irfft2(kept, (side, side)) * (side / full) ** 2


@lru_cache(maxsize=4)
def _atlas(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Texels of all levels (n, 4), each level one wider than it is so that it wraps; sides and starts of the levels."""
    soft, rough, crease, grit = (
        _spectrum("soft", 512, 1.75, 3.0),
        _spectrum("rough", 512, 1.35, 4.0),
        _spectrum("crease", 512, 1.7, 4.0),
        _spectrum("grit", 512, 0.7, 24.0),
    )
    folded = numpy.fft.irfft2(crease, (512, 512))
    folded = numpy.abs(folded) / folded.std()
    crease = numpy.fft.rfft2(folded - folded.mean())
    levels = []
    for side in SIDES:
        planes = [_cut(s, side) if side < 512 else numpy.fft.irfft2(s, (512, 512)) for s in (soft, rough, crease, grit)]
        levels.append(numpy.stack(planes, -1))
    scale = 0.35 / levels[0].std((0, 1))
    flat = [numpy.pad(level * scale, ((0, 1), (0, 1), (0, 0)), mode="wrap").reshape(-1, CHANNELS) for level in levels]
    starts = numpy.cumsum([0] + [len(level) for level in flat])[:-1]
    table = torch.from_numpy(numpy.round(numpy.concatenate(flat) * 4096) / 4096).float()
    return table.to(device), torch.tensor(SIDES, device=device), torch.from_numpy(starts).to(device)


def level_of(texels: Float[Tensor, "..."]) -> Int[Tensor, "..."]:
    """The level for a footprint of so many texels of the finest one. Raises nothing: tiny footprints read level 0."""
    return (texels.double().clamp_min(1).log2() * 2).round().long().clamp(0, len(SIDES) - 1)


def noise(u: Float[Tensor, "..."], v: Float[Tensor, "..."], level: Int[Tensor, "..."]) -> Float[Tensor, "4 ..."]:
    """The four channels at (u, v), in periods of the tile, read bilinearly at `level` (see `level_of`); shapes broadcast."""
    table, sides, starts = _atlas(str(u.device))
    side = sides[level]
    x, y = (u - u.floor()) * side, (v - v.floor()) * side
    left, top = x.floor(), y.floor()
    first = (starts[level] + top.long() * (side + 1)) + left.long()
    shape = first.shape
    x, y = ((of - of_floor).expand(shape).reshape(-1, 1) for of, of_floor in ((x, left), (y, top)))
    lower = (first + (side + 1)).flatten()
    upper = _between(table, first.flatten(), x)
    return blend(upper, _between(table, lower, x), y).T.contiguous().unflatten(1, shape)


def _between(table: Tensor, first: Tensor, share: Tensor) -> Tensor:
    return blend(table.index_select(0, first), table.index_select(0, first + 1), share)


def blend(here: Tensor, there: Tensor, share: Tensor) -> Tensor:
    """here + (there − here) · share, written over `there`."""
    there -= here
    there *= share
    there += here
    return there


def _profile(which: int) -> numpy.ndarray:
    """A ridge line of one period, 0 … 1."""
    x = numpy.arange(NODES) / NODES
    phase = numbers(f"ridge {which}", (12, 64))
    mountain = which < PROFILES // 2
    height, envelope = numpy.zeros(NODES), numpy.ones(NODES)
    for octave in range(8 if mountain else 6):
        low = (7 if mountain else 5) * 2**octave
        waves = numpy.zeros(NODES)
        for i in range(8):
            cycles = low + int(phase[octave, i] * low)
            waves += numpy.sin(2 * numpy.pi * (cycles * x + phase[octave, 8 + i])) * (0.5 + phase[octave, 16 + i])
        waves /= waves.std() * 1.8
        if mountain:
            crest = numpy.maximum(1 - numpy.abs(waves), -0.5)
            height += crest * envelope * 0.5**octave * (1 if octave else 1.2)
            envelope = 0.3 + 0.7 * numpy.clip(height, 0, 1.5) / 1.5
        else:
            height += waves * 0.42**octave
    height -= numpy.quantile(height, 0.02)
    return (height / numpy.quantile(height, 0.99)).clip(0, 1.15)


@lru_cache(maxsize=4)
def _ridges(device: str) -> Tensor:
    """Height and slope (per period) of every ridge line at every scale, (profiles · scales · (nodes + 1), 2)."""
    frequency = numpy.fft.rfftfreq(NODES, 1 / NODES)
    rows = []
    for which in range(PROFILES):
        spectrum = numpy.fft.rfft(_profile(which))
        for scale in range(SCALES):
            blur = spectrum * numpy.exp(-0.5 * (2 * numpy.pi * frequency * 2 ** (scale / 2) * 0.7 / NODES) ** 2)
            height = numpy.fft.irfft(blur, NODES)
            slope = numpy.fft.irfft(blur * 2j * numpy.pi * frequency, NODES)
            rows.append(numpy.pad(numpy.stack([height, slope], -1), ((0, 1), (0, 0)), mode="wrap"))
    return torch.from_numpy(numpy.round(numpy.concatenate(rows) * 65536) / 65536).float().to(device)


def ridge(which: Int[Tensor, "..."], at: Float[Tensor, "..."], scale: Float[Tensor, "..."]) -> Float[Tensor, "2 ..."]:
    """Height and slope of the ridge lines `which` at `at`, in periods, blurred by 2^(scale/2) nodes, linear between; shapes
    broadcast."""
    table = _ridges(str(at.device))
    scale = scale.clamp(0, SCALES - 1.001)
    whole = scale.floor()
    x = (at - at.floor()) * NODES
    left = x.floor()
    first = (which * SCALES + whole.long()) * (NODES + 1) + left.long().clamp(0, NODES - 1)
    shape, first = first.shape, first.flatten()
    x, share = ((of - of_floor).expand(shape).reshape(-1, 1) for of, of_floor in ((x, left), (scale, whole)))
    sharp = _between(table, first, x)
    return blend(sharp, _between(table, first + (NODES + 1), x), share).T.contiguous().unflatten(1, shape)
