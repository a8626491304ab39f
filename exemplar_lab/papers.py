"""The four papers and how many equations each numbers, 57 in all. Docstrings cite them as `Eq. (4) of [CoCosNet]`."""

from typing import NamedTuple


class Paper(NamedTuple):
    key: str
    title: str
    authors: str
    year: int
    link: str
    equations: int


PAPERS = {
    "cocosnet": Paper(
        "CoCosNet",
        "Cross-domain Correspondence Learning for Exemplar-based Image Translation",
        "Zhang, Zhang, Chen, Yuan, Wen",
        2020,
        "https://arxiv.org/abs/2004.05571",
        14,
    ),
    "dynast": Paper(
        "DynaST",
        "DynaST: Dynamic Sparse Transformer for Exemplar-Guided Image Generation",
        "Liu, Ye, Ren, Wang",
        2022,
        "https://arxiv.org/abs/2207.06124",
        17,
    ),
    "matebit": Paper(
        "MATEBIT",
        "Masked and Adaptive Transformer for Exemplar Based Image Translation",
        "Jiang, Gao, Ma, Lin, Wang, Xu",
        2023,
        "https://arxiv.org/abs/2303.17123",
        14,
    ),
    "msca": Paper(
        "MSCA",
        "Example-Guided Image Synthesis across Arbitrary Scenes using Masked Spatial-Channel Attention and Self-Supervision",
        "Zheng, Liao, Chen, Xiong, Chen, Luo",
        2020,
        "https://arxiv.org/abs/2004.10024",
        12,
    ),
}
