"""The virtual phone behind the real adb server: a device that `adb connect` lists.

protocol.py    packets of the transport
connection.py  one link to an adb server and the streams on it
daemon.py      the server on the phone's side, and the services by name
services.py    shell, exec, frame buffer, sockets, root, reboot
sync.py        push, pull, list
shell_v2.py    framing of standard input, output, error and exit code
filesystem.py  the phone's files, in memory
android.py     what Android remembers around the apps: settings, packages, keyboard, power
packages.py    apps as packages and activities
apk.py         the name inside an APK file
ports.py       sockets of the phone
screen.py      what screencap, the frame buffer and uiautomator see
shell/         the command line, interpreted here and never by the host
faults.py      what can go wrong, switched at run time
profiles.py    how long things take
control.py     the channel by which tasks are set and checked; the agent cannot reach it
snapshots.py   a whole phone as text
served.py      which phones are served, for those who look for their control
own_server.py  an adb server on a port of its own
farm.py        several phones and their adb server

Nothing here starts a process of the host for an agent, or opens its files: a line of the phone's shell
is interpreted in this process and acts on the phone alone.
"""
