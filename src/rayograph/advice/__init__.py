"""A preset for a packed dataset: what it holds, the rules, and how long a step takes here.

`rules` is the one place of the choices; `facts` and `case` are what they look at, `preset` writes
them down, `timing` measures a step.
"""
