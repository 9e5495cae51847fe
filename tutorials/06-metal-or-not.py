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
from mfmat.reports import figures

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
judged = {name: found.assign(y=test["target"]) for name, found in said.items()}
for name, found in judged.items():
    right = found["label"] == found["y"]
    surest = found[["p_gap", "p_metal"]].max(axis=1).nlargest(len(found) // 2).index
    print(f"{name:14} surest half: {right[surest].mean():.1%} right, all: {right.mean():.1%}")

# %% [markdown]
# ## The picture
#
# Left, does a probability hold? Compounds in ten groups by the stated probability of a gap; bars show what so few can
# tell (95%). Right, how many decisions are right if only the surest compounds are decided.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.8), layout="constrained")
for name, colour, marker in (("labels alone", "#8a5a9e", "s"), ("with PBE gaps", "#0b6bb0", "o")):
    figures.reliability(judged[name], left, of="gap", label=name, colour=colour, marker=marker)
    figures.selective_accuracy(judged[name], right, label=name, colour=colour)
for ax in (left, right):
    ax.legend(frameon=False)

# %% [markdown]
# How labels are learned, and by which experts: [Labels](../labels.md). Metals among gaps, as numbers:
# [Hurdle](../stacks/hurdle.md). Next: [intervals you can defend](07-intervals.md).
