"""Measured pools for active learning and optimisation: inputs are settings or fractions, not compounds.

Repeated inputs are repeated measurements. The goal ("max" or "min") of each pool stands in its line.
"""

from __future__ import annotations

from mfmat.datasets.entry import Entry
from mfmat.features import Columns
from mfmat.schema import Schema

_LIANG = "Liang et al., npj Comput. Mater. 7, 188 (2021), doi:10.1038/s41524-021-00656-9"
_OLYMPUS = "Häse et al., arXiv:2010.04153 (2020)"


def _pool(file: str, inputs: tuple[str, ...], unit: str, citation: str = _LIANG) -> Entry:
    return Entry(f"al_pools/{file}.csv.gz", Schema(inputs=Columns(inputs), value="target", unit=unit), citation)


POOLS = {
    # Toughness of printed barrels, max.
    "al-pools/crossed_barrel": _pool("crossed_barrel", ("n", "theta", "r", "t"), ""),
    # Distance from a wanted spectrum, min.
    "al-pools/agnp": _pool("agnp", ("QAgNO3(%)", "Qpva(%)", "Qtsc(%)", "Qseed(%)", "Qtot(uL/min)"), ""),
    # Score of a printed shape, max.
    "al-pools/autoam": _pool(
        "autoam", ("Prime Delay", "Print Speed", "X Offset Correction", "Y Offset Correction"), ""
    ),
    # Conductivity of composite films, max.
    "al-pools/p3ht_cnt": _pool("p3ht_cnt", ("P3HT content (%)", *(f"D{k} content (%)" for k in (1, 2, 6, 8))), "S/cm"),
    # Instability index, min.
    "al-pools/perovskite_stability": _pool("perovskite_stability", ("CsPbI", "FAPbI", "MAPbI"), ""),
    # Overpotential for oxygen evolution, min; the plates share elements.
    "al-pools/oer_plate_3496": _pool("oer_plate_3496", ("Ni", "Fe", "Co", "Mn", "Ce", "La"), "V", _OLYMPUS),
    "al-pools/oer_plate_3851": _pool("oer_plate_3851", ("Ni", "Fe", "Co", "Ta", "Mn", "Cu"), "V", _OLYMPUS),
    "al-pools/oer_plate_3860": _pool("oer_plate_3860", ("Sn", "Fe", "Co", "Ta", "Mn", "Cu"), "V", _OLYMPUS),
    "al-pools/oer_plate_4098": _pool("oer_plate_4098", ("Sn", "Sb", "Co", "Ca", "Ni", "Mn"), "V", _OLYMPUS),
}
