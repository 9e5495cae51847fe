"""SurrogateRegressor: `fit` and `predict` as scikit-learn spells them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from mfmat.errors import SchemaError, TableError, check_choice
from mfmat.features import Columns
from mfmat.learner import Learner
from mfmat.packing import pack, unpack
from mfmat.schema import Schema
from mfmat.surrogate import fit

POINTS = ("mean", "median")
FITTED = "surrogate_"


class SurrogateRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Any recipe as a scikit-learn regressor: for pipelines, grid searches, cross-validation and everything else there.

    Without a schema, `X` is an array or a frame of numbers, one row a measurement. With one, `X` is a frame with every
    column that it names but the values, which are `y`: formulas, crystals, categories, known noise, sources. Where it
    names a column of sources, each row is predicted at the source that its cell says, so that scores compare like with
    like; rows of a frame without that column are predicted at the target.

    Args:
        recipe: any learner; `Auto()` unless given.
        schema: what the columns of `X` mean; its `value` is what `y` is called.
        point: what `predict` gives: `"mean"`, best for squared errors and R², or `"median"`, best for absolute errors.

    Attributes:
        surrogate_: the fitted `Surrogate`, with all that it can tell.
        n_features_in_: columns of `X`.
        feature_names_in_: their names, where `X` was a frame whose names are all text.

    Pickled or written by joblib, what was fitted travels as the files that `Surrogate.save` writes; it keeps no rows.

    Errors: TableError and SchemaError, which are ValueErrors, as of `fit`; scikit-learn's own for arrays that it
    refuses.

    >>> import numpy as np, mfmat as mf
    >>> X = np.linspace(0, 6, 20).reshape(-1, 1)
    >>> line = SurrogateRegressor(mf.GP()).fit(X, np.sin(X[:, 0]))
    >>> mean, std = line.predict([[1.5], [9.5]], return_std=True)
    >>> bool(abs(mean[0] - np.sin(1.5)) < 0.01 and std[1] > 10 * std[0])
    True
    """

    def __init__(self, recipe: Learner | None = None, *, schema: Schema | None = None, point: str = "mean") -> None:
        self.recipe = recipe
        self.schema = schema
        self.point = point

    def fit(self, X: ArrayLike | pd.DataFrame, y: ArrayLike) -> Self:
        """Fit the recipe.

        Args:
            X: n rows, an array or a frame.
            y: n values of them.
        """
        check_choice("point", self.point, POINTS)
        schema, table, values = self._read_numbers(X, y) if self.schema is None else self._read_frame(self.schema, X, y)
        # As an array, since a Series would be matched by its index.
        self.surrogate_ = fit(table.assign(**{schema.value: values}), schema, self.recipe)
        return self

    def predict(
        self, X: ArrayLike | pd.DataFrame, return_std: bool = False
    ) -> NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The point prediction of a new measurement for each row, and, where asked for, its standard deviation.

        Args:
            X: n rows, as for `fit`.
            return_std: also give the standard deviations, noise included.
        """
        said = self._predict(X)
        return (said[:, 0], said[:, 1]) if return_std else said[:, 0]

    def predict_interval(
        self, X: ArrayLike | pd.DataFrame, level: float = 0.9
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper end of the central interval of a new measurement for each row.

        Args:
            X: n rows, as for `fit`.
            level: how often the interval should hold.

        Raises:
            CalibrationError: a level for which the calibration rows are too few.
        """
        said = self._predict(X, level)
        return said[:, 2], said[:, 3]

    def sample_y(
        self, X: ArrayLike | pd.DataFrame, n_samples: int = 1, random_state: int | np.random.RandomState | None = 0
    ) -> NDArray[np.float64]:
        """Joint draws of new measurements, n x `n_samples`, as `Surrogate.sample` gives them.

        Args:
            X: n rows, as for `fit`.
            n_samples: how many draws.
            random_state: a seed or a generator, as everywhere in scikit-learn.
        """
        table, source = self._read(X)
        names = sorted(set(source))
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        draws = self.surrogate_.sample(table, n_samples, source=names, seed=seed).to_numpy()
        block = np.array([names.index(name) for name in source])
        found: NDArray[np.float64] = draws[block * len(table) + np.arange(len(table))]
        return found

    def _predict(self, X: ArrayLike | pd.DataFrame, level: float = 0.9) -> NDArray[np.float64]:
        """The point, the standard deviation and the interval of each row (n x 4), each at its own source."""
        table, source = self._read(X)
        said = np.empty((len(table), 4))
        for name in set(source):
            rows = source == name
            at = self.surrogate_.predict(table[rows], level=level, source=name)
            said[rows] = at[[self.point, "std", "lower", "upper"]]
        return said

    def _read(self, X: ArrayLike | pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.object_]]:
        """The rows as a table, and the source of each."""
        check_is_fitted(self)
        schema = self.surrogate_.schema
        if self.schema is None:
            _refuse_text(X)
            array = validate_data(self, X, dtype=np.float64, reset=False)
            table = pd.DataFrame(array, columns=self._names())
        else:
            table = self._check_frame(X)
        if schema.source is None or schema.source not in table.columns:
            return table, np.full(len(table), schema.sources[-1], dtype=object)
        return table, table[schema.source].astype(str).to_numpy(dtype=object)

    def _read_numbers(self, X: Any, y: Any) -> tuple[Schema, pd.DataFrame, NDArray[Any]]:
        """Numbers alone, with the schema that says so."""
        _refuse_text(X)
        array, values = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        names = self._names()
        value = "y"
        while value in names:
            value += "_"
        return Schema(Columns(names), value=value), pd.DataFrame(array, columns=names), values

    def _read_frame(self, schema: Schema, X: Any, y: Any) -> tuple[Schema, pd.DataFrame, NDArray[Any]]:
        """A frame that a schema describes."""
        table, values = self._check_frame(X), np.asarray(column_or_1d(y, warn=True))
        if schema.sources[-1] in (schema.kinds or {}):
            raise SchemaError("a target that is a label", expected="a target of values", fix="use mfmat.fit")
        if len(values) != len(table):
            raise TableError(
                f"{len(table)} rows of X and {len(values)} of y", expected="as many", fix="look where rows were dropped"
            )
        validate_data(self, X, skip_check_array=True)
        return schema, table, values

    def _check_frame(self, X: Any) -> pd.DataFrame:
        if not isinstance(X, pd.DataFrame):
            raise TableError(
                f"a {type(X).__name__} for a regressor with a schema",
                expected="a DataFrame with the columns that it names",
                fix='pd.DataFrame(X, columns=[...]), or set_output(transform="pandas") on the step before',
            )
        return X

    def _names(self) -> list[str]:
        """Of the columns of an array."""
        return [str(name) for name in getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])]

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return state | {FITTED: pack(state[FITTED])} if FITTED in state else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state | {FITTED: unpack(state[FITTED])} if FITTED in state else state)


def _refuse_text(X: Any) -> None:
    """Nothing, for anything but a frame with text; scikit-learn would name a cell of it, but not the column."""
    if not isinstance(X, pd.DataFrame):
        return
    found = X.select_dtypes(exclude="number").map(lambda cell: isinstance(cell, str)).any()
    text = [name for name, any_text in found.items() if any_text]
    if text:
        raise TableError(
            f"text in the columns {', '.join(map(repr, text))}",
            expected="numbers, or a schema that says what the text is",
            fix='SurrogateRegressor(schema=mf.Schema(mf.Composition("formula"), value="y")), or mf.Columns there',
        )
