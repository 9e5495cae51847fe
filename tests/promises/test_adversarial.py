"""The default cannot be hurt by a bad source: repeated draws of each kind, against the target alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mfmat as mf

pytestmark = pytest.mark.promise
HARM, GAIN = 12, 5
"""Draws that tell whether there is harm, and, being far from chance, whether there is gain."""
ALONE = mf.Conformal(mf.TargetOnly(mf.GP()))


def truth(x: np.ndarray) -> np.ndarray:
    return np.sin(12 * x) + x


def cheap_values(kind: str, x: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """What each cheap source says of x."""
    good = 0.6 * truth(x) + 0.3 * x
    if kind == "ten sources, one right":
        return [*(rng.normal(size=len(x)) for _ in range(9)), good]
    return [
        {
            "noise": rng.normal(size=len(x)),
            "inverted": -good,
            "shifted": good + 50,
            "right in half of space": np.where(x < 0.5, good, rng.normal(size=len(x))),
        }[kind]
    ]


def draw(kind: str, seed: int, trusted: int = 16, rows: int = 40) -> tuple[pd.DataFrame, mf.Schema]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, rows)
    parts = [
        pd.DataFrame({"x": x, "source": f"cheap {i}", "y": y + 0.02 * rng.normal(size=rows)})
        for i, y in enumerate(cheap_values(kind, x, rng))
    ]
    theirs = np.concatenate([x[: trusted // 2], rng.uniform(0, 1, trusted - trusted // 2)])
    y = truth(theirs) + 0.05 * rng.normal(size=trusted)
    names = [f"cheap {i}" for i in range(len(parts))]
    table = pd.concat([*parts, pd.DataFrame({"x": theirs, "source": "exact", "y": y})], ignore_index=True)
    costs = dict.fromkeys(names, 1) | {"exact": 10}
    return table, mf.Schema(mf.Columns("x"), value="y", source="source", costs=costs)


def errors(kind: str, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute errors of the default and of the target alone, one of each draw."""
    new = pd.DataFrame({"x": np.linspace(0, 1, 201)})
    found = []
    for seed in range(draws):
        table, schema = draw(kind, seed)
        fitted = [mf.fit(table, schema), mf.fit(table, schema, ALONE)]
        found.append(
            [float(np.abs(each.predict(new)["median"] - truth(new["x"].to_numpy())).mean()) for each in fitted]
        )
    default, alone = np.array(found).T
    return default, alone


@pytest.mark.parametrize("kind", ["noise", "right in half of space"])
def test_a_source_that_misleads_does_no_harm_beyond_the_paired_error_bar(kind: str) -> None:
    default, alone = errors(kind, HARM)
    harm = default - alone
    assert harm.mean() < 2 * harm.std(ddof=1) / np.sqrt(HARM) + 0.01 * alone.mean()


@pytest.mark.parametrize("kind", ["inverted", "shifted", "ten sources, one right"])
def test_the_gain_is_taken_where_there_is_one(kind: str) -> None:
    default, alone = errors(kind, GAIN)
    gain = alone - default
    assert gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(GAIN)
    assert default.mean() < 0.8 * alone.mean()
