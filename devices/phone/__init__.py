"""The virtual phone: a small Android-like world in pure Python, drawn with Pillow.

state.py       what the phone remembers: frozen values, JSON in and out
view.py        what an app wants to show: rows, tiles, buttons, with what a tap on them does
apps/          one file per app: its data, its screens
display.py     size, density and theme of the screen; the measures that follow from them
layout.py      a view placed on a display: widgets with boxes
drawing.py     widgets to pixels
transition.py  (state, gesture) -> state
tasks/         goals, checks and the expert that solves them
suites.py      named lists of tasks
device.py      all of it as a `gui_agent.device.Device`
"""
