"""The samplers as R's package smotefamily has them: the same functions, arguments, defaults and result.

Every function takes a table ``X`` and one label a row, ``target``. The class with the fewest rows (of equals the
first in sorted order) is the minority P, and only it is filled up; all other rows together are N. The result is a
:class:`Result` of data frames. What is different from the samplers of :mod:`gpusmote` is that each base row gets the
same number of synthetic rows, ``dup_size`` (in ADAS a number of its own), and that they come in blocks, one a base row.

R writes ``dupSize`` in all functions but SMOTE, and has its seed in the session; here it is ``dup_size`` and
``random_state`` everywhere. The stream is gpusmote's own, so that rows for a seed are not R's rows, whatever
``bit_generator`` is set to; the device is the one that :func:`gpusmote.get_config` names.

Decided otherwise than in R:

- ties between equally distant rows go to the one that comes first in ``X``, not to the one that the shuffle put
  first: which rows generate, and how many rows come out, depends on the data alone, never on ``random_state``;
- labels become text in ``data``, ``syn_data`` and ``orig_P`` as ``str`` writes them ("True", "1.0"; R has "TRUE", "1").

What smotefamily 1.3.1 gets wrong, and what happens here instead:

- it stops on an ``X`` that is a matrix, which it documents, and on a single column: both work, and the columns of an
  array are called V1, V2 and so on;
- missing or infinite values in majority rows are copied to the result, in minority rows they end in an unrelated
  error: both are a :class:`~gpusmote.errors.NonFiniteError` that names the columns;
- missing labels and a ``target`` that is too short end in an unrelated error, and one that is too long adds an empty
  row: each is an :class:`~gpusmote.errors.InputError` that says so;
- a level of a factor that no row has is taken for the minority: such categories are passed over;
- a fractional ``dup_size`` is cut down but reported as given: it is a :class:`~gpusmote.errors.ParameterError`;
- ``dup_size=0`` where the classes are so close that it comes to no row at all gives nothing, without a word, or an
  unrelated error: the result has no synthetic rows in every function, and a warning says so;
- K = 1 stops in most functions: it works;
- a K that is too large for the rows it is sought among ends in an unrelated error: it is a
  :class:`~gpusmote.errors.TooFewRowsError` that names the largest K that fits;
- BLSMOTE type2 fills the rows towards majority neighbors with missing values, having looked these neighbors up
  among the minority rows: they lie on the segment to the majority row;
- ADAS ends in an unrelated error where no minority row has another class among its neighbors: it is a
  :class:`~gpusmote.errors.NoSeedsError` that says so;
- lines are printed: nothing is.
"""

from __future__ import annotations

from gpusmote.smotefamily.adas import ADAS
from gpusmote.smotefamily.blsmote import BLSMOTE
from gpusmote.smotefamily.result import Result
from gpusmote.smotefamily.smote import SMOTE

__all__ = ["ADAS", "BLSMOTE", "SMOTE", "Result"]
