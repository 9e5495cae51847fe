"""The page of a campaign: what it found for its money, what is open, and whether its predictions came true."""

from __future__ import annotations

import json
from typing import Any

from mfmat.amounts import say
from mfmat.campaign import Campaign
from mfmat.journal import now
from mfmat.reports import campaign_drawings as drawings
from mfmat.reports import campaign_tables as tables
from mfmat.reports.campaign_words import doubts, sentences, tiles
from mfmat.reports.chronicle import Chronicle
from mfmat.reports.drawings import MOST
from mfmat.reports.wording import percent


def lay_out_campaign(x: Campaign, level: float) -> dict[str, Any]:
    """What the template of a campaign's page is filled in with."""
    told = Chronicle.of(x, level)
    goal = {"max": "Highest", "min": "Lowest", "learn": "Learning"}[x.goal]
    where = f" ({told.target})" if told.schema.source else ""
    return {
        "title": f"{goal} {told.schema.value}{where}",
        "created": now(),
        "verdict": sentences(told),
        "tiles": tiles(told),
        "doubts": doubts(told),
        "level": percent(level),
        "target": told.target,
        "goal": x.goal,
        "asked": tables.asked(told),
        "rounds": tables.rounds(told),
        "money": tables.money(told),
        "worth": tables.worth(told) if len(told.schema.sources) > 1 else None,
        "history": tables.history(told) if len(told.history) else None,
        **_pictures(told),
        **_settings(x, told),
    }


def _pictures(told: Chronicle) -> dict[str, Any]:
    progress = drawings.learning if told.campaign.goal == "learn" else drawings.progress
    spent, judged = len(told.purchases) > 0, len(told.judged)
    return {
        "progress": progress(told) if spent else None,
        "lanes": drawings.lanes(told) if spent else None,
        "judged": judged,
        "promises": drawings.promises(told) if judged else None,
        "held": drawings.held(told) if judged else None,
        "errors": drawings.errors(told) if judged else None,
        "drawn": MOST if max(len(told.purchases), judged) > MOST else None,
    }


def _settings(x: Campaign, told: Chronicle) -> dict[str, Any]:
    facts = {
        "candidates": len(x.pool),
        "goal": x.goal,
        "budget": "without limit" if x.budget is None else say(x.budget),
        "rounds": told.status.rounds,
        "events": len(told.history),
        "seed": x.seed,
        "temperature": f"{x.temperature:g}",
        "acquisition": "the usual one for the goal" if x.acquisition is None else json.dumps(x.acquisition.config()),
        "rules to stop by": "; ".join(json.dumps(rule.config()) for rule in x.stop) or "none",
    }
    versions = told.newest.card["versions"] if told.newest else {}
    return {
        "facts": facts | versions,
        "recipe": json.dumps(x.recipe.config(), indent=2, ensure_ascii=False),
        "schema": json.dumps(x.schema.config(), indent=2, ensure_ascii=False),
    }
