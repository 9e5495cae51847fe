"""Molecules: from SMILES or InChI, however they are written, to one text for each."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from mfmat.features.polymers import is_polymer, load_rdkit, write_unit


class MoleculeText(NamedTuple):
    """A molecule, or the repeat unit of a polymer, as the one text that stands for all ways to write it.

    Attributes:
        smiles: canonical SMILES; `*` are the ends of a repeat unit.
        skeleton: the same without stereochemistry and isotopes.
    """

    smiles: str
    skeleton: str


@lru_cache(maxsize=100_000)
def read_molecule(text: str) -> MoleculeText:
    """The molecule that a SMILES or an InChI stands for.

    Labels of atoms (`[CH3:1]`) go, fragments, charges and isotopes stay. A SMILES with two open ends is the repeat
    unit of a polymer, see `mfmat.features.polymers.write_unit`.

    Errors: ValueError that says why the text cannot be read.

    >>> read_molecule("C(O)C"), read_molecule("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3").smiles
    (MoleculeText(smiles='CCO', skeleton='CCO'), 'CCO')
    >>> read_molecule("F/C=C/F").skeleton, read_molecule("*OCCOCC*").smiles
    ('FC=CF', '*CCO*')
    """
    chem = load_rdkit()
    # RDKit says on stderr what is said here in the error.
    with load_rdkit("rdkit.rdBase").BlockLogs():
        molecule = _parse(chem, text.strip())
        for atom in molecule.GetAtoms():
            atom.SetAtomMapNum(0)
        smiles, flat = _write(chem, molecule), chem.MolToSmiles(molecule, isomericSmiles=False)
        return MoleculeText(smiles, smiles if flat == smiles else _write(chem, _again(chem, flat)))


def _parse(chem: Any, text: str) -> Any:
    if len(text.split()) > 1:
        # RDKit takes what follows a blank for a name.
        raise ValueError("a blank inside")
    if text.startswith("InChI="):
        molecule, fault = chem.MolFromInchi(text), "an InChI"
    else:
        molecule, fault = chem.MolFromSmiles(text), "a SMILES"
    if molecule is None or not molecule.GetNumAtoms():
        raise ValueError(f"cannot be read as {fault}" + (f": {_diagnose(chem, text)}" if fault == "a SMILES" else ""))
    return molecule


def _diagnose(chem: Any, text: str) -> str:
    rough = chem.MolFromSmiles(text, sanitize=False)
    if rough is None:
        return "its syntax is wrong (brackets, ring numbers or an unknown symbol)"
    return "; ".join(problem.Message() for problem in chem.DetectChemistryProblems(rough)) or "it has no atoms"


def _write(chem: Any, molecule: Any) -> str:
    text: str = write_unit(molecule) if is_polymer(molecule) else chem.MolToSmiles(molecule)
    _again(chem, text)
    return text


def _again(chem: Any, text: str) -> Any:
    """What RDKit itself wrote, read: an exotic valence may pass the one way and not the other."""
    molecule = chem.MolFromSmiles(text)
    if molecule is None:
        raise ValueError(f"is read, but its canonical SMILES {text} cannot be")
    return molecule
