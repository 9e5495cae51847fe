# %% [markdown]
# # Labels with values: metal or not
#
# Before you ask how wide a gap is, you want to know whether there is one. The experiments answer with a class: metal,
# or gap. The computed gaps are numbers. Can numbers help to predict a class, and is a stated probability of 90% worth
# 90%?
#
# This page reads public tables from the folder that the environment variable MFMAT_DATA names.

# %%
import os
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

import mfmat as mf

ROWS, MORE, TEST = (120, 100, 300) if "MFMAT_SMOKE" in os.environ else (600, 1000, 1000)  # our tests are brief

table, schema = mf.datasets.load("mf-bandgap")
pbe = table[table["fidelity"] == "pbe"]
exp = table[table["fidelity"] == "exp"].drop_duplicates("formula").sample(ROWS + TEST, random_state=0)
exp["target"] = np.where(exp["target"] > 0, "gap", "metal")
exp["target"].value_counts()

# %% [markdown]
# ## One table, two kinds of values
#
# We learn from some of the compounds and test on the others. PBE gaps are there for those compounds that have one, in
# both parts, and for others that nobody measured. In the column of values stand numbers in the rows of PBE, and words
# in those of experiment. The schema says so.

# %%
train, test = exp.iloc[:ROWS], exp.iloc[ROWS:]
shared = pbe[pbe["formula"].isin(exp["formula"])]
more = pbe.drop(shared.index).sample(MORE, random_state=0)
both = pd.concat([shared, more, train]).astype({"target": object}).reset_index(drop=True)
schema = replace(schema, costs={"pbe": 1, "exp": 400}, kinds={"exp": ("metal", "gap")}, floor=None)
print(f"{len(train)} labels, {len(both) - len(train)} computed gaps")
print(f"test compounds with a PBE gap: {test['formula'].isin(shared['formula']).mean():.0%}")

# %% [markdown]
# ## What the obvious rule says
#
# Metal if PBE finds no gap. PBE gaps are too small, so one expects gaps that PBE misses. The other mistake, metals
# with a PBE gap, is there as well.

# %%
known = test.merge(shared.groupby("formula")["target"].median().rename("pbe"), on="formula")
pd.crosstab(known["target"].rename("measured"), np.where(known["pbe"] > 0, "PBE: gap", "PBE: metal"))

# %% [markdown]
# ## Labels that numbers help
#
# `mf.fit` compares the labels alone with labels to which PBE is an input, measured or predicted, by the log loss of
# compounds held out. It says what it took.

# %%
fused = mf.fit(both, schema)
print(fused.card["why"][0])

# %% [markdown]
# Beside it, a forest on the labels alone.

# %%
alone = mf.fit(train, replace(schema, source=None, costs=None, kinds={"target": ("metal", "gap")}), mf.Forest())
said = {"labels alone": alone.predict(test[["formula"]]), "with PBE gaps": fused.predict(test[["formula"]])}
said["with PBE gaps"].assign(formula=test["formula"], measured=test["target"]).head(6).round(2)

# %% [markdown]
# On the test compounds: the share that is right, and the log loss, the mean of -ln of the probability that was stated
# for what came true. A guess that knows only the shares of the classes has the last line.

# %%
share = (test["target"] == "gap").mean()
lines = {}
for name, found in said.items():
    right = np.where(test["target"] == "gap", found["p_gap"], found["p_metal"])
    lines[name] = {"right": (found["label"] == test["target"]).mean(), "log loss": -np.log(right).mean()}
guess = -share * np.log(share) - (1 - share) * np.log(1 - share)
lines["shares of the classes"] = {"right": max(share, 1 - share), "log loss": guess}
pd.DataFrame(lines).T.round(3)

# %% [markdown]
# ## Deciding some, and leaving others
#
# A probability is more than a label: you may decide where the model is sure, and measure where it is not. Of the
# surest half of the compounds, how many are right?

# %%
curves = {}
for name, found in said.items():
    sure = found[["p_gap", "p_metal"]].max(axis=1).sort_values(ascending=False)
    right = (found["label"] == test["target"]).loc[sure.index]
    curves[name] = right.expanding().mean().to_numpy()
    print(f"{name:14} surest half: {curves[name][len(right) // 2 - 1]:.1%} right, all: {curves[name][-1]:.1%}")

# %% [markdown]
# ## The picture
#
# Left, does a probability hold? Compounds in ten groups by the stated probability of a gap; lines show what chance
# can do (95%). Right, how many decisions are right if only the surest compounds are decided.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.8), layout="constrained")
looks = {"labels alone": ("#8a5a9e", "s"), "with PBE gaps": ("#0b6bb0", "o")}
left.plot([0, 1], [0, 1], color="#6b7480", linewidth=1, linestyle=(0, (4, 3)))
for name, (colour, marker) in looks.items():
    stated = said[name]["p_gap"]
    bins = pd.cut(stated, np.linspace(0, 1, 11), include_lowest=True)
    groups = pd.DataFrame({"stated": stated, "gap": test["target"] == "gap"}).groupby(bins, observed=True)
    mean, count = groups.mean(), groups.size()
    bar = 1.96 * (mean["stated"] * (1 - mean["stated"]) / count) ** 0.5
    left.errorbar(mean["stated"], mean["gap"], bar, color=colour, marker=marker, linestyle="", label=name, linewidth=1)
    decided = np.arange(1, len(test) + 1) / len(test)
    start = len(test) // 20
    right.plot(decided[start:], curves[name][start:], color=colour, linewidth=2, label=name)
left.set(xlabel="stated probability of a gap", ylabel="share that has a gap", aspect="equal")
right.set(xlabel="share of compounds decided, surest first", ylabel="share of decisions that are right")
right.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
right.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
for ax in (left, right):
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# How labels are learned, and by which experts: [Labels](../labels.md). Metals among gaps, as numbers:
# [Hurdle](../stacks/hurdle.md). Next: [intervals you can defend](07-intervals.md).
