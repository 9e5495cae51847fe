"""AtomSet on sets whose members have numbers of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import mfmat as mf
from mfmat.data import Data
from mfmat.errors import FitError, UnknownNameError
from mfmat.experts.pooling import LearnedPool, MeanPool
from mfmat.experts.set_trunk import SetInputs
from mfmat.familiarity import Familiarity
from mfmat.small_sets import Members, SetColumns

SMALL = mf.AtomSet(hidden=(16, 16), steps=60)
COUNT, WIDTH = 4, 3
SET = SetColumns(slice(2, 2 + COUNT), slice(2 + COUNT, 2 + COUNT + COUNT * WIDTH))


def sets(n: int = 60, seed: int = 0) -> Data:
    """A column a, the mean of a set of up to four members, and the set; y is a mean over members of a bent function."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, COUNT + 1, n)
    there = np.arange(COUNT) < size[:, None]
    weights = rng.uniform(0.2, 1, (n, COUNT)) * there
    weights /= weights.sum(1, keepdims=True)
    members = rng.normal(size=(n, COUNT, WIDTH)) * there[..., None]
    a = rng.normal(size=n)
    y = (weights * np.sin(2 * members[..., 0]) * members[..., 1]).sum(1) + 0.1 * a
    columns = np.column_stack([a, (weights * members[..., 0]).sum(1), weights, members.reshape(n, -1), 0 * a])
    plain = mf.Schema(mf.Columns("a"), value="y").data(pd.DataFrame({"a": a, "y": y}))
    views = {"a": slice(0, 1), "atoms": slice(1, 2)}
    return replace(plain, X=torch.from_numpy(columns), views=views, sets={"atoms": SET})


def say(model, X: Tensor) -> Tensor:
    with torch.no_grad():
        posterior = model.posterior(X.unsqueeze(1), observation_noise=True)
        return torch.cat([posterior.mean, posterior.variance], dim=-1)[:, 0]


def reorder(X: Tensor, order: list[int]) -> Tensor:
    """The rows with the members of their sets at other places."""
    turned = X.clone()
    turned[:, SET.weights] = X[:, SET.weights][:, order]
    turned[:, SET.members] = X[:, SET.members].unflatten(1, (COUNT, WIDTH))[:, order].flatten(1)
    return turned


@pytest.mark.parametrize("pooling", ["mean", "learned"])
def test_neither_places_nor_padding_matter(pooling: str) -> None:
    data = sets()
    model = replace(SMALL, pooling=pooling).fit(data)
    said = say(model, data.X)
    torch.testing.assert_close(say(model, reorder(data.X, [2, 0, 3, 1])), said, rtol=1e-5, atol=1e-6)
    padded = data.X.clone()
    each = padded[:, SET.members].unflatten(1, (COUNT, WIDTH))
    each[padded[:, SET.weights] == 0] = 1e6
    padded[:, SET.members] = each.flatten(1)
    assert not torch.equal(padded, data.X)
    assert torch.equal(say(model, padded), said)
    # Nor do they in training: rounding alone tells the models apart.
    turned = replace(SMALL, pooling=pooling, steps=3).fit(replace(data, X=reorder(data.X, [2, 0, 3, 1])))
    plain = replace(SMALL, pooling=pooling, steps=3).fit(data)
    torch.testing.assert_close(say(turned, data.X), say(plain, data.X), rtol=1e-3, atol=1e-3)


def test_one_scale_for_all_members_each_as_often_as_its_weight_says() -> None:
    data = sets()
    scale = Members([SET])
    scale.measure(data.X)
    weights = data.X[:, SET.weights].numpy().ravel()
    values = data.X[:, SET.members].numpy().reshape(-1, WIDTH)
    centre = np.average(values, axis=0, weights=weights)
    spread = np.sqrt(np.average((values - centre) ** 2, axis=0, weights=weights))
    np.testing.assert_allclose(scale.centre, centre)
    np.testing.assert_allclose(scale.scale, spread)
    there = data.X[:, SET.weights] > 0
    z = scale(data.X)
    np.testing.assert_allclose(z[there], ((values - centre) / spread)[there.flatten().numpy()])
    assert not z[~there].any()


def test_a_constant_number_takes_the_usual_scale() -> None:
    data = sets()
    X = data.X.clone()
    X[:, SET.members] = torch.cat(
        [X[:, SET.members].unflatten(1, (COUNT, WIDTH))[..., :2], torch.ones(len(X), COUNT, 1)], dim=-1
    ).flatten(1)
    scale = Members([SET])
    scale.measure(X)
    assert scale.scale[2] == scale.scale[:2].median()
    assert torch.isfinite(scale(X)).all()


def test_the_moments_of_a_set_are_no_columns_beside_it() -> None:
    data = sets()
    model = SMALL.fit(data)
    assert isinstance(model.network.inputs, SetInputs)
    assert list(model.network.inputs.views) == ["a"]
    assert model.network.trunk.columns == 1
    other = data.X.clone()
    other[:, 1] = 99.0
    assert torch.equal(say(model, other), say(model, data.X))
    other[:, 0] = 1.0
    assert not torch.equal(say(model, other), say(model, data.X))
    # Another view that is named is taken as before: its columns are members, their values weights.
    beside = replace(SMALL, view="a").fit(data)
    assert not isinstance(beside.network.inputs, SetInputs)


def test_far_members_are_not_trusted_as_far_as_they_weigh() -> None:
    data = sets()
    known = Familiarity({"a": slice(0, 1)}, data.X.shape[1] - 1, [SET])
    known.measure(data.X[:, :-1])
    x = data.X[:, :-1]
    torch.testing.assert_close(known.trust(x), torch.ones(len(x)).double())
    row = x[:1].repeat(3, 1)
    row[:, SET.weights] = torch.tensor([[0.9, 0.1, 0, 0], [0.1, 0.9, 0, 0], [0.9, 0, 0.1, 0]]).double()
    row[:, SET.members] = 0.0
    far = row[:, SET.members].unflatten(1, (COUNT, WIDTH))
    far[[0, 1, 2], [1, 1, 2]] = 20.0
    row[:, SET.members] = far.flatten(1)
    trust = known.trust(row)
    assert trust[1] < 0.1 < trust[0] < 0.95
    torch.testing.assert_close(trust[0], trust[2])
    beyond = (20.0 - data.X[:, SET.members].unflatten(1, (COUNT, WIDTH)).amax((0, 1))) / known.members.scale
    expected = torch.exp(-0.5 * (0.1 * beyond.square().mean() / 2) / 16)
    torch.testing.assert_close(trust[0], expected)
    prior = known.prior(row.unsqueeze(0), trust.unsqueeze(0))[0]
    torch.testing.assert_close(prior.diagonal(), 1 - trust.square())
    # Equal sets at other places are one point, and their remainders one.
    torch.testing.assert_close(prior[0, 2], 1 - trust[0].square())


def test_it_learns_a_function_of_members_that_moments_do_not_tell() -> None:
    data = sets(600)
    train, test = data.take(torch.arange(500)), data.take(torch.arange(500, 600))
    model = mf.AtomSet(hidden=(32, 32), dropout=0.0, steps=600).fit(train)
    error = (say(model, test.X)[:, 0] - test.Y[:, 0]).abs().mean()
    assert error < 0.35 * test.Y.std()


def test_a_single_member_is_all_that_a_pool_finds() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        learned, each = LearnedPool(5).double(), torch.randn(3, 2, 5).double()
    weights = torch.tensor([[0.0, 1.0]]).double().expand(3, 2)
    torch.testing.assert_close(learned(weights, each)[:, 5:], each[:, 1])
    mean = MeanPool()(weights, each)
    torch.testing.assert_close(mean[:, :5], each[:, 1])
    torch.testing.assert_close(mean[:, 5:], torch.full((3, 5), 1e-3).double())
    assert torch.isfinite(learned(torch.zeros(3, 2).double(), each)).all()


def test_members_that_all_rows_share_are_pooled_alike() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pools, each = (MeanPool(), LearnedPool(5).double()), torch.randn(4, 5).double()
        weights = torch.rand(3, 2, 4).double()
    weights = weights / weights.sum(-1, keepdim=True)
    for pool in pools:
        torch.testing.assert_close(pool(weights, each), pool(weights, each.expand(3, 2, 4, 5)))


def test_what_is_found_is_a_weighted_mean_by_what_is_looked_for() -> None:
    """The last look, worked out by hand from the query that it ended with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        pool, each = LearnedPool(5).double(), torch.randn(2, 4, 5).double()
        weights = torch.rand(2, 4).double()
    weights = weights / weights.sum(-1, keepdim=True)
    query, found = pool(weights, each).detach().chunk(2, dim=-1)
    heard = weights.log() + torch.einsum("nik,nk->ni", each, query)
    torch.testing.assert_close(found, torch.einsum("ni,nik->nk", heard.softmax(-1), each))


def test_several_levels_are_one_set_with_the_numbers_of_all() -> None:
    data = sets()
    ends = SET.members.start, SET.members.start + COUNT * 1, SET.members.stop
    halves = {"a": SetColumns(SET.weights, slice(*ends[:2])), "atoms": SetColumns(SET.weights, slice(*ends[1:]))}
    data = replace(data, sets=halves)
    assert SMALL.fit(data).network.inputs.members.width == WIDTH
    both = replace(SMALL, view=("atoms", "a")).fit(data)
    assert both.network.inputs.members.width == WIDTH
    assert both.network.inputs.views == {}
    assert torch.isfinite(say(both, data.X)).all()
    one = replace(SMALL, view="atoms").fit(data)
    assert one.network.inputs.members.width == 2
    with pytest.raises(UnknownNameError, match=r"did you mean 'atoms'"):
        replace(SMALL, view=("atom", "a")).fit(data)
    apart = {**halves, "a": SetColumns(slice(3, 7), halves["a"].members)}
    with pytest.raises(FitError, match="different members"):
        SMALL.fit(replace(data, sets=apart))
    # A view that is hidden from a learner takes its set along.
    assert list(SMALL.fit(replace(data, views={"atoms": slice(1, 2)})).network.inputs.views) == []


def test_a_level_of_a_network_is_a_set(mfmat_data, cache) -> None:
    from pymatgen.core import Structure

    rng = np.random.default_rng(0)
    pairs = [(a, b) for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br", "I")]
    cells = [
        Structure(length / 2 * (1 - np.eye(3)), pair, [[0, 0, 0], [0.5, 0.5, 0.5]])
        for pair, length in zip(pairs * 2, rng.uniform(4, 7, 32), strict=True)
    ]
    table = pd.DataFrame({"structure": cells, "y": [cell.volume ** (1 / 3) for cell in cells]})
    inputs = mf.Structure("structure", backbone="cgcnn", level=("V0", "V2"), moments=("mean", "std", "set"))
    surrogate = mf.fit(table, mf.Schema(inputs, value="y"), replace(SMALL, view="structure.cgcnn.mp_eform.V2"))
    assert list(surrogate.model.network.inputs.views) == ["structure.cgcnn.mp_eform.V0"]
    turned = pd.DataFrame({"structure": [Structure.from_sites(cell[::-1]) for cell in cells]})
    np.testing.assert_allclose(surrogate.predict(turned), surrogate.predict(table), rtol=1e-4, atol=1e-4)
    # Everybody else sees the moments.
    said = mf.fit(table, mf.Schema(inputs, value="y"), mf.GP()).predict(table)
    plain = mf.Schema(replace(inputs, moments=("mean", "std")), value="y")
    pd.testing.assert_frame_equal(said, mf.fit(table, plain, mf.GP()).predict(table))
