# %% [markdown]
# # A campaign with two fidelities and a budget
#
# You look for the compound with the widest gap. A hybrid calculation (HSE06) costs 1, a measurement 20, and you have
# 300 to spend. What do you ask for first?
#
# We play it on compounds whose gaps are known, but each value is shown only after it was paid for.

# %%
import os

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

import mfmat as mf
from mfmat.reports import figures

SEEDS, BUDGET = (1, 150) if "MFMAT_SMOKE" in os.environ else (15, 300)  # our tests run the short version

table, _ = mf.datasets.load("semiconductor-gaps")
known = table.pivot_table(index="formula", columns="method", values="gap")[["hse06", "exp"]].dropna()
schema = mf.Schema(mf.Composition("formula"), value="gap", source="method", costs={"hse06": 1, "exp": 20}, unit="eV")
print(len(known), "compounds, to measure all of them would cost", 20 * len(known))
print("the widest gap, which nobody knows yet:", known["exp"].idxmax(), known["exp"].max(), "eV")

# %% [markdown]
# ## The start
#
# Five compounds are known, drawn at random. All others are the pool: formulas and nothing else.

# %%
start = np.random.default_rng(1).permutation(known.index.drop(known["exp"].idxmax()))[:5]
seen = known.loc[start].reset_index().melt("formula", ["hse06", "exp"], var_name="method", value_name="gap")
pool = pd.DataFrame({"formula": known.index})
recipe = mf.Difference([mf.GP()])
campaign = mf.Campaign.create(
    "widest.db", schema, recipe=recipe, pool=pool, seen=seen, budget=BUDGET, goal="max", seed=0
)
print("best at the start:", seen.loc[seen["method"] == "exp", "gap"].max(), "eV")

# %% [markdown]
# ## One round
#
# `ask` names pairs of compound and source, with a reason. A calculation is asked for where it tells enough about the
# experiment for its price.

# %%
todo = campaign.ask(4)
todo[["formula", "method", "cost", "reason"]]

# %% [markdown]
# Somebody makes the calculations and measurements, fills in the values, and tells. Here the table knows them.


# %%
def measure(asked):
    """The same rows with their values, as they come back from the laboratory."""
    return asked.assign(gap=[known.loc[row["formula"], row["method"]] for _, row in asked.iterrows()])


print(campaign.tell(measure(todo)))

# %% [markdown]
# ## All rounds
#
# The same again until nothing is left that the budget could pay. The campaign is a file: between two rounds you can
# close the laptop, for a month if it must be.

# %%
while len(todo := campaign.ask(4)):
    campaign.tell(measure(todo))
print(campaign.status())

# %% [markdown]
# What was asked, in order. Cheap values first, measurements where they said that it is worth it.

# %%
values = campaign.seen().iloc[len(seen) :].reset_index(drop=True)
values["paid"] = values["method"].map(schema.costs).cumsum()
values[values["method"] == "exp"][["formula", "gap", "paid"]].head(8)

# %% [markdown]
# ## Was that luck?
#
# One campaign proves nothing. `backtest` replays many, each from another start, and plays the alternatives on the
# same starts: measurements chosen at random, and measurements chosen by a model of the measurements alone.

# %%
long = known.reset_index().melt("formula", ["hse06", "exp"], var_name="method", value_name="gap")
policy = mf.Ask(recipe, name="two fidelities")
played = mf.backtest(long, schema, policy, goal="max", start=5, batch=4, seeds=SEEDS)
print(played.verdict())

# %% [markdown]
# ## The picture
#
# Left, the campaign above: every value by what had been paid when it came. Right, the share of replayed campaigns that
# had found the best compound, by what they had paid; a dot marks the median.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", width_ratios=[3, 2])
for method, colour, marker in (("hse06", "#8a5a9e", "^"), ("exp", "#0b6bb0", "o")):
    rows = values[values["method"] == method]
    left.scatter(rows["paid"], rows["gap"], color=colour, marker=marker, s=26, label=method, zorder=3)
first = seen.loc[seen["method"] == "exp", "gap"].max()
best = values["gap"].where(values["method"] == "exp", first).clip(lower=first).cummax()
left.step([0, *values["paid"]], [first, *best], where="post", color="#0b6bb0", linewidth=1.5, label="best measured")
left.axhline(known["exp"].max(), color="#6b7480", linewidth=1, linestyle=(0, (4, 3)))
left.set(xlabel="paid since the start", ylabel="gap (eV)", ylim=(0, 15.5), title="one campaign")
left.legend(frameon=False, loc="upper center", ncols=3, columnspacing=1)
left.spines[["top", "right"]].set_visible(False)
figures.cost_to_target(played, right).set_title(f"{SEEDS} campaigns each")
right.legend(frameon=False, loc="lower right")

# %% [markdown]
# Prices in several units, batches with a set-up, and what a killed process leaves behind:
# [Campaigns](../campaigns.md). Next: [labels with values](06-metal-or-not.md).
