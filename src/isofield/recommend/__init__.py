"""Which network and schedule a data set asks for, with the reasons."""

from isofield.recommend.recommendation import Recommendation, recommended

__all__ = ["Recommendation", "recommended"]
