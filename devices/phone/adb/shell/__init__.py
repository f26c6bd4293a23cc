"""The phone's command line, interpreted in this process.

io.py           where a command reads and writes
tree.py         what a line means
parser.py       text to a tree of commands
interpreter.py  the tree to output and an exit code
terminal.py     lines typed at a prompt
call.py         what a command is given
table.py        the commands by name; the others are in the files named after their subject
"""
