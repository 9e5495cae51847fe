# %% [markdown]
# # Which source helped?
#
# Computed values cost money, too. Which of them made the prediction of the experiment better, for which materials,
# and up to which price are they worth it? We ask that of three density functionals, and of a fourth source that we
# know to be worthless.

# %%
import os
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

import mfmat as mf
from mfmat.reports import figures

FOLDS, EVERY = (2, 2) if "MFMAT_SMOKE" in os.environ else (5, 1)  # our tests run the short version

table, schema = mf.datasets.load("semiconductor-gaps")
table = table[table["formula"].isin(table["formula"].unique()[::EVERY])]
table["method"].value_counts()

# %% [markdown]
# ## A source of nonsense
#
# A test that never fails tells nothing. So we add a source `shuffled`: the PBE gaps, dealt out to the wrong
# compounds.

# %%
rng = np.random.default_rng(0)
shuffled = table[table["method"] == "pbe"].assign(method="shuffled", gap=lambda t: rng.permutation(t["gap"].to_numpy()))
table = pd.concat([shuffled, table], ignore_index=True)
schema = mf.Schema(
    inputs=mf.Composition("formula"),
    value="gap",
    source="method",
    costs={"shuffled": 1, "pbe": 1, "mbj": 2, "hse06": 20, "exp": 400},
    unit="eV",
)

# %% [markdown]
# ## The diagnosis
#
# `mf.diagnose` holds out measured compounds and predicts them twice: from the experiments alone, and with one source
# added. The gain is the share of the error (CRPS) that goes away; its 90% error bar comes from resampling the
# compounds.

# %%
found = mf.diagnose(table, schema, folds=FOLDS)
found[["verdict", "correlation", "gain", "gain_lower", "gain_upper"]].round(2)

# %% [markdown]
# The nonsense is dropped: its error bar does not lie above 0. Next to each verdict stands where it holds. A family of
# compounds is judged on its own only if enough of its members are measured.

# %%
for name, row in found.iterrows():
    print(f"{name:9} {row['verdict']:9} {row['where'] or '-'}")

# %% [markdown]
# ## What a value is worth
#
# The same gain could be bought with more experiments. How many, follows from how fast the error falls with their
# number. Divided by the rows of the source that is its break-even price: below it, the source is the better buy. Far
# beyond the rows that we have, such numbers are extrapolations: take their order of magnitude.

# %%
price = pd.Series(schema.costs) / schema.costs["exp"]
bill = pd.DataFrame({"price": price, "break-even": found["break_even"]}).dropna()
bill = bill.loc[found.index]
bill["worth it"] = np.where(bill["price"] < bill["break-even"], "yes", "no")
print("in units of one experiment:")
bill.round(4)

# %% [markdown]
# ## One prediction at a time
#
# A source that helps on average may not have moved the compound that you care about. `explain` fits the model again
# without each source: `shift` is what the source did to the predicted gap, `reduction` the share of the variance that
# it took away.

# %%
useful = [name for name in found.index if found.loc[name, "verdict"] != "drop"]
kept = table[table["method"].isin([*useful, "exp"])]
costs = {name: schema.costs[name] for name in [*useful, "exp"]}
gap = mf.fit(kept, replace(schema, costs=costs), mf.Difference([mf.GP()]))
measured = set(table.loc[table["method"] == "exp", "formula"])
new = pd.DataFrame({"formula": [name for name in table["formula"].unique() if name not in measured][:6]})
why = gap.explain(new)
new.join(why[["median", *(f"shift_{name}" for name in useful)]]).round(2)

# %% [markdown]
# A shift near 0 does not mean that the source is bad: another one may have said the same already. That is why the
# last column of the next table, all sources together, is more than the best of the others.

# %%
new.join(why[[*(f"reduction_{name}" for name in useful), "reduction_all"]]).round(2)

# %% [markdown]
# ## The picture
#
# Each source on its own: how much of the error it takes away, with 90% error bars; a ring is a source to drop. On
# the right, what a value costs, and up to which price it would be the better buy, in units of one experiment.

# %%
figure, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
figures.source_gains(found, ax)
beside = {"va": "center", "family": "monospace", "transform": ax.get_yaxis_transform()}
for place, (name, row) in enumerate(found.iterrows()):
    ax.text(1.02, place, f"{price[name]:>8.3g} {row['break_even']:>9.2g}", **beside)
ax.text(1.02, -0.8, "   costs     worth", **beside)

# %% [markdown]
# Next: [crystals and pretrained experts](03-crystals.md).
