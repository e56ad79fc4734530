"""The names by which features are asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass

# a "near R" without a length falls to 1/e over this share of the characteristic length
NEAR = 0.1

_FORMS = (
    r"(?P<kind>distance to|vector to|on) (?P<region>.+)",
    r"(?P<kind>near) (?P<region>.+?)(?: within (?P<within>[0-9.eE+-]+))?",
    r"(?P<kind>mean curvature)(?: within (?P<within>[0-9.eE+-]+))?",
    r"(?P<kind>gaussian curvature|boundary normal|thickness)",
)
_POWERS = {
    "distance to": 1,
    "vector to": 1,
    "thickness": 1,
    "mean curvature": -1,
    "gaussian curvature": -2,
}
KNOWN = (
    '"distance to R", "vector to R", "near R", "near R within 0.05", "on R", "boundary '
    'normal", "mean curvature", "gaussian curvature", "mean curvature within 0.1", '
    '"thickness", with R a named region or boundary'
)


class FeatureError(ValueError):
    """A feature that does not exist, or that a mesh does not have."""


@dataclass(frozen=True)
class Feature:
    """What one name asks for.

    kind : the name without region and length. region : its region, "" where it has
    none. within : a share of the characteristic length, None where it is not given.
    """

    kind: str
    region: str = ""
    within: float | None = None

    @classmethod
    def parsed(cls, name: str) -> Feature:
        """Raises `FeatureError` for a name that is none.

        >>> Feature.parsed("near inlet within 0.05")
        Feature(kind='near', region='inlet', within=0.05)
        """
        for form in _FORMS:
            found = re.fullmatch(form, name.strip())
            if found:
                parts = found.groupdict()
                return cls(
                    parts["kind"],
                    (parts.get("region") or "").strip(),
                    _share(name, parts.get("within")),
                )
        raise FeatureError(f"{name!r} is no feature; expected one of {KNOWN}")

    @property
    def power(self) -> int:
        """p, where the unit of the feature is length^p."""
        return _POWERS.get(self.kind, 0)

    def shape(self, dimension: int) -> tuple[int, ...]:
        """Of its value at one point; vectors have the coordinates of the points."""
        vectors = ("vector to", "boundary normal")
        return (dimension,) if self.kind in vectors else ()


def _share(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < float("inf"):
        raise FeatureError(
            f"{name!r}: expected a share of the characteristic length above 0 after "
            f"'within', got {text!r}"
        )
    return share
