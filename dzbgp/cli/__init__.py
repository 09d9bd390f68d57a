"""The command line: what people type becomes a request, and what went wrong one line and an exit code.

Start reading at app.py; an option is declared where it is used (console/option.py) and read by options.py.
"""
