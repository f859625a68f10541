"""One self-contained HTML page about a run: the verdict, the scores, the curves, the data and the cost, from the folder's JSON alone.

The page asks nothing of the network, reads well on a phone, in print, in the dark and to a screen reader, and says what it could not read.

>>> import json, tempfile
>>> from pathlib import Path
>>> folder = Path(tempfile.mkdtemp())
>>> epoch = {"epoch": 1, "losses": {"age": 0.8}, "valid": {"age": {"rmse": 9.1}}, "score": 0.1}
>>> _ = (folder / "log.jsonl").write_text(json.dumps(epoch))
>>> write_report(folder).name
'report.html'
"""

from cotrain.report.page import write_report

__all__ = ["write_report"]
