"""`pyconv profile`: how fast pyconv is on this machine, beside other libraries.

`shapes` holds the kinds of work, `suite` the named ones; `ours`, `pytorch` and `onnx_runtime` how
each library computes them, `rivals` these by name; `worker` is the process that times one library,
`race` the parent that asks these processes in turns, `machine` what the CPU can do at most;
`settings` reads lists of threads and instruction sets, `report` makes the table and the JSON file,
`words` the sentence below it, `compare` tells two profiles apart, `command` is the whole of it.
"""
