"""A column of crystals as what the networks of many source tasks say of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mfmat.errors import check_choice
from mfmat.features.backbones import CGCNN, Backbone
from mfmat.features.backbones.cgcnn import list_networks
from mfmat.features.crystal_views import CrystalViews


@dataclass(frozen=True)
class SourceNetworks(CrystalViews, kind="source_networks"):
    """Crystals as seen by networks that were each trained on another property: experts to weigh against each other.

    One view for each network's inner layer ("structure.cgcnn.mp_eform.hidden"), and one of all predictions
    ("structure.cgcnn.predictions"), in the units that each network was trained in. The kernel of a GP over these views
    says by their weights which source matters. Neighbours are searched for once for all networks.

    Args:
        column: crystals, as `Structure` reads them.
        folder: of the networks; None: the 18 of Chang, Wang and Ertekin, in the folder that MFMAT_DATA names.
        networks: which of them; left out, all.
        level: `"hidden"`, the 32 numbers before the prediction, or `"pooled"`, the 64 of the mean atom, which the
            authors' mixture gates.
        moments, fallback, typical: as in `Structure`.

    Errors: as `Structure`. SavedFileError for a folder without networks.

    Chang, Wang and Ertekin 2022, doi:10.1038/s41524-022-00929-x.

    >>> list(SourceNetworks("structure").views)[:2]
    ['structure.cgcnn.castelli_eform.hidden', 'structure.cgcnn.jarvis_bandgap.hidden']
    """

    folder: str | None = field(default=None, kw_only=True)
    networks: tuple[str, ...] = field(default=(), kw_only=True)
    level: Literal["hidden", "pooled"] = field(default="hidden", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("level", self.level, ("hidden", "pooled"))
        bank = CGCNN(self.networks or list_networks(self.folder), self.folder)
        object.__setattr__(self, "networks", bank.networks)
        object.__setattr__(self, "folder", bank.folder)
        self._check_sets()

    @property
    def plan(self) -> tuple[tuple[Backbone, tuple[str, ...]], ...]:
        """All networks, each with its layer, and their predictions."""
        bank = CGCNN(self.networks, self.folder)
        return ((bank, bank.find_levels((self.level, "predictions"))),)
