from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from mfmat.features import ChemicalGroups, Composition
from mfmat.features.crystals import Crystal, read_crystal, read_crystals, write_crystal

PEROVSKITE = Structure.from_spacegroup(
    "Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
)
SLANTED = Structure(
    Lattice.from_parameters(4.1, 5.2, 6.3, 81, 95, 107),
    ["Ga", "As", "O"],
    [[0.1, 0.2, 0.3], [0.9, 0.4, 0.55], [0, 0, 0]],
)


def spellings(structure: Structure, folder: Path) -> dict[str, object]:
    """One structure in every form that a cell may have."""
    found = {
        "Structure": structure,
        "dict": structure.as_dict(),
        "JSON": json.dumps(structure.as_dict()),
        "JSON of its own": write_crystal(structure),
        "CIF": structure.to(fmt="cif"),
        "POSCAR": structure.to(fmt="poscar"),
    }
    for name, form in (("a.cif", "CIF"), ("POSCAR", "POSCAR"), ("a.json", "JSON")):
        (folder / name).write_text(str(found[form]))
        found |= {f"path of {name}": str(folder / name), f"Path of {name}": folder / name}
    return found


@pytest.mark.parametrize("structure", [PEROVSKITE, SLANTED], ids=["cubic", "triclinic"])
def test_one_crystal_however_it_is_written(structure: Structure, tmp_path: Path) -> None:
    read = {form: read_crystal(cell) for form, cell in spellings(structure, tmp_path).items()}
    assert {crystal.identity for crystal in read.values()} == {read["Structure"].identity}, {
        form: crystal.identity for form, crystal in read.items()
    }
    # The angles and distances are those of the structure.
    ours, theirs = read["CIF"].structure(), structure
    assert np.allclose(ours.lattice.parameters, theirs.lattice.parameters, atol=1e-5)
    assert np.allclose(ours.distance_matrix, theirs.distance_matrix, atol=1e-5)


def test_orientation_and_images_do_not_matter_but_species_and_places_do() -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    same = Structure(SLANTED.lattice.matrix @ turn, SLANTED.species, SLANTED.frac_coords + np.array([1, -2, 3]))
    assert read_crystal(same).identity == read_crystal(SLANTED).identity
    moved, other = SLANTED.copy(), SLANTED.copy()
    moved.translate_sites([0], [1e-3, 0, 0])
    other[0] = "In"
    assert len({read_crystal(s).identity for s in (SLANTED, moved, other)}) == 3


def test_charges_are_no_part_of_a_crystal() -> None:
    charged = PEROVSKITE.copy().add_oxidation_state_by_element({"Sr": 2, "Ti": 4, "O": -2})
    assert read_crystal(charged).identity == read_crystal(PEROVSKITE).identity


def test_the_identity_is_the_same_in_another_process() -> None:
    code = f"from mfmat.features.crystals import read_crystal; print(read_crystal({write_crystal(SLANTED)!r}).identity)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == read_crystal(SLANTED).identity


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        (None, "structure missing"),
        (float("nan"), "structure missing"),
        (3.5, "no structure"),
        ("", "empty text"),
        ("nowhere.cif", "No such file"),
        ("{broken", "no JSON"),
        ('{"lattice": 1}', "without 'species'"),
        ("[1]\n[2]", "as POSCAR"),
        ("data_x\n_cell_length_a 1\n", "as CIF"),
        ({"lattice": np.eye(3), "species": ["Xx"], "frac_coords": [[0, 0, 0]]}, "no element 'Xx'"),
        ({"lattice": np.eye(3), "species": [], "frac_coords": []}, "0 atoms"),
        ({"lattice": np.zeros((3, 3)), "species": ["H"], "frac_coords": [[0, 0, 0]]}, "without a volume"),
        ({"lattice": np.eye(3), "species": ["H"], "frac_coords": [[0, 0, np.nan]]}, "not finite"),
        ({"lattice": np.eye(3), "species": ["H", "H"], "frac_coords": [[0, 0, 0]]}, "2 atoms"),
        ({"lattice": "abc", "species": ["H"], "frac_coords": [[0, 0, 0]]}, ""),
        ({"sites": []}, ""),
        (Structure(Lattice.cubic(3), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]]), "several elements share"),
    ],
)
def test_a_cell_that_is_none_is_a_problem(cell: object, what: str) -> None:
    column = pd.Series([PEROVSKITE, cell], index=["a", "b"], name="structure", dtype=object)
    reading = read_crystals(column)
    (problem,) = reading.problems
    assert (problem.position, problem.index, problem.column) == (1, "b", "structure")
    assert what in problem.what
    assert reading.codes.tolist() == [0, -1]
    assert len(str(problem)) < 500


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nor a file that can be read"):
        read_crystal(tmp_path)


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "POSCAR"
    found = []
    for structure in (PEROVSKITE, SLANTED):
        path.write_text(structure.to(fmt="poscar"))
        found.append(read_crystal(str(path)).formula)
    assert found == [read_crystal(PEROVSKITE).formula, read_crystal(SLANTED).formula]


def test_formulas_of_crystals(tmp_path: Path) -> None:
    cells = [*spellings(PEROVSKITE, tmp_path).values(), "SrTiO3"]
    # A path without an ending could be a formula: POSCAR is phosphorus, oxygen, sulfur, carbon and argon.
    cells = [cell for cell in cells if not (isinstance(cell, str) and cell.endswith("POSCAR"))]
    table = pd.DataFrame({"structure": pd.Series(cells, dtype=object)})
    X, problems = Composition("structure").encode(table)
    assert problems == []
    assert (X[-1] == X).all()
    assert set(Composition("structure").groups(table)) == {"SrTiO3"}
    assert set(ChemicalGroups("structure").names(table)) == {"oxides"}


def test_a_crystal_without_a_formula_is_a_problem() -> None:
    X, (problem,) = Composition("structure").encode(pd.DataFrame({"structure": ["SrTiO3", "{broken"]}))
    assert "cannot be read as a crystal (no JSON" in problem.what
    assert np.isnan(X[1]).all()


def test_lattice_vectors_are_turned_into_one_orientation() -> None:
    crystal = Crystal.of(SLANTED.lattice.matrix, [31, 33, 8], SLANTED.frac_coords)
    assert np.allclose(np.triu(crystal.lattice, 1), 0)
    assert crystal.volume == pytest.approx(SLANTED.volume, rel=1e-6)
