# %% [markdown]
# # Your own expert in 30 lines
#
# You know something that no library knows. A chemist says: gaps grow with the difference in electronegativity, and
# shrink down the periodic table. That is a law with two numbers. We write it as an expert, and it then works with
# everything else: fusion, intervals, suggestions, saving.

# %%
import os
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from pymatgen.core import Composition

import mfmat as mf
from mfmat.feature_model import FeatureModel
from mfmat.learner import Expert, views_of
from mfmat.validation import accuracy

FOLDS, EVERY = (2, 2) if "MFMAT_SMOKE" in os.environ else (5, 1)  # our tests run the short version

table, schema = mf.datasets.load("semiconductor-gaps")
table = table[table["formula"].isin(table["formula"].unique()[::EVERY])]

# %% [markdown]
# ## The two numbers
#
# Pauling's electronegativities give the first, the mean period of the atoms the second. They become columns of the
# table, and a view of the schema with the name `law`.


# %%
def chemistry(formula):
    """Largest difference in electronegativity, and mean period of the atoms."""
    atoms = Composition(formula).fractional_composition
    negativity = [element.X for element in atoms]
    return {
        "ionicity": max(negativity) - min(negativity),
        "period": sum(element.row * share for element, share in atoms.items()),
    }


table = table.join(pd.DataFrame([chemistry(name) for name in table["formula"]], index=table.index))
law = mf.Columns(["ionicity", "period"], name="law")
schema = replace(schema, inputs=(mf.Composition("formula"), law))
table.loc[table["method"] == "exp", ["formula", "gap", "ionicity", "period"]].sort_values("ionicity").iloc[::20].round(
    2
)

# %% [markdown]
# ## The expert
#
# An expert is a recipe, `Law`, and the model that it makes. The recipe says how to *build* a model and how to *train*
# it. The model says what its features are: here 1, both numbers, their squares and their product. `FeatureModel` does
# the Bayesian part: a Gaussian over the weights, the noise, the joint distribution of several compounds.


# %%
@dataclass(frozen=True, kw_only=True)
class Law(Expert, kind="law"):
    """A parabola in the columns of one view."""

    view: str = "law.numeric"

    def build(self, facts):
        return LawModel(facts, views_of(facts)[self.view])

    def train(self, model, data):
        model.spread.copy_(data.X[:, model.columns].std(0).clamp_min(1e-9))
        model.weights.learn(model.evidence_of(data))
        model.condition(data)


class LawModel(FeatureModel):
    def __init__(self, facts, columns):
        width = columns.stop - columns.start
        super().__init__(facts, [1, width, width * (width + 1) // 2])  # the features, in blocks of one prior each
        self.columns = columns
        self.register_buffer("spread", torch.ones(width).double())

    def features(self, X):
        z = X[..., self.columns] / self.spread
        i, j = torch.triu_indices(z.shape[-1], z.shape[-1])
        return torch.cat([torch.ones_like(z[..., :1]), z, z[..., i] * z[..., j]], dim=-1)


# %% [markdown]
# ## Does it work?
#
# By itself, on experiments alone, and beside a Gaussian process that has hundreds of descriptors of the composition
# to learn from. Then in a chain of all sources, where it learns what an experiment adds to HSE06.

# %%
gp = mf.GP()
recipes = {
    "law alone": mf.TargetOnly(Law()),
    "GP alone": mf.TargetOnly(gp),
    "chain, law on top": mf.Difference([gp, gp, gp, Law()]),
    "chain of GPs": mf.Difference([gp]),
    "chain, law on top, conformal": mf.Conformal(mf.Difference([gp, gp, gp, Law()])),
}
lines = {name: accuracy(mf.cross_validate(table, schema, recipe, folds=FOLDS)) for name, recipe in recipes.items()}
pd.DataFrame(lines).T[["mae", "coverage", "width"]].round(2)

# %% [markdown]
# The law of six weights, "law alone", is farther off than "GP alone" with its hundreds of descriptors, and so is the
# chain with the law on top than the chain of processes: nobody should have expected anything else. What it gives
# instead is an answer that fits in a small table, and that you can argue with. In the chain it is a member like any
# other, and a calibrator goes around it.

# %%
rule = mf.fit(table, schema, mf.TargetOnly(Law()))
grid = pd.DataFrame({"formula": "NaCl", "ionicity": [0.5, 1.5, 2.5, 0.5, 1.5, 2.5], "period": [2.5] * 3 + [4.5] * 3})
grid[["ionicity", "period"]].join(rule.predict(grid)[["median", "lower", "upper"]]).round(1)

# %% [markdown]
# ## Save, load
#
# Weights and spread are buffers of the model, so there is nothing to write for it. Whoever loads the file needs the
# class `Law`, as it is code; no file of mfmat holds code.

# %%
rule.save("law.mfmat")
print(mf.load("law.mfmat").predict(grid).equals(rule.predict(grid)))

# %% [markdown]
# ## The picture
#
# The law as a map, with the measured compounds on it in the same colours. Where dots stand out from their ground, the
# law is wrong. Ask there what it does not know.

# %%
measured = table[table["method"] == "exp"]
x, y = np.meshgrid(np.linspace(0, 3.4, 60), np.linspace(1.2, 6, 60))
plane = pd.DataFrame({"formula": "NaCl", "ionicity": x.ravel(), "period": y.ravel()})
said = rule.predict(plane)["median"].to_numpy().reshape(x.shape)
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ground = ax.contourf(x, y, said, np.arange(0, 13), cmap="viridis", extend="both")
ax.scatter(
    measured["ionicity"], measured["period"], c=measured["gap"], vmin=0, vmax=12, s=42, edgecolor="white", linewidth=1
)
off = (measured["gap"] - rule.predict(measured)["median"]).abs()
for index in off.nlargest(4).index:
    row = measured.loc[index]
    ax.annotate(row["formula"], (row["ionicity"], row["period"]), (5, 5), textcoords="offset points", color="white")
figure.colorbar(ground, label="gap (eV)")
ax.set(xlabel="difference in electronegativity (Pauling)", ylabel="mean period of the atoms")

# %% [markdown]
# What the parts of the library ask of each other: [Design](../design.md). Next: [100,000 rows on a
# laptop](09-many-rows.md).
