"""The evidence in docs/which-stack.md: small tables, one for each question."""

from __future__ import annotations

from typing import Any

from pages.measured import Place, Row, line_of, made_by, over_folds, result
from pages.tables import shown, table

FUSIONS = ["Auto", "TargetOnly GP", "Difference", "Latent", "MultiTask"]
GAPS = "mf-bandgap"
TABLES = ("borlido-functionals", "pbe-hse-exp-formation-energy", "hoip-perovskites", "molecule-polarizability")
EXPERTS = ["GP", "SparseGP", "DeepKernelGP", "Forest", "Ensemble", "BNN", "AtomSet", "BayesianLinear", "Mixture"]


def default() -> str:
    """The default beside each stack by hand."""
    rows: list[dict[str, Any]] = []
    known = result("fusion")["results"]
    for name in TABLES:
        place: Place = (name, None, None)
        learners = [each for each in FUSIONS if line_of(known[name], learner=each)]
        found = over_folds("fusion", place, learners, "mae")
        seconds = over_folds("fusion", place, learners, "fit_s")
        rows.append({"table": name, **found, "fit s, Auto": seconds["Auto"]})
    gaps = result("semiconductors")["results"]
    named = {"Auto (the default)": "Auto", "TargetOnly": "TargetOnly GP", "Difference over all sources": "Difference"}
    own = {named[row["recipe"]]: row for row in gaps if row["recipe"] in named}
    rows.append(
        {"table": "semiconductor-gaps", "folds": "all"}
        | {name: row["mae"] for name, row in own.items()}
        | {"fit s, Auto": own["Auto"]["seconds"]}
    )
    columns = ["table", "folds", *FUSIONS, "fit s, Auto"]
    ordered = [{name: row.get(name) for name in columns} for row in rows]
    command = f"fusion --data {' '.join(TABLES)}"
    return f"{table(ordered)}\n\n{made_by(command, 'semiconductors')}"


def curve() -> str:
    """What cheap rows are worth, by the rows of the target."""
    rows = [
        {
            "measured gaps": row["rows of the target"],
            "error with all computed gaps": row["mae Auto"],
            "error without": row["mae TargetOnly Hurdle"],
            "measured gaps that would do as well without": row["the target alone needs"],
        }
        for row in result("fusion")["results"][f"{GAPS}, the learning curve"]
    ]
    commands = [f"fusion --rows {n}" for n in (100, 250, 500, 1000)]
    return f"{table(rows)}\n\n{made_by(*commands, 'fusion')}"


def apart() -> str:
    """Few cheap rows, of other materials, beside all."""
    rows = []
    for cheap, said in ((1500, "1,500 drawn at random"), (None, "all 54,000")):
        found = over_folds("fusion", (GAPS, 500, cheap), ["Auto", "TargetOnly Hurdle"], "mae")
        rows.append({"computed gaps": said, **found})
    return f"{table(rows)}\n\n{made_by('fusion --rows 500 --cheap 1500', 'fusion --rows 500')}"


def floor() -> str:
    """Half the values are exactly 0."""
    learners = ["ForestTarget", "TargetOnly Hurdle", "Auto"]
    rows = [
        {"learner": each}
        | {
            title: over_folds("fusion", (GAPS, None, None), learners, what)[each]
            for what, title in (("mae", "mae"), ("mae_above", "mae of the others"), ("crps", "crps"))
        }
        for each in learners
    ]
    return f"{table(rows)}\n\n{made_by('fusion --folds 0')}"


def labels() -> str:
    """Metal or not."""
    return f"{table(result('labels')['results'])}\n\n{made_by('labels')}"


def crystals() -> str:
    """What crystals' views bring on one split."""
    place: Place = ("jarvis_2d_eform", None, None)
    wanted = ["GP of composition", "GP of the 18", "GP without the 18", "GP of all views", "mixture", "Auto"]
    found = over_folds("transfer", place, wanted, "mae")
    said = {
        "GP of composition": "a GP of the composition",
        "GP of the 18": "a GP of 18 pretrained networks",
        "GP without the 18": "a GP of composition and CHGNet",
        "GP of all views": "a GP of all of these",
        "mixture": "a mixture of GP and others over all",
        "Auto": "`Auto` over all",
    }
    rows = [{"recipe": said[name], "error (eV/atom)": found[name]} for name in wanted if name in found]
    return f"{table(rows)}\n\n{made_by('transfer --tasks jarvis_2d_eform --splits 0')}"


def decades() -> str:
    """The logarithm, chosen by held-out rows."""
    names = ["GP of all views", "GP, value or logarithm"]
    place: Place = ("jarvis_2d_dielectric_opt", None, None)
    rows = [
        {"learner": name} | {what: over_folds("transfer", place, names, what)[name] for what in ("mae", "crps", "nll")}
        for name in names
    ]
    return f"{table(rows)}\n\n{made_by('transfer --tasks jarvis_2d_dielectric_opt --splits 0')}"


def few() -> str:
    """A few rows of a new property."""
    rows = result("shotgun")["results"]["All draws"]
    return f"{table(rows)}\n\n{made_by('shotgun')}"


def experts() -> str:
    """Errors of every expert, from the smallest table to the largest; * of fewer than five folds."""
    known = result("experts")["results"]
    sizes = {row["data"]: row["rows"] for row in known["Best experts and best peers"]}
    names = [name for name in known if name in sizes and name != "steels-matbench"]
    rows = []
    for learner in EXPERTS:
        line: dict[str, Any] = {"expert": learner}
        for name in names:
            own = line_of(known[name], learner=learner)
            line[f"{name}, {shown(sizes[name])} rows"] = _starred(own)
        rows.append(line)
    return f"{table(rows)}\n\n{made_by('experts')}"


def _starred(row: Row | None) -> str | None:
    if row is None or "mae" not in row:
        return None
    return shown(row["mae"]["mean"]) + "*" * (row["folds"] < 5)


def many() -> str:
    """Seconds to fit by rows."""
    rows = result("growth")["results"]
    columns = ["learner", "1000 rows", "4000 rows", "16000 rows", "62531 rows", "exponent"]
    return f"{table([{name: row.get(name) for name in columns} for row in rows])}\n\n{made_by('growth')}"


def functions() -> str:
    """A function of several properties: direct, or by way of them."""
    known = result("thermoelectrics")["results"]["Figure of merit zT"]
    columns = ["way", "mae", "crps", "coverage", "seconds"]
    wanted = ("direct: the function", "independent: S, σ, κ", "Latent: κ, PF", "Latent: S, σ, κ, log zT on top")
    rows = [{name: row[name] for name in columns} for row in known if row["way"] in wanted]
    return f"{table(rows)}\n\n{made_by('thermoelectrics')}"


BLOCKS = {
    each.__name__: each
    for each in (default, curve, apart, floor, labels, crystals, decades, few, experts, many, functions)
}
