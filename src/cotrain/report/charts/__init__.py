"""Plotly figures as plain JSON-able dicts, made by pure functions from what was read; nothing here imports Plotly.

>>> from cotrain.report.charts.base import safe
>>> safe("a < b")
'a &lt; b'
"""
