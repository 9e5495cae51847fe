"""Families of kernels, view by view, against scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.gaussian_process.kernels import RationalQuadratic

import mfmat as mf
from mfmat.data import Data
from mfmat.errors import UnknownNameError
from mfmat.kernel_families import FAMILIES
from mfmat.kernels import ViewKernel, prefer
from mfmat.values import Value

VIEWS = {"a": slice(0, 2), "b": slice(2, 5)}


def points(n: int, seed: int = 0, d: int = 5) -> torch.Tensor:
    return torch.rand(n, d, generator=torch.Generator().manual_seed(seed)).double()


def shaken(kernel: ViewKernel) -> ViewKernel:
    """The kernel with parameters away from where they start."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in kernel.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator).double())
    return kernel


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("ard", [False, True])
def test_slopes_are_right(family: str, ard: bool) -> None:
    kernel = shaken(ViewKernel(VIEWS, 5, family, ard))
    X, other = points(4).requires_grad_(), points(3, seed=1)
    parameters = [p for p in kernel.parameters() if p.numel()]
    assert torch.autograd.gradcheck(lambda x, *_: kernel.forward(x, other), (X, *parameters))
    assert torch.autograd.gradcheck(lambda x, *_: kernel.forward(x, x, diag=True), (X, *parameters))


@pytest.mark.parametrize(
    "families", [*FAMILIES, "rbf + linear", {"a": "tanimoto", "b": "rq"}, {"a": "linear"}, {"b": "rq + matern12"}]
)
def test_the_matrix_is_positive_definite_and_has_the_diagonal(families) -> None:
    kernel = shaken(ViewKernel(VIEWS, 5, families))
    X = points(30)
    kernel.measure(X)
    with torch.no_grad():
        K = kernel.forward(X, X)
        torch.testing.assert_close(K, K.T)
        torch.testing.assert_close(K.diagonal(), kernel.forward(X, X, diag=True), rtol=1e-7, atol=1e-7)
        assert torch.linalg.eigvalsh(K).min() > -1e-10 * K.diagonal().sum()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_average_row_has_the_variance(family: str) -> None:
    kernel = shaken(ViewKernel(VIEWS, 5, family))
    X = points(50)
    kernel.measure(X)
    diagonal = kernel.forward(X, X, diag=True).detach()
    torch.testing.assert_close(diagonal.mean(), kernel.variance.detach(), rtol=0.02, atol=0)


def test_a_sum_is_its_families_each_with_its_weight() -> None:
    both = shaken(ViewKernel(VIEWS, 5, {"b": "rbf + linear"}))
    assert list(both.views) == ["a", "b", "b + linear"]
    assert both.terms == 4  # with the joint one of a and b
    assert ViewKernel(VIEWS, 5, "linear + linear").terms == 2
    X, other = points(6), points(4, seed=1)
    both.measure(X)
    linear = ViewKernel({"b": VIEWS["b"]}, 5, "linear")
    linear.measure(X)
    with torch.no_grad():
        linear.log_weight.copy_(both.log_weight[2:3])
        whole, line = both.forward(X, other), linear.forward(X, other)
        both.log_weight[2] = -700.0
        torch.testing.assert_close(whole, both.forward(X, other) + line)


def test_the_rational_quadratic_is_scikit_learns() -> None:
    kernel = shaken(ViewKernel({"a": slice(0, 3)}, 3, "rq"))
    X, other = points(6, d=3), points(4, seed=1, d=3)
    length, shape = float(kernel.log_length.detach().exp()), float(kernel.log_shape.detach().exp())
    oracle = RationalQuadratic(length * np.sqrt(3), shape)(X.numpy(), other.numpy())
    weight = float(kernel.log_weight.detach().exp())
    np.testing.assert_allclose(kernel.forward(X, other).detach() / weight, oracle, rtol=1e-9)


def test_a_large_shape_is_the_gaussian() -> None:
    rational, gaussian = ViewKernel({"a": slice(0, 3)}, 3, "rq"), ViewKernel({"a": slice(0, 3)}, 3, "rbf")
    with torch.no_grad():
        rational.log_shape.fill_(16.0)
    X = points(6, d=3)
    torch.testing.assert_close(rational.forward(X, X), gaussian.forward(X, X), rtol=1e-5, atol=0)


def test_the_linear_kernel_is_bayesian_regression_with_a_constant() -> None:
    kernel = ViewKernel({"a": slice(0, 3)}, 3, "linear")
    X, other = points(20, d=3), points(4, seed=1, d=3)
    kernel.measure(X)
    z, t = ((x - X.mean(0)) / X.std(0) for x in (X, other))
    torch.testing.assert_close(kernel.forward(X, other), 0.5 + 0.5 * z @ t.T / 3)


def test_tanimoto_counts_what_is_shared() -> None:
    kernel = ViewKernel({"a": slice(0, 4)}, 4, "tanimoto")
    bits = torch.tensor([[1.0, 1, 0, 1], [1, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]]).double()
    kernel.measure(bits)
    expected = torch.tensor([[1, 2 / 3, 0, 0], [2 / 3, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]).double()
    torch.testing.assert_close(kernel.forward(bits, bits), expected)
    torch.testing.assert_close(kernel.forward(7 * bits, 7 * bits), expected)


def test_the_joint_term_is_of_the_views_with_a_lengthscale() -> None:
    views = {"a": slice(0, 1), "b": slice(1, 2), "c": slice(2, 3)}
    kernel = ViewKernel(views, 3, {"a": "rbf", "b": "linear", "c": "rbf"})
    assert [len(kernel.log_weight), len(kernel.log_length), len(kernel.log_joint)] == [4, 2, 2]
    with torch.no_grad():
        kernel.log_weight.copy_(torch.tensor([0.4, 0.3, 0.2, 0.1]).log())
        kernel.log_length.copy_(torch.tensor([1.0, 2.0]).log())
        kernel.log_joint.copy_(torch.tensor([3.0, 4.0]).log())
    x, y = torch.tensor([[0.0, 1.0, 0.0]]).double(), torch.tensor([[1.0, 3.0, 2.0]]).double()
    expected = 0.4 * np.exp(-1 / 2) + 0.3 * (1 + 3) / 2 + 0.2 * np.exp(-(2**2) / 2**2 / 2)
    expected += 0.1 * np.exp(-(1 / 9 + 4 / 16) / 2)
    assert float(kernel.forward(x, y).detach()) == pytest.approx(expected)
    assert ViewKernel(views, 3, {"a": "rbf", "b": "linear", "c": "tanimoto"}).log_joint.numel() == 0


def test_a_view_that_is_not_named_is_the_default() -> None:
    assert ViewKernel(VIEWS, 5, {"b": "linear"}).families == [FAMILIES["matern52"], FAMILIES["linear"]]


def test_what_suits_a_view_holds_unless_the_view_is_named() -> None:
    facts = {"views": {"a": [0, 3], "b": [3, 5]}, "kernels": {"b": "tanimoto", "gone": "linear"}}
    assert prefer("matern52", facts) == {"a": "matern52", "b": "tanimoto"}
    assert prefer({"a": "rq"}, facts) == {"a": "rq", "b": "tanimoto"}
    assert prefer({"b": "rbf"}, facts) == {"b": "rbf"}
    # What was saved before views could say so.
    assert prefer({"a": "rq"}, {"views": facts["views"]}) == {"a": "rq"}


def test_a_family_for_an_unknown_view_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"view 'fraction'; expected one of the views 'formula', 'fractions'"):
        ViewKernel({"formula": slice(0, 1), "fractions": slice(1, 2)}, 2, {"fraction": "tanimoto"})


def test_a_recipe_with_kernels_by_view_is_a_value() -> None:
    one, two = mf.GP(kernel={"a": "rbf", "b": "rq"}), mf.GP(kernel={"b": "rq", "a": "rbf"})
    assert one == two
    assert hash(one) == hash(two)
    assert Value.of(one.config()) == one
    assert len({one, two, mf.GP()}) == 2


def test_a_recipe_names_the_family_that_it_does_not_know(unchecked: None) -> None:
    with pytest.raises(UnknownNameError, match=r"kernel='tanimotto'; expected one of .*did you mean 'tanimoto'\?"):
        mf.GP(kernel={"a": "tanimotto"})


def additive_rows(n: int = 60) -> Data:
    """A sum over three columns of which each has its own shape; two more columns never vary."""
    rng = np.random.default_rng(0)
    names = ["a", "b", "c", "d", "e"]
    x = rng.uniform(0, 1, (n, 5)) * [1, 1, 1, 0, 0]
    table = pd.DataFrame(x, columns=names).assign(y=np.sin(9 * x[:, 0]) + 3 * x[:, 1] - np.cos(5 * x[:, 2]))
    return mf.Schema(mf.Columns(names), value="y").data(table)


def test_an_additive_view_is_one_view_for_every_column_that_varies() -> None:
    data = additive_rows()
    model = mf.GP(additive=("numeric",), kernel={"numeric": "rbf"}).fit(data)
    assert list(model.facts["views"]) == ["numeric[0]", "numeric[1]", "numeric[2]"]
    assert model.kernel.families == [FAMILIES["rbf"]] * 3
    again = mf.GP(additive=("numeric",), kernel={"numeric": "rbf"}).restore(model.facts, model.state_dict())
    X = data.X.unsqueeze(1)
    assert torch.equal(again.posterior(X).mean, model.posterior(X).mean)


def test_an_additive_process_learns_a_sum_from_fewer_rows() -> None:
    data = additive_rows(260)
    seen, new = data.take(torch.arange(60)), data.take(torch.arange(60, 260))
    models = [recipe.fit(seen) for recipe in (mf.GP(), mf.GP(additive=("numeric",)))]
    with torch.no_grad():
        errors = [mf.metrics.mae(model.posterior(new.X.unsqueeze(1)), new.Y.unsqueeze(1)) for model in models]
    assert errors[1] < 0.3 * errors[0]


def test_additive_columns_that_all_agree_leave_the_views_as_they_are() -> None:
    data = additive_rows(1)
    recipe = mf.GP(additive=("numeric",), kernel={"numeric": "rbf"})
    assert list(recipe.fit(data).facts["views"]) == ["numeric"]
    assert Value.of(recipe.config()) == recipe


def test_an_unknown_additive_view_is_named_with_the_known_ones(unchecked: None) -> None:
    with pytest.raises(UnknownNameError, match=r"additive='numbers'; expected one of the views 'numeric'"):
        mf.GP(additive="numbers").fit(additive_rows(3))
