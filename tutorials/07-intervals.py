# %% [markdown]
# # Intervals you can defend
#
# A referee asks: how do you know that your 90% intervals hold 90%? We answer with compounds that the model had not
# seen. Then we look for the place where the answer is no.

# %%
import os
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

import mfmat as mf
from mfmat.novelty import OutsideWarning
from mfmat.reports import figures
from mfmat.validation import accuracy

FOLDS, EVERY = (2, 2) if "MFMAT_SMOKE" in os.environ else (5, 1)  # our tests run the short version

table, schema = mf.datasets.load("semiconductor-gaps")
table = table[table["formula"].isin(table["formula"].unique()[::EVERY])]
GROUPS = ["chalcogenides", "pnictides", "halides", "oxides"]
print(f"{(table['method'] == 'exp').sum()} measured gaps, {(table['method'] != 'exp').sum()} computed ones")

# %% [markdown]
# ## What the model says of itself
#
# A Gaussian process states a spread of its own. Hold out a fifth of the compounds, predict them, count how many
# measured gaps lie inside. Five times, so that every compound has its turn.

# %%
bare = mf.Difference([mf.GP()])
own = mf.cross_validate(table, schema, bare, folds=FOLDS)
print(f"asked for 90%, got {accuracy(own)['coverage']:.0%}; mean width {accuracy(own)['width']:.2f} eV")

# %% [markdown]
# ## Put a calibrator around it
#
# `Conformal` looks at what the same recipe said of compounds held out, and widens or narrows accordingly. It does so
# inside each fold: what we count below was not used for it. The promise holds whatever the model inside: at least 80%
# for 90% intervals, in practice about 90%.

# %%
calibrated = mf.cross_validate(table, schema, mf.Conformal(bare), folds=FOLDS)
print(f"asked for 90%, got {accuracy(calibrated)['coverage']:.0%}; mean width {accuracy(calibrated)['width']:.2f} eV")

# %% [markdown]
# One level may be right by luck. Draw all of them. The grey band is where honest intervals can lie by chance, with
# this number of compounds.

# %%
figure, ax = plt.subplots(figsize=(4, 4), layout="constrained")
figures.calibration(own, ax, label="the model itself", colour="#8a5a9e")
figures.calibration(calibrated, ax, label="with Conformal", chance=False)
ax.legend(frameon=False, loc="upper left")
# %% [markdown]
# ## Does it hold for oxides, too?
#
# Right on average can be wrong for the family of compounds that you work on. So count family by family.

# %%
family = pd.Series(mf.Composition("formula").families(table), index=table.index)
inside = calibrated["y"].between(calibrated["lower"], calibrated["upper"])
by_family = inside.groupby(family).agg(compounds="size", inside="mean")
by_family.loc[GROUPS].round(2)

# %% [markdown]
# Right on average is not right for each family. But a family has few compounds, and leaves room for luck; the picture
# at the end shows how much.
#
# ## A promise for each family
#
# `by=` calibrates every family on its own. A family with few compounds borrows from the others, in equal parts. The
# families come from the schema's metadata: the model inside does not see them.

# %%
own_promise = replace(schema, metadata=mf.ChemicalGroups("formula"))
split = mf.cross_validate(table, own_promise, mf.Conformal(bare, by="formula.anion"), folds=FOLDS)
recipes = {"the model itself": own, "Conformal": calibrated, "Conformal by family": split}
held = {name: said["y"].between(said["lower"], said["upper"]) for name, said in recipes.items()}
width = {name: said["upper"] - said["lower"] for name, said in recipes.items()}
for name, what in {"share inside": held, "mean width (eV)": width}.items():
    print(name)
    print(pd.DataFrame(what).groupby(family).mean().loc[GROUPS].round(2).to_string(), "\n")

# %% [markdown]
# ## A family that nobody measured
#
# All of that was about families with measured members. Now take a whole family away, learn from the others, and
# predict it from the formula alone: nothing of it was ever measured or computed for this model. We do that with each
# of the four in turn.

# %%
experiments = table[table["method"] == "exp"].reset_index(drop=True)
families = np.array(mf.Composition("formula").families(experiments))
single = mf.Schema(mf.Composition("formula"), value="gap", unit="eV")
known = mf.cross_validate(experiments, single, mf.Conformal(mf.GP()), folds=FOLDS)
strange = []
for name in GROUPS:
    rest, new = experiments[families != name], experiments[families == name]
    model = mf.fit(rest, single, mf.Conformal(mf.GP()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutsideWarning)  # it is what we ask about below
        said = model.predict(new[["formula"]])
    strange.append(said.assign(y=new["gap"], p=model.novelty(new[["formula"]])))
strange = pd.concat(strange)
lines = []
for name, said in {"compound new, family known": known[np.isin(families, GROUPS)], "family new": strange}.items():
    found = accuracy(said)
    lines.append({"": name, "inside": found["coverage"], "MAE (eV)": found["mae"], "width (eV)": found["width"]})
pd.DataFrame(lines).round(2)

# %% [markdown]
# No theorem covers a new family. But the model's own spread grows far from its data, and the intervals with it.
#
# `novelty` says how far that is. It gives each row a p-value: the share of measured compounds that are at least as
# far from all others. `predict` warns when a table has too many small ones.

# %%
unlike = (strange["p"] < 0.05).groupby(families[strange.index]).mean().loc[GROUPS]
print("share with p below 0.05, each family seen by a model of the other families:")
print(unlike.map("{:.0%}".format).to_string())

# %% [markdown]
# Where that share is large, say "I do not know yet", and measure a few.

# %% [markdown]
# ## The picture
#
# How often 90% intervals hold, family by family. Lines show what luck can do with so few compounds (95%); a ring lies
# outside of it.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.6), layout="constrained", sharey=True)
for ax, (name, said) in zip(
    (left, right), {"the model itself": own, "Conformal by family": split}.items(), strict=True
):
    shown = said[family[said.index].isin(GROUPS)]
    figures.coverage_by_group(shown, family[shown.index], ax=ax).set_title(name)

# %% [markdown]
# Next: [your own expert in 30 lines](08-your-own-expert.md).
