"""The tables in docs/comparison.md: mfmat beside others, wins and losses both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pages.measured import Place, cells, line_of, made_by, pair, result
from pages.tables import shown, table

KINDS = {
    "Forest": ("RandomForest",),
    "GP": ("SingleTaskGP", "SklearnGP"),
    "Ensemble": ("RandomForest", "ModnetStyle"),
    "Mixture": ("ModnetStyle",),
}
"""Our experts and the peers of their kind; of an ensemble of networks also the one that takes many rows."""
SECONDS = ("fit s", "seconds an ask")
"""Scores that are counted apart."""
LIBRARIES = {
    "RandomForest": "scikit-learn",
    "SklearnGP": "scikit-learn",
    "RandomForestClassifier": "scikit-learn",
    "SingleTaskGP": "BoTorch",
    "ModnetStyle": "MODNet's way",
    "BotorchMultiTask": "BoTorch",
    "BotorchMultiFidelity": "BoTorch",
    "SMT MFK": "SMT",
    "ForestTarget": "scikit-learn",
    "ForestDifference": "scikit-learn",
    "ForestLatent measured": "scikit-learn",
}
FUSED = [name for name in LIBRARIES if name.startswith(("Forest", "Botorch", "SMT"))]
STEELS = {"best published": 79.9, "published forest": 103.5}
"""MAE of steels' yield strength in MPa on the published folds (Matbench, Dunn et al. 2020,
doi:10.1038/s41524-020-00406-3, and its leaderboard)."""
METALS = {"best published": 0.9598, "published forest": 0.9167}
"""ROC-AUC of metal or not, on Matbench's folds."""
GAPS = 0.2865
"""MAE of experimental gaps in eV: the best published model of the composition, on Matbench's folds."""
HOURS = {"mfmat": 48.0, "single-fidelity": 237.6, "random": 1176.0}
"""Mean hours to the best COF as published, with the authors' own loop of several and of one fidelity."""


@dataclass(frozen=True)
class Score:
    """One number of each side, and who is ahead: mfmat, peer, or even."""

    measure: str
    ours: float
    peer: float
    ahead: str


@dataclass(frozen=True)
class Line:
    """One comparison.

    Attributes:
        on: the task.
        ours: who stands for mfmat.
        peer: who it is compared with.
        library: where the peer comes from.
        scores: what is compared; what is ahead by them is counted.
        facts: further columns.
    """

    on: str
    ours: str
    peer: str
    library: str
    scores: tuple[Score, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    def cells(self) -> dict[str, Any]:
        """A row of a table."""
        row: dict[str, Any] = {"on": self.on, "mfmat": self.ours, "peer": self.peer}
        for score in self.scores:
            row |= {f"{score.measure}, mfmat": score.ours, f"{score.measure}, peer": score.peer}
            if score.measure not in SECONDS:
                row[f"ahead by {score.measure}"] = score.ahead
        return row | self.facts


def lower(measure: str, ours: float, peer: float) -> Score:
    """A score that should be small, without an error."""
    return Score(measure, ours, peer, "mfmat" if ours < peer else "peer")


def higher(measure: str, ours: float, peer: float) -> Score:
    """A score that should be large, without an error."""
    return Score(measure, ours, peer, "mfmat" if ours > peer else "peer")


def paired(name: str, place: Place, sides: tuple[str, str], measures: Sequence[str], on: str = "") -> list[Line]:
    """A comparison on the folds of both; none where they share no fold."""
    found = pair(name, place, *sides)
    if found is None:
        return []
    scores = tuple(Score(what, *found.mean(what), found.ahead(what)) for what in measures)
    seconds = lower("fit s", *found.mean("fit_s"))
    return [Line(on or place[0], *sides, LIBRARIES[sides[1]], (*scores, seconds), {"folds": len(found.ours)})]


def rank(title: str) -> str:
    """Where a published number is counted."""
    return "the best published" if title.startswith("best published") else "published baselines"


def expert_lines() -> list[Line]:
    """Experts beside peers of their kind."""
    return [
        line
        for data in result("experts")["results"]
        for ours, peers in KINDS.items()
        for peer in peers
        for line in paired("experts", (data, None, None), (ours, peer), ("mae", "nll"))
    ]


def fusion_lines() -> list[Line]:
    """The default beside every other way of using the cheap rows."""
    places = list(dict.fromkeys(place for place, _ in cells("fusion")))
    found = []
    for place in places:
        data, rows, cheap = place
        size = "" if rows is None else f", {rows} rows and {'all' if cheap is None else cheap} cheap ones"
        for peer in FUSED:
            found += paired("fusion", place, ("Auto", peer), ("mae", "crps"), f"{data}{size}")
    return found


def crystal_lines() -> list[Line]:
    """The default beside published errors on the same splits."""
    titles = {
        "published_CGCNN": "published CGCNN",
        "published_mixture": "published mixture of 18",
        "best_published": "best published",
    }
    return [
        Line(
            row["task"],
            "Auto",
            title,
            rank(title),
            (lower("mae", row["Auto"], row[name]),),
            {"splits": row["splits"], "share of rows that networks may have seen": row["leak"]},
        )
        for row in result("transfer")["results"]["Beside published errors"]
        for name, title in titles.items()
        if row.get(name) is not None and row.get("Auto") is not None
    ]


def steel_lines() -> list[Line]:
    """Experts on the published folds of steels."""
    rows = {row["learner"]: row for row in result("experts")["results"]["steels-matbench"]}
    return [
        Line("steels-matbench", ours, peer, rank(peer), (lower("mae", rows[ours]["mae"]["mean"], error),))
        for ours in ("GP", "Mixture")
        for peer, error in STEELS.items()
        if ours in rows
    ]


def gap_lines() -> list[Line]:
    """Experimental gaps beside what is published, on other folds of another table."""
    auto = line_of(result("fusion")["results"]["mf-bandgap"], learner="Auto")
    if auto is None:
        return []
    scores = (lower("mae", auto["mae"]["mean"], GAPS),)
    peer = "best published, of the composition alone"
    return [Line("experimental gaps", "Auto, with computed gaps", peer, rank(peer), scores)]


def label_lines() -> list[Line]:
    """Metal or not."""
    rows = {row["learner"]: row for row in result("labels")["results"]}
    own = {name: rows[f"{name} (Auto)"] for name in ("with computed gaps", "the label alone")}
    forest = rows["RandomForestClassifier"]
    found = []
    for name, row in own.items():
        auc, ours = row["roc auc"]["mean"], f"Auto, {name}"
        scores = (
            higher("ROC-AUC", auc, forest["roc auc"]["mean"]),
            lower("log loss", row["log loss"]["mean"], forest["log loss"]["mean"]),
            lower("fit s", row["s"], forest["s"]),
        )
        found.append(Line("metal or not", ours, "RandomForestClassifier", "scikit-learn", scores))
        for peer, published in METALS.items():
            found.append(Line("metal or not", ours, peer, rank(peer), (higher("ROC-AUC", auc, published),)))
    return found


def interval_lines() -> list[Line]:
    """Intervals of the same models beside MAPIE's."""
    found = []
    for data, rows in result("calibration")["results"].items():
        ours, peer = line_of(rows, way="Conformal cross"), line_of(rows, way="MAPIE CV+")
        if ours is None or peer is None:
            continue
        score = lower("interval score", ours["score"], peer["score"])
        facts = {
            f"{what}, {who}": row[what]
            for what in ("inside 90%", "width")
            for who, row in (("mfmat", ours), ("peer", peer))
        }
        found.append(Line(data, "Conformal", "MAPIE CV+", "MAPIE", (score,), {"rows": ours["rows"], **facts}))
    return found


def speed_lines() -> list[Line]:
    """One Gaussian process beside BoTorch's, which was stopped after a time."""
    rows = result("gp")["results"]
    found = []
    for ours in (row for row in rows if row["model"] == "mfmat GP"):
        peer = line_of(rows, task=ours["task"], model="BoTorch SingleTaskGP")
        if peer is not None:
            measures = {"fit_s": "fit s", "mae": "mae", "nll": "nll"}
            scores = tuple(lower(said, ours[name], peer[name]) for name, said in measures.items())
            task = f"{ours['task']}, {ours['rows']} rows"
            found.append(Line(task, "GP", "SingleTaskGP", "BoTorch", scores))
    return found


def formula_lines() -> list[Line]:
    """Formulas into numbers beside matminer."""
    found = result("composition")["results"]
    score = higher("formulas a second", found["mfmat_rows_per_second"], found["matminer_rows_per_second"])
    on = f"{shown(found['shared_rows'])} formulas"
    return [Line(on, "Composition", "matminer, Magpie preset", "matminer", (score,))]


def campaign_lines() -> list[Line]:
    """Search for a COF beside BoTorch's loops, and beside the published times."""
    known = result("campaigns")["results"]
    beside = {row["policy"]: row for row in known["The same COFs beside BoTorch, minutes"]}
    found = []
    for peer in ("multi-task", "max-value entropy"):
        ours, theirs = beside["mfmat"], beside[peer]
        measures = ("mean", "median", "regret area", "seconds an ask")
        scores = tuple(lower(what, ours[what], theirs[what]) for what in measures)
        found.append(Line("COFs, minutes", "Ask", peer, "BoTorch", scores, {"runs": ours["runs"]}))
    return found


def pool_lines() -> list[Line]:
    """Experiments until 80% of the best 5% of a pool are found, beside the usual process and rule."""
    known, peer = result("campaigns")["results"], "mean + 2 sd"
    found = []
    for name, rows in known.items():
        ours, theirs = (line_of(rows, policy=policy) for policy in ("mfmat", peer))
        if name.startswith("Pool ") and ours and theirs:
            ahead = "mfmat" if ours["upper"] < 0 else "peer" if ours["lower"] > 0 else "even"
            score = Score("experiments to 80%", ours["to 80%"], theirs["to 80%"], ahead)
            facts = {"mean difference": f"{ours[f'less {peer}']} ({ours['lower']} to {ours['upper']})"}
            found.append(
                Line(ours["pool"], "Ask", f"SingleTaskGP, {peer}", "BoTorch", (score,), facts | {"runs": ours["runs"]})
            )
    return found


def published_hours() -> list[Line]:
    """The same search with the run times of the paper, in hours."""
    rows = result("campaigns")["results"]["COFs with the run times of the paper, minutes"]
    row = line_of(rows, policy="mfmat")
    if row is None:
        return []
    score = lower("mean hours", row["mean"] / 60, HOURS["mfmat"])
    peer = "best published, the paper's loop"
    return [Line("COFs, the paper's run times", "Ask", peer, rank(peer), (score,), {"runs": row["runs"]})]


def library_lines() -> list[Line]:
    """A few rows of a new property: all entries together beside the usual ways, as a ratio to no library at all."""
    rows = {row["learner"]: row for row in result("shotgun")["results"]["All draws"]}
    what, ours = "mae / direct, geometric mean", rows["Shotgun"]
    peers = {
        "best encoder + forest": ("best encoder + forest (XenonPy's way)", "published way, run here"),
        "best single source": ("best single source", "published way, run here"),
        "RandomForest": ("RandomForest, no library", "scikit-learn"),
    }
    return [
        Line(
            "12 properties, 20 to 200 rows",
            "Shotgun",
            title,
            library,
            (lower("mae ratio", ours[what], rows[name][what]),),
            {"coverage, mfmat": ours["coverage"], "coverage, peer": rows[name]["coverage"]},
        )
        for name, (title, library) in peers.items()
    ]


SECTIONS: dict[str, tuple[Callable[[], list[Line]], str]] = {
    "experts": (expert_lines, "experts"),
    "speed": (speed_lines, "gp"),
    "fusion": (fusion_lines, "fusion"),
    "campaigns": (campaign_lines, "campaigns --part beside --seeds 30"),
    "pools": (
        pool_lines,
        "campaigns --part pools --seeds 20 --pools agnp p3ht_cnt autoam perovskite_stability; "
        "campaigns --part pools --seeds 10 --pools crossed_barrel",
    ),
    "hours": (published_hours, "campaigns --part paper --seeds 30"),
    "crystals": (crystal_lines, "transfer"),
    "steels": (steel_lines, "experts --data steels-matbench"),
    "gaps": (gap_lines, "fusion --learners Auto"),
    "labels": (label_lines, "labels"),
    "intervals": (interval_lines, "calibration"),
    "formulas": (formula_lines, "composition"),
    "libraries": (library_lines, "shotgun"),
}


def every() -> list[Line]:
    """All comparisons of the page."""
    return [line for lines, _ in SECTIONS.values() for line in lines()]


def section(name: str) -> str:
    """The table of one section, with its commands."""
    lines, command = SECTIONS[name]
    return f"{table([line.cells() for line in lines()])}\n\n{made_by(*command.split('; '))}"


def summary() -> str:
    """How often who is ahead, by where peers come from; seconds apart."""
    counts: dict[str, Counter[str]] = {}
    for line in every():
        own = counts.setdefault(line.library, Counter())
        own.update(score.ahead for score in line.scores if score.measure not in SECONDS)
    titles = {"mfmat": "mfmat ahead", "even": "even", "peer": "peer ahead"}
    rows = [
        {"beside": library} | {title: found[who] for who, title in titles.items()} for library, found in counts.items()
    ]
    return table(rows)


def losses() -> str:
    """Every score by which a peer is ahead, seconds apart."""
    found = [
        f"- {line.on}: {line.peer} {shown(score.peer)}, {line.ours} {shown(score.ours)} ({score.measure})."
        for line in every()
        for score in line.scores
        if score.ahead == "peer" and score.measure not in SECONDS
    ]
    return "\n".join(found) if found else "There is none among the numbers on this page."


def slower() -> str:
    """How often each side is the slower one, and by how much at the median."""
    ratios: dict[tuple[str, str], list[float]] = {}
    for line in every():
        for score in line.scores:
            if score.measure in SECONDS:
                ratios.setdefault((line.ours, line.peer), []).append(score.ours / score.peer)
    rows = [
        {
            "mfmat": ours,
            "peer": peer,
            "tables": len(found),
            "mfmat slower on": sum(ratio > 1 for ratio in found),
            "seconds of mfmat over those of the peer, median": median(found),
        }
        for (ours, peer), found in ratios.items()
    ]
    return table(rows)


def unfinished() -> str:
    """Peers that had no answer in the time they were given."""
    notes = [
        f"- {name}: {row['learner']}, {row['note']}."
        for what in ("experts", "fusion")
        for name, rows in result(what)["results"].items()
        for row in rows
        if row.get("note") and row.get("learner") in LIBRARIES
    ]
    return "\n".join(notes) if notes else "Every peer gave an answer."


def _filled(name: str) -> Callable[[], str]:
    return lambda: section(name)


BLOCKS = {each.__name__: each for each in (summary, losses, slower, unfinished)} | {
    name: _filled(name) for name in SECTIONS
}
