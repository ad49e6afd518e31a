"""The functions of R's package smotefamily, with the same arguments, defaults and results.

Each function takes a table ``X`` and ``target``, one label for each row. The class with the fewest rows is the minority
P (with a tie, the first in sorted order); only this class gets synthetic rows. All other rows together are N. The
result is a :class:`Result` with data frames. There are two differences from the samplers of :mod:`gpusmote`: each base
row gets the same number of synthetic rows, ``dup_size`` (in ADAS, each base row has its own number), and the synthetic
rows are in blocks, one for each base row.

The names of the arguments are ``dup_size`` and ``random_state`` in all functions. (R uses ``dupSize`` in all functions
except SMOTE, and the seed of the R session.) The random numbers are gpusmote's, whatever ``bit_generator`` is, so a
seed does not give the rows that it gives in R. The device is that of :func:`gpusmote.get_config`.

Different from R on purpose:

- A tie between equally distant rows goes to the row that comes first in ``X``, not first in the shuffled order. So the
  base rows and the number of synthetic rows depend only on the data, not on ``random_state``.
- Labels in ``data``, ``syn_data`` and ``orig_P`` are converted to text by ``str``: "True", "1.0" (in R "TRUE", "1").

Bugs of smotefamily 1.3.1, and what happens here instead:

- It fails for a matrix ``X``, although the documentation allows one, and for a single column. Here both work; the
  columns of an array are named V1, V2, ...
- Missing or infinite values are copied to the result if they are in majority rows, and raise an unrelated error if they
  are in minority rows. Here both raise a :class:`~gpusmote.errors.NonFiniteError` that names the columns.
- Missing labels and a ``target`` that is too short raise an unrelated error; a ``target`` that is too long adds an
  empty row. Here each raises an :class:`~gpusmote.errors.InputError`.
- A factor level without rows is used as the minority. Here such categories are ignored.
- A fractional ``dup_size`` is truncated, but reported as given. Here it raises a
  :class:`~gpusmote.errors.ParameterError`.
- If ``dup_size=0`` gives no synthetic rows, because the classes are almost equal in size, the functions return none or
  raise an unrelated error. Here the result of every function has no synthetic rows, with a warning.
- K = 1 fails in most functions. Here it works.
- A K that is too large for the number of rows raises an unrelated error. Here it raises a
  :class:`~gpusmote.errors.TooFewRowsError` with the largest possible K.
- BLSMOTE type2 looks up majority neighbors among the minority rows, so that rows towards them are missing values. Here
  these rows lie on the segment to the majority row.
- ADAS raises an unrelated error if no minority row has a neighbor of another class. Here it raises a
  :class:`~gpusmote.errors.NoSeedsError`.
- The functions print text. Here nothing is printed.
"""

from __future__ import annotations

from gpusmote.smotefamily.adas import ADAS
from gpusmote.smotefamily.blsmote import BLSMOTE
from gpusmote.smotefamily.result import Result
from gpusmote.smotefamily.smote import SMOTE

__all__ = ["ADAS", "BLSMOTE", "SMOTE", "Result"]
