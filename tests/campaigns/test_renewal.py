"""renew: what was found out a moment ago is not asked again, and what is new is learned."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat.auto import Auto
from mfmat.data import at_fidelity
from mfmat.renewal import NOTE, bare, renew

SMALL = Auto(member=mf.GP(), folds=2)


def make(n: int) -> tuple[pd.DataFrame, mf.Schema]:
    x = np.random.default_rng(0).permutation(40)[:n] / 40
    table = pd.DataFrame({"x": np.tile(x, 2), "source": ["cheap"] * n + ["trusted"] * n})
    table["y"] = np.sin(6 * table["x"]) + table["x"] * (table["source"] == "trusted")
    return table, mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "trusted": 10})


@pytest.fixture
def full_runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of each full run of Auto."""
    runs: list[int] = []
    whole = Auto.fit

    def counted(self, data):
        runs.append(len(data))
        return whole(self, data)

    monkeypatch.setattr(Auto, "fit", counted)
    return runs


def test_auto_is_run_in_full_when_the_target_has_grown_by_a_quarter(full_runs: list[int]) -> None:
    previous = None
    for n in (12, 13, 14, 15, 18, 19):
        previous = renew(*make(n), SMALL, previous)
        assert previous.card["provenance"]["rows"]["trusted"] == n
    assert full_runs == [24, 30, 38]  # rows at 12, 15 and 19 compounds


def test_cheap_rows_alone_do_not_start_a_comparison(full_runs: list[int]) -> None:
    table, schema = make(30)
    few = table[(table["source"] == "cheap") | (table.index < 42)]
    first = renew(few[few["source"] == "trusted"].pipe(lambda t: pd.concat([few.head(5), t])), schema, SMALL)
    second = renew(few, schema, SMALL, first)
    assert len(full_runs) == 1
    assert second.card["provenance"]["rows"] == {"cheap": 30, "trusted": 12}


def test_between_the_chosen_recipe_is_fitted_to_all_rows_without_its_calibrator() -> None:
    first = renew(*make(12), SMALL)
    second = renew(*make(14), SMALL, first)
    chosen = mf.Learner.of(first.model.facts["recipe"])
    assert isinstance(chosen, mf.Conformal)
    assert second.recipe == bare(chosen)
    plain = mf.fit(*make(14), bare(chosen))
    X, _ = second.schema.encode(make(20)[0])
    with torch.no_grad():
        for mine, other in zip(
            *(m.joint(X[:, 0], torch.zeros(len(X)) > 0) for m in (second.model, plain.model)), strict=True
        ):
            assert torch.equal(mine, other)
    assert second.card[NOTE] == first.card[NOTE]


def test_below_ten_compounds_auto_is_run_as_it_is(full_runs: list[int]) -> None:
    previous = None
    for n in (8, 9, 10):
        previous = renew(*make(n), SMALL, previous)
    assert full_runs == [16, 18, 20]
    assert previous is not None
    assert "too few" not in previous.card["why"][0]


def test_another_question_is_answered_anew(full_runs: list[int]) -> None:
    table, schema = make(12)
    first = renew(table, schema, SMALL)
    renew(table, schema, Auto(member=mf.GP(), folds=3), first)
    renew(table.rename(columns={"y": "z"}), mf.Schema(mf.Columns("x"), "z", "source", schema.costs), SMALL, first)
    assert len(full_runs) == 3


def test_other_recipes_are_fitted_as_they_are() -> None:
    recipe = mf.Conformal(mf.GP(), form="split", folds=2)
    first = renew(*make(8), recipe)
    assert renew(*make(9), recipe, first).recipe == recipe


def test_what_was_renewed_is_saved_and_loaded(tmp_path) -> None:
    second = renew(*make(13), SMALL, renew(*make(12), SMALL))
    second.save(tmp_path / "x.mfmat")
    again = mf.load(tmp_path / "x.mfmat")
    assert again.predict(make(5)[0]).equals(second.predict(make(5)[0]))
    assert again.card[NOTE] == second.card[NOTE]


def test_a_measurement_in_a_cheap_source_moves_the_target() -> None:
    table, schema = make(12)
    unmeasured = schema.encode(pd.DataFrame({"x": [0.513]}))[0][:, 0]
    both = torch.cat([at_fidelity(unmeasured, 0), unmeasured])
    for draws in (1, 8):
        model = mf.Latent([mf.GP()], draws=draws).fit(schema.data(table))
        covariance = model.joint(both, torch.tensor([True, False]))[1]
        assert covariance[0, 1].abs() > 1e-6


def test_of_a_mixture_the_best_member_is_refitted() -> None:
    mixture = mf.Mixture([mf.Latent([mf.GP()], draws=1), mf.Difference([mf.GP()])])
    assert bare(mf.Conformal(mixture)) == mf.Latent([mf.GP()], draws=1)
    assert bare(mf.GP()) == mf.GP()
