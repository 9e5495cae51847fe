# %% [markdown]
# # 100,000 rows on a laptop, a cluster when that is not enough
#
# A big table of computed values fits into a laptop, if the learner is one that grows in proportion to the rows. We
# take all PBE gaps of a well-known table, see what more rows bring and what they cost, and send the same work to
# several processes.
#
# This page reads public tables from the folder that the environment variable MFMAT_DATA names, and needs the extra
# `distributed`.

# %%
import os
import time

import pandas as pd
from distributed import Client, SubprocessCluster
from matplotlib import pyplot as plt

import mfmat as mf
from mfmat.reports import figures
from mfmat.validation import accuracy

SIZES, TEST = (
    ([300, 1000], 300) if "MFMAT_SMOKE" in os.environ else ([1000, 10_000, 95_000], 5000)
)  # our tests are brief

table, schema = mf.datasets.load("dft/matbench_mp_gap")
print(mf.datasets.cite("dft/matbench_mp_gap"))
print(f"{len(table):,} rows, {table['formula'].nunique():,} formulas, {(table['target'] == 0).mean():.0%} metals")

# %% [markdown]
# Many formulas stand there more than once: polymorphs, which a formula cannot tell apart. So we hold out formulas,
# not rows. Else the answer to many questions would have been seen.

# %%
formulas = pd.Series(table["formula"].unique()).sample(frac=1, random_state=0)
place = table["formula"].map(pd.Series(range(len(formulas)), index=formulas))
table = table.iloc[place.argsort(kind="stable")].reset_index(
    drop=True
)  # the rows of a formula together, formulas at random
test, rest = table.iloc[:TEST], table.iloc[TEST:]
rest = rest[~rest["formula"].isin(test["formula"])]

# %% [markdown]
# ## Which expert?
#
# An exact Gaussian process compares every row with every other: its time grows with the cube of the rows.
# `BayesianLinear` and `Forest` grow in proportion. We fit both to more and more rows, on one thread.

# %%
recipes = {"BayesianLinear": mf.BayesianLinear(), "Forest": mf.Forest(trees=30)}
lines = []
for size in SIZES:
    for name, recipe in recipes.items():
        start = time.perf_counter()
        model = mf.fit(rest.iloc[:size], schema, recipe)
        seconds = time.perf_counter() - start
        said = model.predict(test[["formula"]])
        inside = test["target"].between(said["lower"], said["upper"]).mean()
        error = (said["median"] - test["target"]).abs().mean()
        lines.append({"rows": size, "expert": name, "mae": error, "coverage": inside, "seconds": seconds})
scores = pd.DataFrame(lines)
scores.round(2)

# %% [markdown]
# The error is in eV, coverage is the share inside 90% intervals. The straight line has learned what it can after few
# rows; the forest goes on learning. That is what many rows are for. Look at the coverage, too: where it is off,
# `mf.Conformal(mf.Forest(), form="split")` mends it with a part of the rows.
#
# The model is small beside what it learned from, and predicts as any other.

# %%
new = pd.DataFrame({"formula": ["Cs2AgBiBr6", "LiFePO4", "MoS2", "NbN"]})
new.join(model.predict(new)[["median", "lower", "upper"]]).round(2)

# %% [markdown]
# ## When that is not enough
#
# Work that falls into parts goes to other processes by `executor=`: here the folds of a cross-validation, elsewhere
# replayed campaigns, the chunks of a pool, or the networks of a library. Two worker processes on this machine; on a
# cluster another class stands in the same place, and the rest of the lines stays.

# %%
part = rest.iloc[: min(4000, SIZES[1])]
recipe = mf.Forest(trees=100)
start = time.perf_counter()
here = mf.cross_validate(part, schema, recipe, folds=4)
alone = time.perf_counter() - start

with SubprocessCluster(n_workers=2, worker_kwargs={"nthreads": 1}) as cluster, Client(cluster) as client:
    client.wait_for_workers(2)
    client.run(exec, "import mfmat.validation")  # each worker loads the library, before the clock runs
    with client.get_executor() as executor:
        start = time.perf_counter()
        there = mf.cross_validate(part, schema, recipe, folds=4, executor=executor)
        shared = time.perf_counter() - start
print(f"one process {alone:.0f} s, two workers {shared:.0f} s")
print("the same numbers, to the last bit:", there.equals(here))
print(f"MAE {accuracy(there)['mae']:.2f} eV, {accuracy(there)['coverage']:.0%} inside")

# %% [markdown]
# Two workers are faster where two cores are free; the machine that made this page had other work, too. Seeds belong
# to the folds, not to the workers, so the numbers do not depend on who worked them out.
#
# ## The picture
#
# What more rows bring (left), and what they cost on one thread (right).

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
figures.learning_curve(scores, left, by="expert", unit="eV").set(ylim=(0, None))
figures.learning_curve(scores, right, by="expert", score="seconds").set(ylabel="time of a fit (s)")

# %% [markdown]
# SLURM, Kubernetes, and machines of your own: [Many machines](../clusters.md).
