"""Train the starter library: a few networks of each public property, small enough to send around as one file.

    python tools/make_starter_library.py starter [--networks 4]

Leaves the library in that folder and, beside it, as one zip file that `mf.Library` reads from a web server. Needs
MFMAT_DATA; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pandas as pd

import mfmat as mf

CRYSTALS = {
    "dft/matbench_mp_gap": "band gap",
    "dft/matbench_mp_e_form": "formation energy",
    "dft/matbench_perovskites_e_form": "formation energy",
    "dft/matbench_log10_K_VRH": "bulk modulus",
    "dft/matbench_log10_G_VRH": "shear modulus",
    "dft/matbench_dielectric_n": "refractive index",
    "dft/aflow_agl_thermal_conductivity_300K": "thermal conductivity",
    "dft/aflow_agl_thermal_expansion_300K": "thermal expansion",
    "dft/aflow_ael_debye_temperature": "Debye temperature",
    "dft/mp_mu_b": "magnetic moment",
    "dft/mp_e_hull": "energy above hull",
    "jarvis/n_seebeck": "Seebeck coefficient",
    "jarvis/n_powerfact": "power factor",
    "jarvis/slme": "solar efficiency",
    "jarvis/spillage": "spillage",
    "jarvis/eps_mbj": "dielectric constant",
}
MOLECULES = {"molecule-polarizability": "polarizability", "molecule-dipole": "dipole moment"}
ROWS = 2000
"""Of a table, at most."""


def main() -> None:
    """Train what is missing, then put all of it into one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--networks", type=int, default=4, help="of each property")
    asked = parser.parse_args()
    library = mf.Library(asked.folder)
    for name, quantity in (CRYSTALS | MOLECULES).items():
        library.train({name: task(name)}, asked.networks, quantity=quantity, licence="CC-BY-4.0")
    packed = Path(shutil.make_archive(str(asked.folder), "zip", asked.folder))
    print(f"{len(library)} entries, {packed.stat().st_size / 1e6:.1f} MB: {packed}")


def task(name: str) -> tuple[pd.DataFrame, mf.Schema]:
    """Compositions by XenonPy's descriptors, of a molecule its sum formula; the most trusted source alone."""
    table, schema = mf.datasets.load(name)
    if schema.source is not None:
        table = table[table[schema.source].astype(str) == schema.sources[-1 if name in CRYSTALS else 0]]
    kept = table.sample(min(ROWS, len(table)), random_state=0).reset_index(drop=True)
    return kept, mf.Schema(mf.Composition("formula", blocks="descriptors"), value=schema.value, unit=schema.unit)


if __name__ == "__main__":
    main()
