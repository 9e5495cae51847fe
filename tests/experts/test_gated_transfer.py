"""GatedTransfer: what its gate adds up, which views it finds, and what it says of a value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom

import mfmat as mf
from mfmat.errors import FitError, UnknownNameError
from mfmat.experts.gate_trunk import PACE, Gate, GateTrunk, Layers, find_gated

SMALL = mf.GatedTransfer(hidden=(), starts=2, steps=200)
VIEWS = ("a.numeric", "b.numeric", "c.numeric", "d.numeric")


def draw(n: int, seed: int, wanted: str = "c.numeric") -> tuple[pd.DataFrame, mf.Schema]:
    """Four views of three columns; the value is linear in one of them."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 4, 3))
    y = z[:, VIEWS.index(wanted)] @ [1.0, -2.0, 0.5] + 0.2 * rng.normal(size=n)
    columns = [f"{view}{j}" for view in "abcd" for j in range(3)]
    table = pd.DataFrame(z.reshape(n, 12), columns=columns).assign(y=y)
    inputs = [mf.Columns([f"{view}{j}" for j in range(3)], name=view) for view in "abcd"]
    return table, mf.Schema(inputs, value="y")


def gate(logits: list[float], k: int) -> Gate:
    made = Gate(len(logits), k).double()
    with torch.no_grad():
        made.free.copy_(torch.tensor(logits) / PACE)
    return made


def test_the_largest_k_share_the_weight_by_softmax() -> None:
    e = np.exp([2.0, 1.0])
    expected = [0.0, e[0] / e.sum(), 0.0, e[1] / e.sum()]
    np.testing.assert_allclose(gate([0.0, 2.0, -1.0, 1.0], 2)().detach(), expected)
    every = gate([0.0, 2.0, -1.0, 1.0], 4)
    torch.testing.assert_close(every(), every.logits.softmax(0))


def test_the_trunk_adds_the_views_up_by_their_weights() -> None:
    trunk = GateTrunk([slice(0, 2), slice(3, 5)], 2, (), 0.0).double()
    z = torch.randn(3, 1, 6).double()
    g = trunk.gate().detach()
    torch.testing.assert_close(trunk(z).detach(), g[0] * z[..., 0:2] + g[1] * z[..., 3:5])


def test_the_head_sees_the_sum_beside_what_it_makes_of_it() -> None:
    trunk = GateTrunk([slice(0, 2), slice(2, 4)], 2, (5,), 0.0).double()
    z = torch.randn(3, 1, 4).double()
    total = GateTrunk([slice(0, 2), slice(2, 4)], 2, (), 0.0).double()
    total.gate.load_state_dict(trunk.gate.state_dict())
    assert trunk.parts == [2, 5]
    torch.testing.assert_close(trunk(z)[..., :2], total(z))
    torch.testing.assert_close(trunk(z)[..., 2:], trunk.rho(total(z)))


def test_units_of_a_layer_keep_their_proportions() -> None:
    scaling = Layers({"a": slice(0, 2), "b": slice(2, 4)}, 5)
    X = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([1.0, 0.01, 40, 20, 1])
    scaling.measure(X)
    z = scaling(X)
    spread = z.std(dim=0)
    torch.testing.assert_close(spread[:4].reshape(2, 2).square().mean(1), torch.ones(2).double())
    torch.testing.assert_close(spread[0] / spread[1], X[:, 0].std() / X[:, 1].std())
    torch.testing.assert_close(z[:, 4], torch.zeros(200).double())
    surrogate = mf.GatedTransfer(starts=1, steps=5)
    table = pd.DataFrame({"x": range(20), "y": range(20)})
    layer = surrogate.fit(mf.Schema(mf.Columns("x", name="a.hidden"), value="y").data(table))
    assert not isinstance(layer.network.inputs, Layers), "a view that only contains the word"


def test_no_gradient_through_a_gate_with_k_1() -> None:
    values = torch.tensor([3.0, 1.0, 2.0]).double()
    two = gate([0.1, 0.2, 0.3], 2)
    (two() @ values).backward()
    assert (two.free.grad != 0).tolist() == [False, True, True]
    # With one weight above 0 the slope is 0 whatever the loss: nothing may wait for it to choose.
    one = gate([0.1, 0.2, 0.3], 1)
    assert not one.free.requires_grad
    forced = one.free.requires_grad_()
    (one() @ values).backward()
    assert forced.grad.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("wanted", VIEWS)
def test_with_k_1_every_view_is_tried_and_the_right_one_kept(wanted: str) -> None:
    table, schema = draw(60, 0, wanted)
    model = mf.GatedTransfer(k=1, hidden=(), steps=100).fit(schema.data(table))
    assert model.gate_weights[wanted] == 1.0
    assert torch.equal(model.tried, torch.eye(4).double())
    assert int(model.surprises.argmin()) == VIEWS.index(wanted)


@pytest.mark.parametrize("k", [2, None])
def test_the_gate_finds_the_view_that_matters(k: int | None) -> None:
    table, schema = draw(150, 1)
    model = mf.GatedTransfer(k=k, hidden=(), starts=4, steps=400).fit(schema.data(table))
    weights = model.gate_weights
    assert next(iter(weights)) == "c.numeric"
    assert weights["c.numeric"] > 0.7
    assert sum(weights.values()) == pytest.approx(1)
    assert sum(weight > 0 for weight in weights.values()) == (k or 4)


def test_the_start_that_held_out_compounds_like_best_is_kept() -> None:
    table, schema = draw(80, 2)
    model = mf.GatedTransfer(k=2, hidden=(8,), starts=5, steps=60).fit(schema.data(table))
    assert len(set(model.surprises.tolist())) == 5
    kept = model.tried[int(model.surprises.argmin())]
    assert model.gate_weights == {VIEWS[i]: float(kept[i]) for i in kept.argsort(descending=True, stable=True)}


def test_what_it_says_is_bayesian_regression_on_the_sum() -> None:
    table, schema = draw(50, 3)
    data = schema.data(table)
    model = SMALL.fit(data)
    units = model.hidden(data.X).detach()
    phi = torch.cat([torch.ones(50, 1).double(), units / 3**0.5], dim=1)
    precision = model.weights.log_precision.detach().exp()[model.weights.block]
    noise = float(model.weights.noise[0].detach())
    centre, scale = data.standards()[0]
    covariance = torch.linalg.inv(torch.diag(precision) + phi.T @ phi / noise)
    mean = covariance @ phi.T @ (data.Y[:, 0] - centre) / scale / noise
    posterior = model.posterior(data.X.unsqueeze(1), observation_noise=True)
    torch.testing.assert_close(posterior.mean[:, 0, 0].detach(), centre + scale * phi @ mean)
    variance = ((phi @ covariance * phi).sum(1) + noise) * scale**2
    torch.testing.assert_close(posterior.variance[:, 0, 0].detach(), variance, rtol=1e-6, atol=0)


def test_views_that_are_not_weighed_change_nothing() -> None:
    table, schema = draw(60, 4)
    surrogate = mf.fit(table, schema, mf.GatedTransfer(views=("b.*", "c.numeric"), starts=1, steps=60))
    assert set(surrogate.model.gate_weights) == {"b.numeric", "c.numeric"}
    other = table.assign(a0=1e6, d2=-1e6)
    pd.testing.assert_frame_equal(surrogate.predict(table), surrogate.predict(other))


def test_the_layers_of_source_networks_are_found_by_themselves() -> None:
    views = {"s.x.hidden": slice(0, 2), "s.y.hidden": slice(2, 4), "s.predictions": slice(4, 7)}
    assert list(find_gated(views, ())) == ["s.x.hidden", "s.y.hidden"]
    assert list(find_gated(views, ("*.y.*",))) == ["s.y.hidden"]
    assert list(find_gated({"p": slice(0, 2), "q[1]": slice(2, 4)}, ("q[1]",))) == ["q[1]"]


def test_views_of_another_width_are_refused_by_name() -> None:
    views = {"x": slice(0, 2), "y": slice(2, 4), "odd": slice(4, 7)}
    with pytest.raises(FitError, match=r"'odd' \(3\) beside views of 2 columns"):
        find_gated(views, ())
    with pytest.raises(UnknownNameError, match=r"views='z\*'"):
        find_gated(views, ("z*",))


def test_impossible_sizes_are_refused() -> None:
    table, schema = draw(20, 5)
    with pytest.raises(FitError, match=r"k=5 of 4 views \('a.numeric', 'b"):
        mf.GatedTransfer(k=5).fit(schema.data(table))
    with pytest.raises(FitError, match=r"starts=0, k=0, dropout=1\.0"):
        mf.GatedTransfer(starts=0, k=0, dropout=1.0)


def test_networks_of_crystals_are_weighed(mfmat_data, unchecked) -> None:
    table, schema = mf.datasets.load("moe/jarvis_2d_gap_tbmbj")
    networks = ("mp_eform", "mp_bandgap", "jarvis_bandgap")
    schema = mf.Schema(mf.SourceNetworks("structure", networks=networks, level="pooled"), value=schema.value)
    surrogate = mf.fit(table.head(60), schema, mf.GatedTransfer(starts=1, steps=60))
    assert set(surrogate.model.gate_weights) == {f"structure.cgcnn.{name}.pooled" for name in networks}
    assert np.isfinite(surrogate.predict(table.tail(5)).to_numpy()).all()


@pytest.mark.promise
@pytest.mark.parametrize("recipe", [mf.GatedTransfer(starts=2, steps=300), mf.GatedTransfer(k=1, hidden=(), steps=100)])
def test_intervals_hold_as_often_as_they_say(recipe: mf.Learner) -> None:
    inside = []
    for seed in range(5):
        table, schema = draw(600, seed)
        said = mf.fit(table[:400], schema, recipe).predict(table[400:], level=0.9)
        inside.extend((table["y"][400:] >= said["lower"]) & (table["y"][400:] <= said["upper"]))
    low, high = binom.ppf([0.005, 0.995], len(inside), 0.9) / len(inside)
    # Noise learned from 80 rows held out is uncertain by 8%: 0.03 of coverage a draw, 0.015 over five.
    assert low - 0.03 <= np.mean(inside) <= high + 0.03
