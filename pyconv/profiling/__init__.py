"""`pyconv profile`: how fast pyconv is on this machine, beside other libraries.

`suite` holds the named shapes, `rivals` how each library computes them, `worker` the process that
times one library, `race` the parent that asks these processes in turns, `machine` what the CPU can
do at most, `report` the table and the JSON file, `command` the whole of it.
"""
