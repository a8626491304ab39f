"""The light on a pair of figures and the wall behind them."""

import torch
from jaxtyping import Int
from torch import Tensor

from exemplar_lab.data.seeds import fold, uniform
from exemplar_lab.data.synth.people.render import Backdrop, Light


def studio(key: Int[Tensor, " b"], difference: float) -> tuple[Light, Backdrop]:
    """Light of targets and then exemplars, and the backdrop they share.

    difference, the dial light: 0 one light for both, 1 a little different in the two images, up to 4: lamps on opposite sides,
    of other strength and colour.
    """
    both = torch.cat([fold(key, "target"), fold(key, "exemplar")])
    little, much = min(difference, 1.0), max(difference - 1.0, 0.0) / 3
    sign = torch.tensor([1.0, -1.0], dtype=torch.float64, device=key.device).repeat_interleave(len(key))

    def shared(name, low, high, shape=()):
        return uniform(key, name, shape, low, high).repeat(2, *[1] * len(shape))

    def own(name, reach):
        return uniform(both, name, (), -reach, reach) * little

    # Far apart, the lamp of the target goes to one side, at random, and that of the exemplar to the other.
    away = sign * (2 * (uniform(key, "lamp side") < 0.5).repeat(2) - 1)
    x = (shared("light", -0.55, 0.55) + own("light", 0.18)) * (1 - much) + 1.1 * away * much
    y = -0.55 + own("light height", 0.08)
    z = 0.75 - 0.35 * much + torch.zeros_like(x)
    norm = (x * x + y * y + z * z).sqrt()
    warm = shared("warmth", -0.05, 0.05)
    tone = sign * (2 * (uniform(key, "lamp tone") < 0.5).repeat(2) - 1) * much
    strength = 0.72 + own("strength", 0.04) + 0.12 * tone
    warm = warm + 0.20 * tone
    key_light = torch.stack([strength * (1 + warm), strength, strength * (1 - warm)], dim=-1)
    fill = torch.stack([0.44 - warm * 0.4, 0.45 + 0 * warm, 0.49 + warm * 0.4], dim=-1) * (1 + 0.22 * tone)[:, None]
    # A wall of one hue: pale, and a little darker and warmer towards the floor.
    grey = shared("grey", 0.62, 0.92)[:, None]
    tint = shared("tint", -0.12, 0.12, (3,))
    above = grey + tint
    below = grey * shared("floor", 0.72, 1.0)[:, None] + shared("floor tint", -0.06, 0.06, (3,)) + tint * 0.4
    light = Light(*(v.float() for v in (x / norm, y / norm, z / norm, key_light, fill)))
    spots = shared("spot x", 0.2, 0.8), shared("spot y", 0.1, 0.6), shared("spot", 0.12, 0.24)
    return light, Backdrop(*(v.float() for v in (above, below, *spots)))
