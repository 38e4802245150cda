"""The choice of a tier, labelled with the rates of its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms

from ..models import Tier
from .display import format_limit

if TYPE_CHECKING:
    TierChoiceBase = forms.ModelChoiceField[Tier]
else:
    TierChoiceBase = forms.ModelChoiceField

MOST_SHOWN = 3


class RatedTierChoice(TierChoiceBase):
    """Labels a tier such as "Free: 60 per minute"; the limits should be prefetched."""

    def label_from_instance(self, obj: Tier) -> str:
        """Return the name with the first limits."""
        rates = [format_limit(limit) for limit in obj.limits.all()]
        more = ", …" if len(rates) > MOST_SHOWN else ""
        return f"{obj.name}: {', '.join(rates[:MOST_SHOWN])}{more}" if rates else obj.name
