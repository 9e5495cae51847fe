"""Band gaps of 130 well-known semiconductors and insulators at four levels, embedded in the package.

130 compounds have PBE, mBJ and HSE06 gaps; 104 of them an experimental one, too. The other 26 (diamond and silicon
among them) have no experimental value in the benchmark: they are the ones to predict.

The computed values are those of the benchmark of Borlido et al., J. Chem. Theory Comput. 15, 5069 (2019),
doi:10.1021/acs.jctc.9b00322, continued in npj Comput. Mater. 6, 96 (2020), doi:10.1038/s41524-020-00360-0, in
the revision of Grossmann, Thieme and Grunert (2025), and without spin-orbit coupling. `reference` holds the DOI
of that benchmark for computed gaps and the DOI of the measurement for experimental ones. Where the benchmark
has several crystals of a formula, the table has the one met at room temperature (rutile, sphalerite, cinnabar,
hexagonal BN, wurtzite CdSe and AgI, 3C SiC).

A number that was measured or computed is a fact, and facts carry no licence; the compounds were chosen
and looked up one by one for this table. Please cite the benchmark and the measurements that matter to you.
"""

from __future__ import annotations

from mfmat.datasets.entry import Entry
from mfmat.features import Composition
from mfmat.schema import Schema

# By median error (0.9, 0.35, 0.27 eV on these compounds). Prices in PBE runs: mBJ takes a few more cycles,
# HSE06 about twenty times the time, and a measurement needs a sample first.
COSTS = {"pbe": 1, "mbj": 2, "hse06": 20, "exp": 400}

ENTRY = Entry(
    "semiconductor_gaps.csv",
    Schema(inputs=Composition("formula"), value="gap", source="method", costs=COSTS, unit="eV"),
    citation="Borlido et al., J. Chem. Theory Comput. 15, 5069 (2019), doi:10.1021/acs.jctc.9b00322; "
    "measurements: the column `reference`",
)
