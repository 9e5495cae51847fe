from __future__ import annotations

import json
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from mfmat.errors import SchemaError, TableError
from mfmat.features import Columns, Composition, DensityRatio, Featurizer
from mfmat.features.density_ratio import RatioWarning
from mfmat.features.logistic import FOLDS, _divide, fit_logistic
from mfmat.values import Value

SYMBOLS = np.array(["Ga", "As", "In", "P", "O", "Ti", "Sr", "Na", "Cl", "Zn", "S", "Al"])


def normal(mean: float, n: int, seed: int, columns: int = 1) -> pd.DataFrame:
    draws = np.random.default_rng(seed).normal(size=(n, columns))
    draws[:, 0] += mean
    return pd.DataFrame(draws, columns=[f"x{i}" for i in range(columns)])


def formulas(n: int, seed: int, favour: float = 0.0) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    odds = np.exp(favour * np.linspace(-1, 1, len(SYMBOLS)))
    chosen = [draws.choice(SYMBOLS, 3, replace=False, p=odds / odds.sum()) for _ in range(n)]
    return pd.DataFrame({"formula": ["".join(f"{s}{draws.integers(1, 4)}" for s in three) for three in chosen]})


def weights(ratio: DensityRatio, table: pd.DataFrame) -> np.ndarray:
    X, problems = ratio.encode(table)
    assert problems == []
    assert X.shape == (len(table), 1)
    return X[:, 0]


@pytest.mark.parametrize("shift", [0.5, 1.0, -1.5])
@pytest.mark.parametrize(("n", "m"), [(4000, 4000), (1000, 20_000)])
def test_the_ratio_of_two_gaussians_is_found(shift: float, n: int, m: int) -> None:
    ratio = DensityRatio.between(normal(0, n, 0), normal(shift, m, 1), Columns("x0"))
    at = np.linspace(-1, 2, 7) * np.sign(shift)
    # log N(x; shift, 1) - log N(x; 0, 1), whatever the numbers of rows; four standard errors of the slope.
    error = 4 * abs(shift) * np.sqrt(2 / n) + 4 / np.sqrt(n)
    assert np.log(weights(ratio, pd.DataFrame({"x0": at}))) == pytest.approx(shift * at - shift**2 / 2, abs=error)
    assert ratio.coefficients[0] / ratio.scales[0] == pytest.approx(shift, abs=error)


@pytest.mark.parametrize("columns", [1, 5])
def test_the_weighted_table_has_the_means_of_the_pool(columns: int) -> None:
    table, pool = normal(0, 3000, 2, columns), normal(1, 3000, 3, columns)
    w = weights(DensityRatio.between(table, pool, Columns(list(table.columns))), table)
    assert w.mean() == pytest.approx(1, abs=0.1)
    assert (w[:, None] * table).sum().to_numpy() / w.sum() == pytest.approx(pool.mean().to_numpy(), abs=0.15)


def test_units_do_not_matter() -> None:
    table, pool = normal(0, 500, 4, 2), normal(1, 500, 5, 2)
    plain = DensityRatio.between(table, pool, Columns(["x0", "x1"]))
    scaled = DensityRatio.between(table * 1e6 - 1e8, pool * 1e6 - 1e8, Columns(["x0", "x1"]))
    assert weights(scaled, table * 1e6 - 1e8) == pytest.approx(weights(plain, table), rel=1e-3)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "m"), [(500, 500), (100, 2000)])
def test_equal_distributions_have_weights_near_one(seed: int, n: int, m: int) -> None:
    table, pool = normal(0, n, 6 + 2 * seed, 3), normal(0, m, 7 + 2 * seed, 3)
    w = weights(DensityRatio.between(table, pool, Columns(list(table.columns))), table)
    # Twice what chance does to three means.
    assert np.abs(np.log(w)).mean() < 2 * np.sqrt(3 * (1 / n + 1 / m))


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_more_columns_than_rows_do_no_harm(shift: float) -> None:
    table, pool = normal(0, 100, 8, 368), normal(shift, 100, 9, 368)
    ratio = DensityRatio.between(table, pool, Columns(list(table.columns)))
    # Rows not seen: those of a regression without a penalty would be spread over many orders of magnitude.
    new = weights(ratio, normal(0, 1000, 10, 368))
    assert new.sum() ** 2 / (new**2).sum() > 500
    if shift:
        assert np.abs(ratio.coefficients).argmax() == 0
        assert np.corrcoef(np.log(new), normal(0, 1000, 10, 368)["x0"])[0, 1] > 0.2


def test_sets_far_apart_have_finite_weights() -> None:
    ratio = DensityRatio.between(normal(0, 200, 11), normal(20, 200, 12), Columns("x0"))
    assert weights(ratio, normal(0, 200, 13)).max() < 0.1
    assert weights(ratio, normal(20, 200, 14)).min() > 10


def test_constant_columns_say_nothing() -> None:
    table, pool = normal(0, 300, 15), normal(1, 300, 16)
    # Of the second, only the rounding varies.
    extra = [frame.assign(one=1.0, almost=0.1 + 1e-16 * (frame["x0"] > 1)) for frame in (table, pool)]
    ratio = DensityRatio.between(*extra, Columns(["one", "x0", "almost"]))
    assert [c == 0 for c in ratio.coefficients] == [True, False, True]
    alone = DensityRatio.between(table, pool, Columns("x0"))
    assert weights(ratio, extra[0].assign(one=5.0)) == pytest.approx(weights(alone, table), rel=1e-4)


def test_constant_columns_alone_give_weights_of_one() -> None:
    frames = [pd.DataFrame({"x": np.full(n, 0.3)}) for n in (5, 50)]
    assert weights(DensityRatio.between(*frames, Columns("x")), frames[0]) == pytest.approx(1, rel=1e-12)


def test_formulas_are_told_apart() -> None:
    table, pool = formulas(600, 17, -1), formulas(600, 18, 1)
    ratio = DensityRatio.between(table, pool, Composition("formula"))
    # Aluminium is what the pool has most of, gallium what the table has.
    aluminium, gallium = weights(ratio, pd.DataFrame({"formula": ["Al2S3", "GaAs"]}))
    assert aluminium > 3
    assert gallium < 0.3
    w = weights(ratio, table)
    fractions = [Composition("formula", blocks="fractions").encode(frame)[0].mean(axis=0) for frame in (table, pool)]
    weighted = w @ Composition("formula", blocks="fractions").encode(table)[0] / w.sum()
    assert np.abs(weighted - fractions[1]).sum() < 0.6 * np.abs(fractions[0] - fractions[1]).sum()


def test_like_formulas_have_weights_near_one() -> None:
    ratio = DensityRatio.between(formulas(200, 19), formulas(200, 20), Composition("formula"))
    assert np.abs(np.log(weights(ratio, formulas(200, 21)))).mean() < 0.3


def test_a_fold_divides_no_compound() -> None:
    # Three compounds each, many rows: rows held out one by one would tell the compounds apart without fail.
    table = pd.DataFrame({"formula": np.repeat(["GaAs", "NaCl", "TiO2"], 40)})
    pool = pd.DataFrame({"formula": np.repeat(["InP", "SrCl2", "Al2O3"], 40)})
    inputs = Composition("formula", blocks="fractions")
    grouped = np.abs(np.log(weights(DensityRatio.between(table, pool, inputs), table))).mean()
    X = np.concatenate([inputs.encode(frame)[0] for frame in (table, pool)])
    alone = fit_logistic(X, np.repeat([False, True], 120), np.arange(240))
    assert grouped < 0.5
    assert np.abs((X[:120] - alone.centres) / alone.scales @ alone.coefficients + alone.intercept).mean() > 3


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([0, 1], [2, 3]),
        ([0, 1], [0, 1]),
        ([0, 1], [1, 2]),
        (range(50), [3, 4]),
        (range(10), range(5, 400)),
        ([0, 1], range(99)),
    ],
)
def test_folds_are_whole_groups_and_leave_both_sets_to_learn_from(first: list[int], second: list[int]) -> None:
    groups = np.array([*first, *second] * 3)
    in_second = np.array([*[False] * len(first), *[True] * len(second)] * 3)
    for seed in range(20):
        fold = _divide(in_second, groups, seed)
        assert all(len(np.unique(fold[groups == group])) == 1 for group in np.unique(groups))
        assert set(fold) == set(range(min(FOLDS, len(np.unique(groups)))))
        for held in np.unique(fold):
            assert set(in_second[fold != held]) == {False, True}
        shares = [len(np.unique(groups[(fold == held) & in_second])) for held in np.unique(fold)]
        assert max(shares) - min(shares) <= 1


def test_another_seed_is_another_division() -> None:
    groups, second = np.arange(40), np.repeat([False, True], 20)
    assert np.array_equal(_divide(second, groups, 0), _divide(second, groups, 0))
    assert not np.array_equal(_divide(second, groups, 0), _divide(second, groups, 1))


def test_the_same_rows_give_the_same_ratio() -> None:
    table, pool = normal(0, 100, 22), normal(1, 100, 23)
    assert DensityRatio.between(table, pool, Columns("x0")) == DensityRatio.between(table, pool, Columns("x0"))


def test_levels_are_read_off_both() -> None:
    draws = np.random.default_rng(24)
    table = pd.DataFrame({"phase": draws.choice(["a", "b"], 3000, p=[0.8, 0.2]), "site": 2})
    pool = pd.DataFrame({"phase": draws.choice(["a", "b", "c"], 3000, p=[0.2, 0.7, 0.1]), "site": "10"})
    ratio = DensityRatio.between(table, pool, Columns(categories=["phase"]))
    assert ratio.inputs.categories == {"phase": ("a", "b", "c")}
    assert weights(ratio, pd.DataFrame({"phase": ["a", "b"]})) == pytest.approx([0.25, 3.5], rel=0.15)
    both = DensityRatio.between(table, pool, Columns(categories=["phase", "site"]))
    assert both.inputs.categories["site"] == ("10", "2")


@pytest.mark.parametrize(
    ("inputs", "make"),
    [(Columns("x0"), normal), (Composition("formula"), lambda mean, n, seed: formulas(n, seed, mean))],
    ids=["columns", "composition"],
)
def test_writes_itself_and_comes_back(inputs: Featurizer, make) -> None:
    table = make(0, 40, 25)
    ratio = DensityRatio.between(table, make(1, 50, 26), inputs)
    again = Value.of(json.loads(json.dumps(ratio.config())))
    assert again == ratio
    assert ratio.settle(table) == ratio
    assert np.array_equal(again.encode(table)[0], ratio.encode(table)[0])
    assert all(
        type(number) is float for number in (*ratio.coefficients, *ratio.centres, *ratio.scales, ratio.intercept)
    )


def test_reads_what_its_inputs_read() -> None:
    inputs = Columns(["x0"], categories={"phase": ("a", "b")})
    ratio = DensityRatio(inputs, coefficients=[1, 2, 3], intercept=0, centres=[0, 0, 0], scales=[1, 1, 1])
    assert ratio.columns == ("x0", "phase")
    assert ratio.numbers == ("x0",)
    assert ratio.views == {"density_ratio": ("density_ratio",)}
    assert weights(ratio, pd.DataFrame({"x0": [0.5], "phase": ["b"]})) == pytest.approx([np.exp(3.5)])
    assert ratio.groups(pd.DataFrame({"x0": [0.5], "phase": ["b"]})) is None


def test_a_row_does_not_depend_on_the_others() -> None:
    table = formulas(50, 27)
    ratio = DensityRatio.between(table, formulas(50, 28, 2), Composition("formula"))
    together = ratio.encode(table)[0]
    assert np.array_equal(together, np.concatenate([ratio.encode(table.iloc[i : i + 1])[0] for i in range(50)]))


def test_bad_cells_are_problems_and_their_rows_nan() -> None:
    ratio = DensityRatio.between(normal(0, 50, 29), normal(1, 50, 30), Columns("x0"))
    X, (problem,) = ratio.encode(pd.DataFrame({"x0": [0.5, np.nan, 1.0]}, index=list("abc")))
    assert (problem.position, problem.index, problem.column) == (1, "b", "x0")
    assert np.isnan(X[:, 0]).tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["table", "pool"])
def test_bad_cells_to_learn_from_are_an_error_that_says_where(name: str) -> None:
    frames = {"table": normal(0, 20, 31), "pool": normal(1, 20, 32)}
    frames[name].loc[[3, 7], "x0"] = np.nan
    with pytest.raises(TableError, match=r"row 3 .*'x0'.*row 7") as caught:
        DensityRatio.between(**frames, inputs=Columns("x0"))
    assert [problem.position for problem in caught.value.problems] == [3, 7]
    assert name in caught.value.__notes__[0]


def test_a_column_of_nothing_is_an_error_without_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TableError, match="2 bad rows"):
            DensityRatio.between(normal(0, 20, 33), pd.DataFrame({"x0": [None, None]}), Columns("x0"))


@pytest.mark.parametrize("name", ["table", "pool"])
@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (pd.DataFrame({"y": [1.0, 2.0]}), "without the column 'formula'"),
        (pd.DataFrame({"formula": []}), "an empty"),
        (pd.DataFrame({"formula": ["GaAs", "AsGa", "Ga2As2"]}), "of 1 compound;"),
    ],
)
def test_too_little_to_learn_from_is_an_error(name: str, frame: pd.DataFrame, what: str) -> None:
    frames = {"table": formulas(10, 34), "pool": formulas(10, 35), name: frame}
    with pytest.raises(TableError, match=what) as caught:
        DensityRatio.between(**frames, inputs=Composition("formula"))
    assert name in caught.value.came


def test_two_rows_each_are_enough() -> None:
    ratio = DensityRatio.between(pd.DataFrame({"x": [1, 2]}), pd.DataFrame({"x": [2, 3]}), Columns("x"))
    assert np.isfinite(weights(ratio, pd.DataFrame({"x": [1, 2, 3]}))).all()


def test_far_rows_are_held_and_said_so() -> None:
    ratio = DensityRatio(Columns("x"), coefficients=[1.0], intercept=0.0, centres=[0.0], scales=[1.0])
    with pytest.warns(RatioWarning, match="2 of 4 rows"):
        X, problems = ratio.encode(pd.DataFrame({"x": [1e6, -1e6, 299.0, 0.0]}))
    assert problems == []
    assert np.log(X[:, 0]) == pytest.approx([300, -300, 299, 0])
    assert np.isfinite((1000 * X) ** 2).all()


GOOD = {"coefficients": [1.0], "intercept": 0.0, "centres": [0.0], "scales": [1.0]}


@pytest.mark.parametrize(
    "change",
    [
        {"coefficients": [1.0, 2.0]},
        {"coefficients": []},
        {"centres": [np.nan]},
        {"scales": [0.0]},
        {"scales": [-1.0]},
        {"intercept": np.inf},
    ],
)
def test_numbers_are_one_for_each_feature(change: dict) -> None:
    with pytest.raises(SchemaError, match="between"):
        DensityRatio(Columns("x"), **(GOOD | change))


def test_open_levels_are_an_error() -> None:
    with pytest.raises(SchemaError, match="0 features"):
        DensityRatio(Columns(categories="phase"), **GOOD)


@pytest.mark.parametrize("inputs", ["formula", (Columns("x0"), Composition("formula")), None])
def test_inputs_are_one_featurizer(inputs: object) -> None:
    with pytest.raises(SchemaError, match="one featurizer"):
        DensityRatio.between(normal(0, 5, 36), normal(0, 5, 37), inputs)
    with pytest.raises(SchemaError, match="one featurizer"):
        DensityRatio(inputs, **GOOD)


def test_scikit_learn_is_imported_only_to_learn() -> None:
    code = "import sys, mfmat.features; print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
