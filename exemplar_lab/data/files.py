"""An image as it comes back from a file: what a metric sees when pictures were kept on disk before they were measured."""

from io import BytesIO

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor


def through_file(image: Float[Tensor, "b 3 h w"], kind: str, quality: int = 75) -> Float[Tensor, "b 3 h w"]:
    """The images, in [0, 1], written to files in memory and read again, each by itself.

    kind: "png" rounds to 256 levels and loses nothing else; "jpeg" also drops detail, the more the lower the `quality`
    (1 … 95; 75 is what PIL and many programs write when nothing is said).
    Raises ValueError for another kind or quality.
    """
    if kind not in ("png", "jpeg"):
        raise ValueError(f"got files of kind {kind!r}, expected 'png' or 'jpeg'")
    if not 1 <= quality <= 95:
        raise ValueError(f"got a quality of {quality}, expected 1 … 95: higher numbers only make larger files")
    levels = image.detach().clamp(0, 1).mul(255).round().byte().movedim(1, -1).cpu().numpy()
    read = []
    for picture in levels:
        file = BytesIO()
        Image.fromarray(picture).save(file, kind, **({"quality": quality} if kind == "jpeg" else {}))
        with Image.open(file) as again:
            read.append(np.asarray(again.convert("RGB")))
    back = torch.from_numpy(np.stack(read) if read else levels.copy())
    return back.movedim(-1, 1).to(image) / 255
