"""A column of crystals as features of a pretrained network, level by level."""

from __future__ import annotations

from dataclasses import dataclass, field

from mfmat.errors import UnknownNameError, nearest
from mfmat.features.backbones import NAMED, Backbone, Geometry
from mfmat.features.crystal_views import CrystalViews

_GEOMETRY = "geometry"


@dataclass(frozen=True)
class Structure(CrystalViews, kind="structure"):
    r"""Crystals as what a pretrained network makes of them: one view for each level of its hierarchy.

    With $v_i$ the features of atom i of n after a layer, the view of that level holds, feature by feature,
    $\mathrm{mean} = \frac{1}{n}\sum_i v_i$ and $\mathrm{std} = \sqrt{\frac{1}{n}\sum_i (v_i - \mathrm{mean})^2}$ (or
    the smallest and the largest): the same for any order of the atoms and any number of copies of the cell. Levels of
    the crystal are taken as they are. The view `geometry` needs no network (`Geometry`). Features are worked out once
    for each crystal and kept on disk (MFMAT_CACHE).

    With `fallback="composition"` every row also has the views of `Composition` and one that says whether it was
    refused; in the views of a network that refuses it, a crystal has the mean over the table that the featurizer was
    settled on.

    Args:
        column: a pymatgen `Structure`, its dict, JSON text of it, CIF or POSCAR text, or the path of such a file.
        backbone: `"chgnet"` (extra `structures`), `"cgcnn"`, `"geometry"`, or one with options, such as
            `CGCNN(("mp_eform", "mp_gvrh"))`.
        level: which levels; left out, the backbone's usual ones and `geometry`.
        moments: what the atoms of a level become: some of `mean`, `std`, `min` and `max`; beside them `set`: the level
            also is a small set for `AtomSet`, with the mean atom of each element, its share as the weight, and room for
            8 elements. Other learners see the moments alone.
        fallback: `"composition"`: refused crystals are known by their composition; None: they are problems.
        typical: by view, what stands for a refused crystal; read off the table unless given.

    Errors: UnknownNameError for an unknown backbone or level. A cell that is no ordered crystal, or one that the
    backbone refuses (or of more than 8 elements, where a set is asked for), is a `Problem`, and its row NaN.

    Chen and Ong 2021 (AtomSets), doi:10.1038/s41524-021-00639-w.

    >>> import pandas as pd
    >>> salt = {"lattice": [[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]], "species": ["Na", "Cl"],
    ...         "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]]}
    >>> featurizer = Structure("structure", backbone="geometry")
    >>> X, problems = featurizer.encode(pd.DataFrame({"structure": [salt, "no crystal"]}))
    >>> dict(zip(featurizer.views["structure.geometry"], X[0].tolist()))["space group"]
    225.0
    >>> problems[0].position
    1
    """

    backbone: Backbone | str = field(default="chgnet", kw_only=True)
    level: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "backbone", _read_backbone(self.backbone))
        level = (self.level,) if isinstance(self.level, str) else tuple(self.level)
        if not level:
            level = tuple(dict.fromkeys((*self._network.usual, _GEOMETRY)))
        object.__setattr__(self, "level", level)
        self._network.find_levels([name for name in level if name != _GEOMETRY])
        self._check_sets()

    @property
    def plan(self) -> tuple[tuple[Backbone, tuple[str, ...]], ...]:
        """The backbone, and the geometry where it is asked for."""
        names = [name for name in self.level if name != _GEOMETRY]
        network = ((self._network, self._network.find_levels(names)),) if names else ()
        return (*network, *(((Geometry(), (_GEOMETRY,)),) if _GEOMETRY in self.level else ()))

    @property
    def _network(self) -> Backbone:
        assert isinstance(self.backbone, Backbone)
        return self.backbone


def _read_backbone(backbone: Backbone | str) -> Backbone:
    if isinstance(backbone, Backbone):
        return backbone
    if backbone not in NAMED:
        raise UnknownNameError(
            f"backbone {backbone!r}",
            expected=f"a Backbone, or one of {', '.join(map(repr, NAMED))}",
            fix=nearest(str(backbone), NAMED) + 'backbone="chgnet"',
        )
    return NAMED[backbone]()
