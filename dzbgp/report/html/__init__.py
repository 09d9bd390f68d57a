"""The report as one HTML file that needs nothing else.

Start with `page.render`; `timeline.py` works out the last day of each session, `day.py` its drawing.
"""
