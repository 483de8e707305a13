"""Checks of the labs' exercises: they try a function on fresh cases and say what is wrong.

>>> from kit.check import lab_a
>>> lab_a.threshold(lambda eta, beta: (2 + 2 * beta) / eta)
threshold: right in 20 fresh cases.
>>> try:
...     lab_a.threshold(lambda eta, beta: 2 / eta)
... except CheckFailed as failed:
...     print(str(failed)[:41])
threshold: You leave the momentum out: it

The same call in a notebook, in nbgrader and in pytest. The environment variables KIT_CLASS and
KIT_STUDENT draw other cases for a class and for a student.
"""

from kit.check.exercise import CheckFailed, Exercise, Mistake, class_seed

__all__ = ["CheckFailed", "Exercise", "Mistake", "class_seed"]
