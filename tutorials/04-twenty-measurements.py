# %% [markdown]
# # Twenty measurements and a model library
#
# You have measured twenty values of a property. That is too few to learn from. But others have computed thousands of
# values of other properties, and models of them know something of chemistry. Which of them can teach yours, and who
# tells you when none can?
#
# This page reads public tables from the folder that the environment variable MFMAT_DATA names.

# %%
import os
from dataclasses import replace

import pandas as pd

import mfmat as mf
from mfmat.reports import figures

SHORT = "MFMAT_SMOKE" in os.environ  # our tests run the short version
NETWORKS, DRAWS, SIZES = (1, 1, [20]) if SHORT else (8, 6, [10, 20, 40, 80])

inputs = mf.Composition("formula", blocks="descriptors")  # XenonPy's 290 descriptors
SOURCES = {
    "formation energy": "dft/matbench_mp_e_form",
    "band gap": "dft/matbench_mp_gap",
    "bulk modulus": "dft/matbench_log10_K_VRH",
    "refractive index": "dft/matbench_dielectric_n",
    "magnetic moment": "dft/mp_mu_b",
    "spillage": "jarvis/spillage",
}

# %% [markdown]
# ## The library
#
# Six computed properties, 1,500 rows of each, and a few small networks for every property. A fifth of the compounds
# is kept from all networks; their held-out errors go into the index. You would rather load a library that somebody
# else has trained: a folder, or an address on the web.

# %%
library = mf.Library("teachers")
for name, where in SOURCES.items():
    table, schema = mf.datasets.load(where)
    rows = table.sample(1500, random_state=0).reset_index(drop=True)
    library.train({name: (rows, replace(schema, inputs=inputs))}, NETWORKS, quantity=name)
library.query("mae > 0").groupby("task")[["rows", "test_rows", "mae", "coverage"]].mean().round(2)

# %% [markdown]
# ## Twenty rows of something else
#
# The new property is the *measured* formation energy. We take twenty compounds, and judge by 400 others.

# %%
table, schema = mf.datasets.load("expt-formation-energy")
schema = replace(schema, inputs=inputs)
table = table.drop_duplicates("formula")
drawn = table.sample(20 + 400, random_state=0)
few, others = drawn.iloc[:20], drawn.iloc[20:]
few[["formula", "target"]].head(5).round(2)

# %% [markdown]
# Is a computed formation energy of the same compound in what the networks saw? Then they would not have to know much
# chemistry.

# %%
energies, _ = mf.datasets.load(SOURCES["formation energy"])
shown = energies.sample(1500, random_state=0)["formula"]
print(f"{others['formula'].isin(shown).mean():.0%} of the 400 are among the 1,500 formulas that those networks saw")

# %% [markdown]
# Three ways. A Gaussian process of the twenty alone. `Shotgun`: every network of the library looks at the twenty
# compounds, those that help become inputs, and a gate weighs the result against asking nobody. And the same with a
# library that has no formation energies, because who has only moduli and moments should know what these are good for.

# %%
ways = {
    "alone": mf.GP(),
    "whole library": mf.Shotgun(library),
    "without formation energies": mf.Shotgun(library, "quantity != 'formation energy'"),
}


def judge(few, others, recipe):
    """Error and coverage on the others."""
    said = mf.fit(few, schema, recipe).predict(others)
    inside = others["target"].between(said["lower"], said["upper"]).mean()
    return {"mae": (said["median"] - others["target"]).abs().mean(), "coverage": inside}


pd.DataFrame({name: judge(few, others, recipe) for name, recipe in ways.items()}).T.round(2)

# %% [markdown]
# ## Once more, and again
#
# Twenty compounds are a lottery. So we draw others, several times, and let their number grow.

# %%
lines = []
for size in SIZES:
    for draw in range(DRAWS):
        drawn = table.sample(size + 400, random_state=draw)
        for name, recipe in ways.items():
            found = judge(drawn.iloc[:size], drawn.iloc[size:], recipe)
            lines.append({"rows": size, "way": name, **found})
scores = pd.DataFrame(lines)
scores.pivot_table(index="rows", columns="way", values="mae")[list(ways)].round(2)

# %% [markdown]
# Now the intervals: the share of the 400 inside their 90% interval, mean over the draws.

# %%
scores.pivot_table(index="rows", columns="way", values="coverage")[list(ways)].round(2)

# %% [markdown]
# ## The picture
#
# Mean error against the number of measurements, with two standard errors over the draws. Follow a height from one curve
# to the other to see what a teacher of the related quantity is worth in measurements. Teachers of other quantities
# teach little here, and the gate keeps them from doing harm.

# %%
ax = figures.learning_curve(scores, by="way", unit="eV/atom", width=130)
ax.set(xlabel="measured formation energies", ylim=(0, None))
ax.legend(frameon=False, loc="lower left")

# %% [markdown]
# Other ways to use a library: [A few rows of a new property](../library.md#a-few-rows-of-a-new-property). Next: [a
# campaign with two fidelities and a budget](05-campaign.md).
