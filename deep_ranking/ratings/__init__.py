"""Triplets rated by people, as in the paper: the questions, the answers, what all raters agree on. No Keras.

Source: Wang et al. 2014, section 6.1.
"""

from deep_ranking.ratings.export import Tally, tally
from deep_ranking.ratings.questions import Question, choose
from deep_ranking.ratings.store import ANSWERS, Answer, Rating, RatingStore

__all__ = ["ANSWERS", "Answer", "Question", "Rating", "RatingStore", "Tally", "choose", "tally"]
