"""AtomSet: the order of the elements does not matter, and elements that are not there do nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat.experts.atoms import AtomInputs, AtomTrunk

FORMULAS = ["NaCl", "MgO", "KBr", "CaO", "LiF", "TiO2", "GaAs", "ZnS", "Al2O3", "SiO2", "Fe2O3", "CuO", "NaF", "BN"]
SMALL = mf.AtomSet(hidden=(16, 16), steps=60)


def compounds(blocks: tuple[str, ...] = ("fractions",)) -> tuple[pd.DataFrame, mf.Schema]:
    table = pd.DataFrame({"formula": FORMULAS, "y": np.linspace(0, 5, len(FORMULAS))})
    return table, mf.Schema(mf.Composition("formula", blocks=blocks), value="y")


def trunk(members: int = 6) -> AtomTrunk:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AtomTrunk(0, (8,), 0.0, torch.randn(members, 3)).double().eval()


def test_members_in_another_order_with_their_embeddings_say_the_same() -> None:
    network, order = trunk(), torch.tensor([3, 1, 5, 0, 4, 2])
    share = torch.rand(4, 6, generator=torch.Generator().manual_seed(0)).double()
    share = share / share.sum(-1, keepdim=True)
    before = network(share)
    with torch.no_grad():
        network.embedding.copy_(network.embedding[order])
        network.table.copy_(network.table[order])
    assert not torch.allclose(network(share), before)
    torch.testing.assert_close(network(share[:, order]), before)


def test_members_that_are_not_there_do_nothing() -> None:
    network = trunk()
    share = torch.tensor([[0.5, 0.5, 0.0, 0.0, 0.0, 0.0]]).double()
    before = network(share)
    with torch.no_grad():
        network.embedding[2:] = 100.0
    torch.testing.assert_close(network(share), before)


def test_the_spread_is_that_of_the_members_present() -> None:
    network = trunk(2)
    kept = {}
    network.rho.register_forward_pre_hook(lambda module, args: kept.update(z=args[0]))
    network(torch.tensor([[0.25, 0.75], [1.0, 0.0]]).double())
    each = network.phi(torch.cat([network.embedding, network.table], dim=-1))
    mean, spread = kept["z"].chunk(2, dim=-1)
    torch.testing.assert_close(mean[0], 0.25 * each[0] + 0.75 * each[1])
    torch.testing.assert_close(spread[0], ((each[0] - each[1]).square() * 0.1875 + 1e-6).sqrt())
    torch.testing.assert_close(spread[1], torch.full_like(spread[1], 1e-3))


def test_equal_compositions_are_told_the_same_however_written() -> None:
    table, schema = compounds()
    surrogate = mf.fit(table, schema, SMALL)
    said = surrogate.predict(pd.DataFrame({"formula": ["Al2O3", "O3Al2", "Al4O6"]}))
    np.testing.assert_allclose(said.to_numpy(), said.to_numpy()[[0, 0, 0]], rtol=1e-5)


def test_the_element_table_stands_beside_the_embeddings() -> None:
    table, schema = compounds(("statistics", "fractions"))
    model = SMALL.fit(schema.data(table))
    assert isinstance(model.network.inputs, AtomInputs)
    assert model.network.trunk.table.shape == (98, 54)
    torch.testing.assert_close(model.network.trunk.table.mean(0), torch.zeros(54).double(), atol=1e-5, rtol=0)


def test_a_missing_view_is_named_with_those_there_are() -> None:
    table, schema = compounds(("statistics", "fractions"))
    with pytest.raises(mf.MfmatError, match=r"'formula\.statistics', 'formula\.fractions'"):
        mf.AtomSet(view="formula.fraction").fit(schema.data(table))
    two = mf.Schema([mf.Columns("a"), mf.Composition("formula", blocks="statistics")], value="y")
    with pytest.raises(mf.MfmatError, match=r"'formula\.statistics'"):
        SMALL.fit(two.data(table.assign(a=1.0)))


def test_it_learns_what_elements_are_worth() -> None:
    rng = np.random.default_rng(0)
    metals, others = ["Li", "Na", "K", "Mg", "Ca", "Zn", "Al", "Ga"], ["O", "S", "Se", "F", "Cl", "N"]
    worth = dict(zip(metals + others, rng.normal(size=14), strict=True))
    rows = [
        (f"{a}{i}{b}{j}", (i * worth[a] + j * worth[b]) / (i + j))
        for a in metals
        for b in others
        for i in (1, 2, 3)
        for j in (1, 2, 3)
    ]
    table = pd.DataFrame(rows, columns=["formula", "y"]).sample(frac=1, random_state=0)
    schema = mf.Schema(mf.Composition("formula", blocks="fractions"), value="y")
    said = mf.fit(table[:250], schema, mf.AtomSet(hidden=(32, 32), steps=600)).predict(table[250:])
    assert (said["median"] - table["y"][250:]).abs().mean() < 0.25 * table["y"].std()


def test_impossible_sizes() -> None:
    with pytest.raises(mf.MfmatError, match="layers=0"):
        mf.AtomSet(hidden=())
