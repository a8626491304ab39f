"""The models of the papers, one file each, by the name that the command line and checkpoints know."""

from exemplar_lab.models.cocosnet import CoCosNet, CoCosNetConfig
from exemplar_lab.models.dynast import DynaST, DynaSTConfig
from exemplar_lab.models.matebit import MATEBIT, MATEBITConfig
from exemplar_lab.models.msca import MSCA, MSCAConfig

ModelConfig = CoCosNetConfig | DynaSTConfig | MATEBITConfig | MSCAConfig
MODELS = {
    "cocosnet": (CoCosNet, CoCosNetConfig),
    "dynast": (DynaST, DynaSTConfig),
    "matebit": (MATEBIT, MATEBITConfig),
    "msca": (MSCA, MSCAConfig),
}


def name_of(config: ModelConfig) -> str:
    """The name of the model that this config describes."""
    return next(name for name, (_, kind) in MODELS.items() if isinstance(config, kind))
