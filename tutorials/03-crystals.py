# %% [markdown]
# # Crystals and pretrained experts
#
# You have some hundred crystals with a value each. CHGNet has seen the energies, forces and magnetic moments of more
# than a million structures. What is that worth for a property that it was not trained on, and how do you see that it
# helped?
#
# This page reads public tables from the folder that the environment variable MFMAT_DATA names, and needs the extra
# `structures`.

# %%
import os
from dataclasses import replace

import pandas as pd
from matplotlib import pyplot as plt

import mfmat as mf
from mfmat.reports import figures

SHORT = "MFMAT_SMOKE" in os.environ  # our tests run the short version
ROWS, TEST, DRAWS, SIZES = (90, 30, 1, [50]) if SHORT else (633, 200, 5, [25, 50, 100, 200, 350])

table, schema = mf.datasets.load("moe/jarvis_2d_eform")
table = table.sample(ROWS, random_state=0).reset_index(drop=True)
print(mf.datasets.cite("moe/jarvis_2d_eform"))
print(f"{len(table)} two-dimensional crystals")
table["target"].describe().loc[["min", "50%", "max"]].round(2)

# %% [markdown]
# The table has a formula and a structure for each row. A structure may be a pymatgen `Structure`, CIF text, or the
# path of a file; here it is JSON text.

# %%
print(table["structure"].iloc[0][:160], "...")

# %% [markdown]
# ## From a crystal to numbers
#
# Featurizers can stand side by side in the schema. `Composition` knows the elements alone. With `backbone="geometry"`
# come density, distances and symmetry. Unless you say otherwise, `Structure` also asks CHGNet: what its atoms look
# like after the third layer, the whole crystal, and its predictions.

# %%
formula = mf.Composition("formula")
INPUTS = {
    "composition": formula,
    "and geometry": (formula, mf.Structure("structure", backbone="geometry")),
    "and CHGNet": (formula, mf.Structure("structure")),
}
for name, columns in mf.Structure("structure").views.items():
    print(f"{name:32} {len(columns):4} numbers")

# %% [markdown]
# CHGNet looks at every crystal once; what it says is kept in a cache on your disk. Nothing is trained in it. All that
# is learned is a Gaussian process on top, in seconds.
#
# ## How many rows does a network save?
#
# A fixed part of the crystals is for testing. Of the others the learner gets few or many, drawn several times.

# %%
rest, test = table.iloc[TEST:], table.iloc[:TEST]
rest = rest[~rest["formula"].isin(test["formula"])]
lines = []
for size in SIZES:
    for draw in range(DRAWS):
        rows = rest.sample(size, random_state=draw)
        for name, inputs in INPUTS.items():
            said = mf.fit(rows, replace(schema, inputs=inputs), mf.GP()).predict(test)
            inside = test["target"].between(said["lower"], said["upper"]).mean()
            error = (said["median"] - test["target"]).abs().mean()
            lines.append({"rows": size, "inputs": name, "mae": error, "coverage": inside})
scores = pd.DataFrame(lines)
scores.pivot_table(index="rows", columns="inputs", values="mae")[list(INPUTS)].round(3)

# %% [markdown]
# Errors are in eV/atom. And the 90% intervals, which a GP states of itself, before any calibration:

# %%
scores.pivot_table(index="rows", columns="inputs", values="coverage")[list(INPUTS)].round(2)

# %% [markdown]
# ## What did it listen to?
#
# The process has one weight for each view. `weights` gives the share of the prior variance that comes from a view,
# with an interval.

# %%
model = mf.fit(rest, replace(schema, inputs=INPUTS["and CHGNet"]), mf.GP())
weights = model.weights()
weights[["view", "weight", "lower", "upper"]].round(2)

# %% [markdown]
# A small share can settle what the large one leaves open: the elements explain most of the spread, the network the
# rest. Where several views know the same, their weights are uncertain: one can stand for another.
# `predictions + linear` is a linear function of what CHGNet predicts: its energy, which a formation energy is made of.
# So this is a property that the network knows well. Another one may profit more or less: put `moe/jarvis_2d_gap_opt`
# above, and see.

# %% [markdown]
# ## The picture
#
# Left, the error against the number of crystals: the mean over draws, with two of its standard errors. Right, which
# view the process listens to, with 90% intervals.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", width_ratios=[5, 3])
figures.learning_curve(scores, left, by="inputs", unit="eV/atom").set(xlabel="crystals to learn from")
names = weights["view"].str.replace("structure.", "").str.replace("formula.", "")
right.hlines(names, weights["lower"], weights["upper"], color="#0b6bb0", alpha=0.5, linewidth=2)
right.scatter(weights["weight"], names, color="#0b6bb0", s=28, zorder=3)
right.invert_yaxis()
right.set(xlim=(0, 1), xlabel="share of the prior variance")
left.legend(frameon=False, loc="lower left")
right.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# More networks, single layers, atoms as sets, and a network of your own: [Crystals](../crystals.md). Next: [twenty
# measurements and a model library](04-twenty-measurements.md).
