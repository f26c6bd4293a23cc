"""A virtual phone behind Debian's build of Android's own adbd, to hold our daemon against.

daemon.py   the daemon in a sandbox, in the place of `devices.phone.adb.daemon.AdbDaemon`
inside.py   what runs in the sandbox beside it: starts it, and leads its only port out
sh.py       the phone's shell in the sandbox: hands every line to the phone, runs nothing itself

adbd runs whatever it is told and listens on every interface without asking who is there. So it gets a
network, processes and files of its own, and a user without rights; without a sandbox it is not started.
"""
