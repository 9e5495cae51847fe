"""Writes mfmat/datasets/semiconductor_gaps.csv from the folder that MFMAT_DATA names.

The compounds below were chosen one by one: what a materials scientist knows, and nothing exotic. Their values
and the DOI of each measurement are looked up in the benchmark of band gaps by functional. Compounds under
`UNMEASURED` have no experimental value there: they are the ones to predict.
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
from pymatgen.core import Composition

BENCHMARK = "borlido_functionals/bandgaps_by_functional.csv.gz"
BENCHMARK_DOI = "10.1021/acs.jctc.9b00322"
TABLE = Path(__file__).parents[1] / "mfmat" / "datasets" / "semiconductor_gaps.csv"
METHODS = {"PBE": "pbe", "MBJ": "mbj", "HSE06": "hse06", "exp": "exp"}

MEASURED = {
    "elements": "Ge P",
    "III-V": "BP AlAs AlSb GaN GaP GaAs GaSb InN InP InAs InSb",
    "II-VI": "BeO MgO MgTe CaS SrO SrS BaO BaS ZnO ZnS ZnSe CdS CdSe HgS",
    "halides": "LiH NaF NaCl NaI KCl RbCl AgCl AgBr AgI CuBr CuI BaF2 PbCl2 PbI2 HgI2 BiI3",
    "oxides": "Al2O3 SiO2 GeO2 TiO2 SnO2 HfO2 Cu2O Ag2O SrTiO3 BaSnO3 NaTaO3 LiNbO3",
    "nitrides": "Si3N4 ZnGeN2",
    "IV-VI": "PbS PbSe SnS SnSe SnS2 SnSe2 GeSe",
    "V-VI": "As2S3 As2Se3 Sb2S3 Sb2Se3 Sb2Te3 Bi2S3 Bi2Te3",
    "layered": "GaSe GaTe MoSe2 WS2 WSe2 ReS2 ZrS2 ZrSe2",
    "chalcopyrites": "CuAlS2 CuGaS2 CuGaSe2 CuInS2 CuInSe2 AgGaS2 AgInS2 "
    "ZnSiP2 ZnGeP2 ZnSnP2 ZnGeAs2 CdGeP2 CdGeAs2 CdSnAs2",
    "halide perovskites": "CsPbBr3 CsSnCl3 CsSnBr3 CsSnI3 Cs2AgBiBr6 Cs3Bi2I9",
    "others": "FeS2 Mg2Si Mg3Sb2 BaSi2 Cu2ZnSnS4",
}

UNMEASURED = {
    "elements": "C Si",
    "III-V": "BN AlN AlP",
    "IV-IV": "SiC",
    "II-VI": "CaO BeSe CdTe",
    "halides": "LiF LiCl CuCl MgF2 CaF2",
    "oxides and nitrides": "KTaO3 ScN",
    "IV-VI and V-VI": "PbTe Bi2Se3",
    "layered": "GaS MoS2 MoTe2 HfS2",
    "chalcopyrites": "CuAlSe2 CuGaTe2 AgGaSe2 AgInSe2",
}

# Where the benchmark has several crystals of one formula: the one met at room temperature.
POLYMORPHS = {
    "AgI": "mp-22894",  # beta, wurtzite
    "BN": "mp-984",  # hexagonal
    "CdSe": "mp-1070",  # wurtzite
    "HgS": "mp-634",  # cinnabar
    "SiC": "mp-8062",  # 3C, the one that is also cubic in every handbook
    "TiO2": "mp-2657",  # rutile
    "ZnS": "mp-10695",  # sphalerite
}


def chosen() -> list[str]:
    """Every formula of the table, in the order of its rows."""
    return [formula for family in (*MEASURED.values(), *UNMEASURED.values()) for formula in family.split()]


def rows(folder: Path) -> pd.DataFrame:
    """The table (formula, method, gap, reference), each value looked up in the benchmark."""
    benchmark = pd.read_csv(folder / BENCHMARK, keep_default_na=False, na_values=[""], low_memory=False)
    benchmark = benchmark[benchmark["fidelity"].isin(METHODS)]
    return pd.concat([_of_one(formula, benchmark) for formula in chosen()], ignore_index=True)


def _of_one(formula: str, benchmark: pd.DataFrame) -> pd.DataFrame:
    found = benchmark[benchmark["formula"] == Composition(formula).reduced_formula]
    ids = set(found["id"])
    if len(ids) > 1:
        found = found[found["id"] == POLYMORPHS[formula]]
    values = found.set_index("fidelity").reindex([level for level in METHODS if level in set(found["fidelity"])])
    reference = values["doi"].str.removeprefix("https://doi.org/").fillna(BENCHMARK_DOI)
    return pd.DataFrame(
        {
            "formula": formula,
            "method": [METHODS[level] for level in values.index],
            "gap": values["target"].to_numpy(),
            "reference": reference.to_numpy(),
        }
    )


if __name__ == "__main__":
    rows(Path(os.environ["MFMAT_DATA"])).to_csv(TABLE, index=False, lineterminator="\n")
