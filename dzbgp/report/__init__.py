"""What a pass reports, in every format: table, JSON, Markdown, HTML.

Start with `delivery.deliver`; `digest.py` has what every format for people shows. A new format is a module here.
"""
